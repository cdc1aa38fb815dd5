// Package tables declares the tables: the sockets and services of a Linux host
// as SQL. It is the import for authors of other osquery extensions.
//
// One question takes this way, one function an arrow:
//
//	SQL in osquery or in the embedded host
//	  -> schema.Request                  columns used and constraints, from osquery's JSON or SQLite's index info
//	  -> schema.Table.Query              the request in the terms of one table
//	  -> schema.Table.Scan, or Each      a goroutine for the rows of one query, or the caller's own
//	  -> TCPSockets, inetColumns.filter  the query as a host.InetFilter
//	  -> host.Host.TCP                   the kernel's list, from netlink or /proc/net
//	  -> parser: sockdiag, procnet       bytes as sock.TCP, streamed
//	  -> row[sock.TCP]                   less the rows that a constraint excludes
//	  -> joinOwners                      names, users and processes, if a used column needs them
//	  -> schema.Cell                     only the used columns, as text or typed values
//
// A table is one file here, one fixture in testdata and one line in [All]. Its
// columns are declared in files such as tcp_sockets.go, next to the accessor
// that computes them. A table of files of /proc/net reads them by
// [host.Records], with a decoder of parser; other subjects have a method of
// [host.Host]. Several tables share the columns of owner.go and inet.go, which
// are made of the part that all types of sockets share, sock.Common.
package tables
