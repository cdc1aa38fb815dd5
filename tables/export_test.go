package tables

// Tables of sockets that are given.
var (
	MPTCPTable = mptcpTable
	VsockTable = vsockTable
)
