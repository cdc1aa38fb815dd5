package procnet

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
)

const devHeader = "Inter-|   Receive                                                |  Transmit\n" +
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"

func TestLinks(t *testing.T) {
	const lo = "    lo:    1988      14    0    0    0     0          0         0     1988      14    0    0    0     0       0          0\n"
	got, err := collect(Links(strings.NewReader(devHeader + lo + " eth10: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 18446744073709551615 17\n" + lo)))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d interfaces, %v", len(got), err)
	}
	names := []string{got[0].Name, got[1].Name}
	if want := []string{"lo", "eth10"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	for i, number := range []int{
		network.RxBytes, network.RxPackets, network.RxErrors, network.RxDrops, network.RxFIFOErrors, network.RxFrame, network.RxCompressed, network.MulticastPackets,
		network.TxBytes, network.TxPackets, network.TxErrors, network.TxDropped, network.TxFIFOErrors, network.Collisions, network.TxCarrier,
	} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			if v, ok := got[1].Counters.Get(number); !ok || v != int64(i+1) {
				t.Errorf("column %d: got %d, %v", i+1, v, ok)
			}
		})
	}
	if v, ok := got[1].Counters.Get(network.TxCompressed); ok {
		t.Errorf("a counter of 64 bits: got %d", v)
	}
}

func TestLinksDamage(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "line 1: the file is empty"},
		{"one header", "Inter-|   Receive  |  Transmit\n", "line 2: the second header is missing"},
		{"cut off in the second header", strings.TrimSuffix(devHeader, "\n"), "line 2: the file ends in the middle of a line"},
		{"no colon", devHeader + "eth0 1 2 3\n", "line 3: expected the name of an interface"},
		{"no name", devHeader + " : 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "line 3: expected the name of an interface"},
		{"few numbers", devHeader + "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n", "line 3: expected the name of an interface"},
		{"no number", devHeader + "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x\n", "line 3: expected the name of an interface"},
		{"cut off", devHeader + "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 ", "line 3: the file ends in the middle of a line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := collect(Links(strings.NewReader(c.in))); len(got) > 0 || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want %q", got, err, c.want)
			}
		})
	}
}

func FuzzLinks(f *testing.F) {
	f.Add([]byte(devHeader + "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := collect(Links(bytes.NewReader(data)))
		seen := make(map[string]bool)
		for _, l := range got {
			if l.Name == "" || seen[l.Name] || !l.FromProc {
				t.Errorf("%+v", l)
			}
			seen[l.Name] = true
		}
		if lines := lineCount(string(data)); err == nil && (len(got) > lines-2 || lines > 2 && len(got) == 0) {
			t.Errorf("%d interfaces of %d lines without an error", len(got), lines)
		}
	})
}
