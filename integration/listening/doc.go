// Package listening prints what listens on a host for people: [Print] all of it, the
// widest exposure first, and [Why] what is behind one port, address, process or name.
// Both ask the tables, so that --sql shows how.
package listening
