package schema

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestMistake(t *testing.T) {
	state := NotNull("state", "State.", func(*row) string { return "" }, Words(func() []string { return []string{"ESTABLISHED", "LISTEN", "TIME_WAIT", "CLOSE", "CLOSE_WAIT"} }))
	address := NotNull("address", "Address.", func(*row) netip.Addr { return netip.Addr{} })
	number := NotNull("number", "Number.", func(*row) string { return "" }, Only("a number", func(s string) bool { return strings.Trim(s, "0123456789") == "" }))
	free := NotNull("free", "Any text.", func(*row) string { return "" })
	for _, c := range []struct {
		column *ColumnInfo
		value  string
		like   bool
		want   string // part of it; "" if there is no mistake
	}{
		{state.info(), "LISTEN", false, ""},
		{state.info(), "", false, ""},
		{state.info(), "12", false, ""}, // of what has no word
		{state.info(), "listen", false, "did you mean 'LISTEN'?"},
		{state.info(), "LISTENING", false, "did you mean 'LISTEN'?"},
		{state.info(), "ESTAB", false, "did you mean 'ESTABLISHED'?"},
		{state.info(), "TIME-WAIT", false, "did you mean 'TIME_WAIT'?"},
		{state.info(), "CLOSED", false, "did you mean 'CLOSE'?"},
		{state.info(), "OPEN", false, "it is one of ESTABLISHED, LISTEN, TIME_WAIT, CLOSE, CLOSE_WAIT"},
		{state.info(), "est%", true, ""},
		{state.info(), "%_wait", true, ""},
		{state.info(), "open%", true, "no row has state LIKE 'open%'"},
		{address.info(), "127.0.0.1", false, ""},
		{address.info(), "::ffff:10.0.0.1", false, ""},
		{address.info(), "", false, ""},
		{address.info(), "127.%", true, ""},
		{address.info(), "localhost", false, "it is an IP address such as 127.0.0.1 or ::1"},
		{address.info(), "0:0:0:0:0:0:0:1", false, "did you mean '::1'?"},
		{address.info(), "::FFFF:10.0.0.1", false, "did you mean '::ffff:10.0.0.1'?"},
		{address.info(), "10.0.0.0/8", false, "it is an IP address"},
		{number.info(), "4026531840", false, ""},
		{number.info(), "blue", false, "no row has number = 'blue': it is a number"},
		{free.info(), "x", false, ""},
	} {
		t.Run(c.column.Name+" "+c.value, func(t *testing.T) {
			got := c.column.Mistake(c.value, c.like)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) || strings.Contains(got, "did you mean") != strings.Contains(c.want, "did you mean") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"%", "", true}, {"_", "", false}, {"a", "A", true}, {"a%", "abc", true}, {"%c", "abc", true}, {"%b%", "abc", true},
		{"a_c", "abc", true}, {"a_", "abc", false}, {"%%_", "a", true}, {"b%", "abc", false}, {"ä", "Ä", false},
	} {
		t.Run(c.pattern+" "+c.text, func(t *testing.T) {
			if got := Like(c.pattern, c.text); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	words := []string{"local_port", "remote_port", "local_address", "state", "pid"}
	for text, want := range map[string]string{"local_prot": "local_port", "ipd": "pid", "satte": "state", "tsaet": "", "stat": "state", "STATE": "state", "local": "local_port", "xyzzy": "", "p": "", "": "", "locl_addres": "local_address"} {
		t.Run(text, func(t *testing.T) {
			if got := Nearest(text, words); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	if got := Nearest(strings.Repeat("x", 10<<20), words); got != "" { // of a text of SQL, in memory that does not grow with it
		t.Errorf("of 10 MiB got %q", got)
	}
	if got := Nearest("same", slices.Repeat([]string{"same"}, 2)); got != "same" {
		t.Errorf("got %q", got)
	}
}
