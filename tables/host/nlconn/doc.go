// Package nlconn asks the kernel by netlink(7): it is the one conversation that
// sock_diag, rtnetlink and ctnetlink share.
//
//	conn := nlconn.New(nlconn.SockDiag, usage.SockDiag, nlconn.Kernel)
//	for m, err := range conn.Dump(ctx, handle, &sockdiag.Request{…}, &use) {
//		… // decode m.Payload, which is valid until the next message
//	}
//
// [Conn.Dump] streams a list as the kernel makes it, [Conn.List] yields one that
// is known to be whole, and [Conn.Get] asks for one thing. Each call opens a
// socket of its own, so that calls may run at the same time, and closes it when
// the loop over its messages ends, however that ends.
//
// Three kinds of failure differ. [ErrRefused] means that the kernel, or a
// sandbox, does not offer this source here: try the next one. [ErrInterrupted]
// means that the list is not whole: ask again later. Every other error is one of
// this conversation.
//
// A socket belongs to the network namespace in which it was opened. An [Enterer]
// opens it there; a handle of package netns is one.
//
// Tests put a function in the place of [Kernel]: see package nlconntest.
package nlconn
