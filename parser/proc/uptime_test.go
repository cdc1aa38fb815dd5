package proc

import (
	"strings"
	"testing"
)

func TestUptime(t *testing.T) {
	for text, want := range map[string]int64{"52593.27 103204.11\n": 52593, "0.01 0.00": 0, "": -1, "x": -1, "-1.0 0": -1} {
		t.Run(text, func(t *testing.T) {
			if got, ok := Uptime([]byte(text)); ok != (want >= 0) || ok && got != want {
				t.Errorf("%d, %v", got, ok)
			}
		})
	}
}

func FuzzUptime(f *testing.F) {
	f.Add([]byte("52593.27 103204.11\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, ok := Uptime(text); ok && (got < 0 || !strings.ContainsAny(string(text), "0123456789")) {
			t.Errorf("%q gives %d", text, got)
		}
	})
}
