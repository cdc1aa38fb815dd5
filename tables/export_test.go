package tables

// Tables of what is given.
var (
	MPTCPTable    = mptcpTable
	VsockTable    = vsockTable
	AddressTable  = addressTable
	NeighborTable = neighborTable
	RuleTable     = ruleTable
	NextHopTable  = nextHopTable
)
