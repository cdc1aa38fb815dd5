package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// The metrics count what netstat lists, and the drops that the sockets tell.
func TestMetrics(t *testing.T) {
	ns := netnstest.New(t)
	sockets := ns.Populate(t)
	want := make(map[string]float64)
	for _, s := range sockets {
		if strings.HasPrefix(s.Proto, "udp") && s.Remote.Port() == 0 {
			want[fmt.Sprint("dropped ", s.Local.Port())] += float64(s.Drops)
		}
	}
	var got map[string]float64
	equal := false
	for range maxAttempts { // sockets that end are gone after a while
		for name := range want {
			if strings.HasPrefix(name, "open ") {
				delete(want, name)
			}
		}
		for _, row := range ns.Netstat(t) {
			want[fmt.Sprint("open ", row.Proto, " ", row.State)]++
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(output(t, ns, program, "metrics", "--max-series", "1000")))
		if err != nil {
			t.Fatal(err)
		}
		// All are there: no test of the package metrics has a kernel's lists.
		if len(families) != 17 {
			t.Errorf("%d metrics: %v", len(families), slices.Sorted(maps.Keys(families)))
		}
		got = make(map[string]float64)
		for _, m := range families["sockets_open"].GetMetric() {
			if proto := m.GetLabel()[0].GetValue(); strings.HasPrefix(proto, "tcp") || strings.HasPrefix(proto, "udp") {
				got[fmt.Sprint("open ", proto, " ", m.GetLabel()[1].GetValue())] += m.GetGauge().GetValue()
			}
		}
		for _, m := range families["sockets_udp_dropped_datagrams"].GetMetric() {
			got["dropped "+m.GetLabel()[0].GetValue()] += m.GetGauge().GetValue()
		}
		if equal = same(got, want); equal {
			break
		}
	}
	if !equal {
		t.Errorf("got %v, want %v", got, want)
	}
	dropped := 0.0
	for name, value := range want {
		if strings.HasPrefix(name, "dropped ") {
			dropped += value
		}
	}
	if dropped == 0 {
		t.Error("no socket has dropped anything")
	}
}

// same reports whether two maps have the same numbers, where none is 0.
func same(a, b map[string]float64) bool {
	for name := range a {
		if a[name] != b[name] {
			return false
		}
	}
	for name := range b {
		if a[name] != b[name] {
			return false
		}
	}
	return true
}
