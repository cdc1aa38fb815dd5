package routing

import (
	"context"

	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
)

// VRFs are the names of VRFs, ip-vrf(8), by the tables in which their routes are.
type VRFs map[namespaceTable]string

// namespaceTable is a routing table of a network namespace.
type namespaceTable struct{ namespace, table uint32 }

// Name returns the name of the VRF whose table it is: of several the first in
// netstat's order, "" if there is none.
func (v VRFs) Name(namespace, table uint32) string { return v[namespaceTable{namespace, table}] }

// VRFs returns the VRFs of network namespaces. There are none where rtnetlink is
// refused.
func (l *Lists) VRFs(ctx context.Context, namespaces netns.Selection) (VRFs, error) {
	vrfs := make(VRFs)
	for link, err := range l.Links(ctx, LinkFilter{Namespaces: namespaces}) {
		if err != nil {
			return nil, err
		}
		if key := (namespaceTable{link.Namespace, link.VRFTable}); link.VRFTable != 0 && vrfs[key] == "" {
			vrfs[key] = link.Name
		}
	}
	return vrfs, nil
}
