package host_test

import (
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
)

func TestSocketSummaries(t *testing.T) {
	const four = "sockets: used 3\nTCP: inuse 1 orphan 0 tw 0 alloc 2 mem 5\nUDP: inuse 0 mem 0\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		n     int
		want  string // in the error
	}{
		{"both families", map[string]string{"1/net/tcp": "", "1/net/sockstat": four, "1/net/sockstat6": "TCP6: inuse 1\n"}, 4, ""},
		{"no IPv6", map[string]string{"1/net/tcp": "", "1/net/sockstat": four}, 3, ""},
		{"a protocol that is new", map[string]string{"net/tcp": "", "net/sockstat": four + "NEW: inuse 1 more 2\n"}, 4, ""},
		{"missing", map[string]string{"net/tcp": ""}, 0, ""},
		{"no total", map[string]string{"net/tcp": "", "net/sockstat": "TCP: inuse 1\n"}, 1, ""},
		{"damaged", map[string]string{"net/tcp": "", "net/sockstat": four + "RAW: inuse x\n"}, 3, "sockstat: line 4"},
		{"cut off", map[string]string{"net/tcp": "", "net/sockstat": four, "net/sockstat6": "TCP6: inuse"}, 3, "sockstat6: line 1"},
		{"limits", map[string]string{"net/tcp": "", "net/sockstat": four, "sys/net/ipv4/tcp_mem": "1\t2\t3\n"}, 3, ""},
		{"damaged limits", map[string]string{"net/tcp": "", "net/sockstat": four, "sys/net/ipv4/tcp_mem": "1\t2\n"}, 0, "tcp_mem: expected three"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := drain(host.New(host.Options{Proc: write(t, c.files)}).SocketSummaries(t.Context(), host.Namespaces{}))
			if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d summaries, %v; want %d and %q", n, err, c.n, c.want)
			}
		})
	}
}

func TestRecords(t *testing.T) {
	const paired = "Tcp: A B\nTcp: 1 2\n"
	files := []source.File[sock.Statistic]{
		{Name: "snmp", Missing: source.Failing, Decode: procnet.PairedStatistics},
		{Name: "netstat", Missing: source.Lacking, Decode: procnet.PairedStatistics},
		{Name: "snmp6", Decode: procnet.NamedStatistics},
		{Name: "sctp/snmp", Decode: procnet.NamedStatistics},
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		n     int
		want  string // in the error
	}{
		{"all", map[string]string{"1/net/tcp": "", "1/net/snmp": paired, "1/net/netstat": paired, "1/net/snmp6": "Ip6A 1\n", "1/net/sctp/snmp": "SctpA 1\n"}, 6, ""},
		{"no IPv6, no SCTP", map[string]string{"net/tcp": "", "net/snmp": paired, "net/netstat": paired}, 4, ""},
		{"no snmp", map[string]string{"net/tcp": "", "net/netstat": paired}, 0, "snmp: no such file"},
		{"no netstat", map[string]string{"net/tcp": "", "net/snmp": paired}, 2, ""},
		{"damaged", map[string]string{"net/tcp": "", "net/snmp": paired, "net/netstat": "Tcp: A\nTcp: x\n"}, 2, "netstat: line 2"},
		{"damaged too", map[string]string{"net/tcp": "", "net/snmp": paired, "net/netstat": paired, "net/sctp/snmp": "SctpA x\n"}, 4, "sctp/snmp: line 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := drain(host.Records(t.Context(), host.New(host.Options{Proc: write(t, c.files)}), host.Namespaces{}, files...))
			if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d counters, %v; want %d and %q", n, err, c.n, c.want)
			}
		})
	}
}
