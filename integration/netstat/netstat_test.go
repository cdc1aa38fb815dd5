package netstat

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Each address is asked for once, for no longer than a while, and all of them for
// no longer than a while more.
func TestHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]int{}
		h := NewHosts(t.Context())
		h.lookUp = func(ctx context.Context, address string) ([]string, error) {
			asked[address]++
			switch address {
			case "192.0.2.1":
				return []string{"one.example.", "other.example."}, nil
			case "192.0.2.2":
				return nil, errors.New("no such host")
			}
			<-ctx.Done() // a server that does not answer
			return nil, ctx.Err()
		}
		start := time.Now()
		for range 3 {
			for address, want := range map[string]string{"192.0.2.1": "one.example", "192.0.2.2": "", "192.0.2.3": ""} {
				if got := h.Name(address); got != want {
					t.Errorf("%s is %q, want %q", address, got, want)
				}
			}
		}
		for address, n := range asked {
			if n != 1 {
				t.Errorf("%s was asked for %d times", address, n)
			}
		}
		if took := time.Since(start); took != perAddress {
			t.Errorf("one that does not answer took %v, want %v", took, perAddress)
		}
		for i := range 100 {
			h.Name("198.51.100." + string(rune('a'+i)))
		}
		if took := time.Since(start); took != allAddresses {
			t.Errorf("all took %v, want %v", took, allAddresses)
		}
		// The time is over, but what is known stays known.
		if got := h.Name("192.0.2.1"); got != "one.example" {
			t.Errorf("got %q", got)
		}
	})
}

// The rows of names that rule a terminal: cells hold them escaped, and nothing is
// escaped again. Where netstat cuts a name it is cut there, between its bytes.
func TestHostileNames(t *testing.T) {
	cells := func(texts ...string) (cells [][]byte) {
		for _, s := range texts {
			cells = append(cells, []byte(s))
		}
		return cells
	}
	unixCells := cells("unix", "2", "ACC", "STREAM", "LISTENING", "7", `@a\x1b[31m b\x0ac`, `42/p\x1b\x5cx1b_and_more_of_it`)
	routeCells := cells("192.0.2.0", "", "255.255.255.0", "U", "0", "0", "0", `v\x1b[31mx`, "0", "0", "0", "24")
	for name, c := range map[string]struct {
		o     Options
		view  func(*Options) View
		cells [][]byte
		want  string
	}{
		"a path and a program": {Options{Unix: true, Programs: true}, sockets, unixCells,
			`unix  2      [ ACC ]     STREAM     LISTENING     7        42/p\x1b\x5cx1b_and_more_of_it @a\x1b[31m b\x0ac`},
		"as netstat cuts them": {Options{Unix: true, Programs: true, Strict: true}, sockets, unixCells,
			`unix  2      [ ACC ]     STREAM     LISTENING     7        42/p\x1b\x5cx1b_and_more_ @a\x1b[31m`},
		"a path that ends at a newline": {Options{Unix: true, Strict: true}, sockets, cells("unix", "2", "", "DGRAM", "", "7", `@\xff\x0ac`),
			`unix  2      [ ]         DGRAM                    7        @\xff`},
		"an interface": {Options{}, func(o *Options) View { return o.Interfaces()[0] }, cells(`\xff\xff\xff\xff\xffabc`, "1500", "0", "0", "0", "0", "0", "0", "0", "0", "BMU"),
			`\xff\xff\xff\xff\xffabc  1500        0      0      0 0             0      0      0      0 BMU`},
		"a route": {Options{IPv4: true, NumericHosts: true}, func(o *Options) View { return o.Routes()[0] }, routeCells,
			`192.0.2.0       0.0.0.0         255.255.255.0   U         0 0          0 v\x1b[31mx`},
		"a route, extended": {Options{IPv4: true, NumericHosts: true, Extend: 2}, func(o *Options) View { return o.Routes()[0] }, routeCells,
			`192.0.2.0       0.0.0.0         255.255.255.0   U     0      0        0 v\x1b[31m   0     0      0`},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.view(&c.o)
			if got := string(v.Row(nil, c.cells)); got != c.want+"\n" {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func sockets(o *Options) View { return o.Views()[0] }
