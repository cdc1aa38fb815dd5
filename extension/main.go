// Command sockets.ext serves a Linux host's sockets and services as osquery
// tables, and answers the same SQL without osquery.
package main

func main() {}
