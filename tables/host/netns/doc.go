// Package netns finds the network namespaces of a host and reads in each of them,
// network_namespaces(7).
//
//	set := netns.New(netns.Options{Proc: "/proc", …})
//	sockets := netns.Each(ctx, set, netns.Selection{All: true}, func(in *netns.Handle) iter.Seq2[sock.TCP, error] {
//		file, err := in.Open("tcp") // /proc/net/tcp of that namespace
//		…
//	})
//
// [Set.List] describes all namespaces that have a process or a mount we may look
// at. [Each] reads in the selected ones, by default in the program's own only.
// A namespace that cannot be read is remembered, see [Set.Refused], and the others
// are read.
//
// A [Handle] refers to one namespace. [Handle.Do] calls a function in a thread that
// has entered it, which takes CAP_SYS_ADMIN. Without that capability the files of
// /proc/net are still read, by way of a process that is in the namespace. What
// shows a namespace, a process or a mounted file, may leave it at any moment: a
// handle checks that it still refers to its namespace, and Each looks for another
// way into it before it gives up.
//
// Of another host, or of a copy of its /proc, only those namespaces are read in
// which it shows a process; its process 1 stands for the host.
package netns
