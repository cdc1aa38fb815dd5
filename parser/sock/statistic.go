package sock

// Statistic is a counter or a gauge of the kernel's network stack.
type Statistic struct {
	Protocol string // the kernel's group of it, such as Tcp or TcpExt
	Name     string // in that group
	// Value is meaningless if TooLarge, which a number above 2^63-1 is.
	Value    int64
	TooLarge bool
}

// Summary counts the sockets of one protocol, a line of /proc/net/sockstat or
// sockstat6. A number that the line lacks is nil.
type Summary struct {
	Protocol string // as the kernel writes it, such as TCP6; [AllSockets] is the total
	InUse    int64
	TimeWait *int64 // of both families

	// These are of the whole host, and of both families.
	Orphans, Allocated, MemoryPages *int64

	MemoryBytes *int64 // of FRAG and FRAG6, in the namespace
}

// AllSockets is the Protocol of the total: of sockets of every family, also Unix,
// netlink and packet sockets.
const AllSockets = "sockets"
