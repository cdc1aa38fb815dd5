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
