// Package plain runs SQLite's programs of plain statements without SQLite: those
// that scan tables of ours, compare and copy columns, count, sum, group and sort.
//
//	p, ok := plain.Compile(ops, columns) // what EXPLAIN lists
//	if ok {
//		err = p.Run(ctx, scan, row)
//	}
//
// SQLite compiles a statement to a program for its virtual machine
// (https://sqlite.org/opcode.html). Most time of a listing of many sockets goes
// to copies into SQLite's memory and out of it, and to the machine's steps. Here
// the same program is run on the tables' own batches of rows.
//
// [Compile] takes a program only if every instruction is one that this package
// runs exactly as SQLite does, for all values that its registers can have. It
// refuses the rest, which SQLite runs.
package plain
