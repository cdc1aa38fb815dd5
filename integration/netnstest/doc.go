// Package netnstest is test support: it makes a fresh network namespace and
// fills it with sockets whose truth is known, so that what we show can be
// compared with what netstat and ss show.
//
//	ns := netnstest.New(t)        // loopback only, nothing in it
//	sockets := ns.Populate(t)     // every TCP state, UDP, owners, queues, timers
//	out, err := ns.Command(ctx, "netstat", "-atn")
//
// It exists on Linux only and needs CAP_SYS_ADMIN; see [SkipOrFail].
package netnstest
