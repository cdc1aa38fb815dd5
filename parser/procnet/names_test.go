package procnet

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Names of interfaces, protocols and devices may have every byte but those that the
// kernel takes for a blank, which are not those of Unicode.
func TestOddNames(t *testing.T) {
	for _, name := range []string{"eth\u0085", "\u0085eth", "e\u2003h", "\u3000", "v\x85", "caf\u00e9", "\x1c\x1d"} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			check := func(list, got string, err error) {
				t.Helper()
				if got != name || err != nil {
					t.Errorf("%s: got %q, %v", list, got, err)
				}
			}
			links, err := collect(Links(strings.NewReader(devHeader + "    " + name + ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")))
			check("dev", links[0].Name, err)
			routes, err := collect(Routes(strings.NewReader("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"+name+"\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"), sock.INET, binary.LittleEndian))
			check("route", routes[0].Hops[0].Name, err)
			routes, err = collect(Routes(strings.NewReader(strings.Repeat("0", 32)+" 00 "+strings.Repeat("0", 32)+" 00 "+strings.Repeat("0", 32)+" 00000100 00000001 00000000 00000001 "+name+"\n"), sock.INET6, binary.LittleEndian))
			check("ipv6_route", routes[0].Hops[0].Name, err)
			groups, err := collect(Groups(strings.NewReader("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n1\t"+name+"   :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n"), IGMP, binary.LittleEndian))
			check("igmp", groups[0].Interface, err)
			groups, err = collect(Groups(strings.NewReader("2    "+name+"            1     0     333300000001\n"), DevMcast, binary.LittleEndian))
			check("dev_mcast", groups[0].Interface, err)
			legacy, err := collect(Legacy(strings.NewReader("Type Local_addr Remote_addr Tx_queue Rx_queue St UID\n2   "+name+"  0000:00:00  00000000:00000000 07 0\n"), "atalk"))
			check("atalk", legacy[0].Local, err)
			statistics, err := collect(PairedStatistics(strings.NewReader("Tcp: " + name + "\nTcp: 1\n")))
			check("snmp", statistics[0].Name, err)
		})
	}
}
