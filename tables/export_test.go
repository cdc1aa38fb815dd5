package tables

// Tables of what is given.
var (
	MPTCPTable   = mptcpTable
	VsockTable   = vsockTable
	AddressTable = addressTable
)
