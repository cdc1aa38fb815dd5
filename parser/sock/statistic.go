package sock

// Statistic is a counter or a gauge of the kernel's network stack.
type Statistic struct {
	Protocol string // the kernel's group of it, such as Tcp or TcpExt
	Name     string // in that group
	// Value is meaningless if TooLarge, which a number above 2^63-1 is.
	Value    int64
	TooLarge bool
}
