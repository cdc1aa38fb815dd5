package e2e

import (
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// Families that the kernel does not have, or a fresh namespace has no sockets of,
// are empty tables.
func TestAbsentFamilies(t *testing.T) {
	ns := netnstest.New(t)
	for _, table := range []string{"legacy_sockets", "mptcp_sockets", "sctp_sockets"} {
		if rows := query(t, ns, "SELECT * FROM "+table); len(rows) != 0 {
			t.Errorf("%s: %v", table, rows)
		}
	}
}
