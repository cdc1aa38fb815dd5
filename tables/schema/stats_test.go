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

// Losses add up, and one that goes on counts until now.
func TestLosses(t *testing.T) {
	s := NewStats()
	s.Registered()
	if r := s.Registrations(); r != (Registrations{Count: 1}) {
		t.Errorf("after one registration: %+v", r)
	}
	first := time.Now().Add(-time.Hour)
	s.Lost(first)
	if r := s.Registrations(); r.Losses != 1 || !r.LastLoss.Equal(first) || r.Gone < time.Hour {
		t.Errorf("while it is lost: %+v", r)
	}
	s.Registered()
	once := s.Registrations()
	if once.Count != 2 || once.Losses != 1 || once.Gone < time.Hour || once != s.Registrations() {
		t.Errorf("after the loss: %+v", once)
	}
	second := time.Now().Add(-time.Minute)
	s.Lost(second)
	s.Registered()
	if r := s.Registrations(); r.Count != 3 || r.Losses != 2 || !r.LastLoss.Equal(second) || r.Gone < once.Gone+time.Minute {
		t.Errorf("after another: %+v", r)
	}
}
