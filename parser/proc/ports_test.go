package proc

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

func TestPorts(t *testing.T) {
	for _, c := range []struct {
		text string
		want []sock.PortRange
		fail bool
	}{
		{"\n", nil, false},
		{"8080,9148-9150\n", []sock.PortRange{{Low: 8080, High: 8080}, {Low: 9148, High: 9150}}, false},
		{"0-65535", []sock.PortRange{{Low: 0, High: 65535}}, false},
		{"8080,\n", nil, true},
		{"65536\n", nil, true},
		{"1-\n", nil, true},
		{" 1\n", nil, true},
	} {
		t.Run(fmt.Sprintf("%q", c.text), func(t *testing.T) {
			got, err := ParsePorts([]byte(c.text))
			if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != c.fail {
				t.Errorf("%v: want (-), got (+):\n%s", err, diff)
			}
		})
	}
}

func TestPortRange(t *testing.T) {
	for _, c := range []struct {
		text string
		want sock.PortRange
		fail bool
	}{
		{"32768\t60999\n", sock.PortRange{Low: 32768, High: 60999}, false},
		{"1\t65535", sock.PortRange{Low: 1, High: 65535}, false},
		{"32768 60999\n", sock.PortRange{}, true},
		{"32768\t\n", sock.PortRange{}, true},
		{"32768\t65536\n", sock.PortRange{}, true},
		{"", sock.PortRange{}, true},
	} {
		t.Run(fmt.Sprintf("%q", c.text), func(t *testing.T) {
			got, err := ParsePortRange([]byte(c.text))
			if got != c.want || (err != nil) != c.fail {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// What is decoded can be written again and gives the same.
func FuzzPorts(f *testing.F) {
	f.Add("8080,9148-9150\n")
	f.Add("32768\t60999\n")
	f.Fuzz(func(t *testing.T, text string) {
		if ranges, err := ParsePorts([]byte(text)); err == nil {
			list := ""
			for i, r := range ranges {
				if i > 0 {
					list += ","
				}
				list += fmt.Sprintf("%d-%d", r.Low, r.High)
			}
			if again, err := ParsePorts([]byte(list)); err != nil || !cmp.Equal(ranges, again) {
				t.Errorf("%q: %v, again %v, %v", text, ranges, again, err)
			}
		}
		if r, err := ParsePortRange([]byte(text)); err == nil {
			if again, err := ParsePortRange(fmt.Appendf(nil, "%d\t%d", r.Low, r.High)); err != nil || r != again {
				t.Errorf("%q: %v, again %v, %v", text, r, again, err)
			}
		}
	})
}
