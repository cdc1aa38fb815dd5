// Package tables declares the tables: the sockets and services of a Linux host
// as SQL. It is the import for authors of other osquery extensions.
//
// One question takes this way, one function an arrow:
//
//	SQL in osquery or in the embedded host
//	  -> schema.Request   columns used and constraints, from osquery's JSON or SQLite's index info
//	  -> schema.Query     the request in the terms of one table
//	  -> tables           tcp_sockets' Rows: the query as a host.InetFilter
//	  -> tables/host      the kernel's lists, as bytes
//	  -> parser           bytes as sock.TCP, streamed
//	  -> schema.Cell      only the columns that are used, as text or typed values
//
// A table is one file here, one fixture in testdata and one line in [All]. Its
// columns are declared in tables such as tcp_sockets.go, next to the accessor
// that computes them; what several tables share stands in inet.go and owner.go.
package tables
