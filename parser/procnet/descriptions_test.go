package procnet

import (
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	for protocol, names := range statistics {
		t.Run(protocol, func(t *testing.T) {
			for name := range names {
				unit, description, _ := Describe(protocol, name)
				if !strings.HasSuffix(description, ".") || strings.ToLower(unit) != unit {
					t.Errorf("%s: %q, %q", name, unit, description)
				}
			}
		})
	}
	t.Run("gauges", func(t *testing.T) {
		for counter := range gauges {
			protocol, name, _ := strings.Cut(counter, ".")
			if _, description, gauge := Describe(protocol, name); description == "" || !gauge {
				t.Errorf("%s: %q, %v", counter, description, gauge)
			}
		}
	})
	for _, c := range []struct{ protocol, name, unit, description string }{
		{"IcmpMsg", "InType3", "messages", "ICMP messages of type 3 that were received."},
		{"Icmp6", "OutType135", "messages", "ICMP messages of type 135 that were sent."},
		{"Tcp", "InType3", "", ""},
		{"Tcp", "OfALaterKernel", "", ""},
	} {
		t.Run(c.protocol+c.name, func(t *testing.T) {
			if unit, description, gauge := Describe(c.protocol, c.name); unit != c.unit || description != c.description || gauge {
				t.Errorf("got %q, %q, %v", unit, description, gauge)
			}
		})
	}
}
