package tracking

import "testing"

// Connections are remembered, and not more than a few of them.
func TestRecent(t *testing.T) {
	var r recent
	c := Connection{}
	for i := range 1000 {
		c.Original.SourcePort = uint16(i)
		if r.again(&c.Connection) || !r.again(&c.Connection) {
			t.Fatal(i)
		}
	}
	if len(r.seen) > len(r.ring) {
		t.Errorf("%d are remembered", len(r.seen))
	}
}
