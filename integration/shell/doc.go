// Package shell is an interactive shell for SQL over the tables.
//
//	sockets> SELECT local_port
//	    ...> FROM tcp_sockets;
//	sockets> .mode csv
//
// A statement ends with a semicolon and may take several lines. A line that begins with
// a dot is a command of the shell: [Help] prints the table of them.
//
// What decides is apart from what is shown: package rowfmt prints the rows, package
// watch compares them, [Complete] is a function of a text, and a line editor from
// outside shows what it returns. Without a terminal the shell reads lines as they
// are, and prints no prompt and no colour.
package shell
