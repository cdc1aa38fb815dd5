package schema

import (
	"testing"
	"time"
)

// Quantiles are not below the truth, and above it by at most an eighth.
func TestQuantiles(t *testing.T) {
	s := NewStats()
	for n := 1; n <= 1000; n++ {
		s.Observe("a", 0, time.Duration(n)*time.Microsecond, nil)
	}
	for _, one := range s.Tables() {
		for want, got := range map[time.Duration]time.Duration{500 * time.Microsecond: one.P50, 990 * time.Microsecond: one.P99} {
			if got < want || got > want*9/8 {
				t.Errorf("%v, want %v or a little more", got, want)
			}
		}
	}
	for d := time.Duration(1); d < time.Hour*1000; d = d*5/4 + 1 {
		s := NewStats()
		s.Observe("a", 0, d, nil)
		if got := s.Tables()[0].P99; got < d || got > d*9/8+1 {
			t.Errorf("one of %d ns is %d", d, got)
		}
	}
}
