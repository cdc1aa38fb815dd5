package parser

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFields(t *testing.T) {
	for in, want := range map[string][]string{
		"":                          nil,
		" \t ":                      nil,
		"a":                         {"a"},
		"\ta  b\t\tc ":              {"a", "b", "c"},
		"a\u0085b c\u00a0d\u3000e":  {"a\u0085b", "c\u00a0d\u3000e"},
		"a\rb \vc\f\n d":            {"a\rb", "\vc\f\n", "d"},
		"\xff\x85\xa0 \x00\x1c\x1f": {"\xff\x85\xa0", "\x00\x1c\x1f"},
	} {
		t.Run(in, func(t *testing.T) {
			if diff := cmp.Diff(want, slices.Collect(Fields(in))); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
	t.Run("an early end", func(t *testing.T) {
		for word := range Fields([]byte("a b")) {
			if string(word) != "a" {
				t.Errorf("got %q", word)
			}
			break
		}
	})
}

func TestWords(t *testing.T) {
	header := Words("a bc")
	for in, want := range map[string]bool{
		"a bc": true, " a\tbc ": true, "a bc d": true,
		"": false, "a": false, "a b": false, "a bcd": false, "abc": false, "a\u00a0bc": false, "x a bc": false,
	} {
		t.Run(in, func(t *testing.T) {
			if got := header([]byte(in)); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// FuzzFields holds Fields to a split at every blank.
func FuzzFields(f *testing.F) {
	f.Add("\ta  b\t\tc\u0085d ")
	f.Fuzz(func(t *testing.T, in string) {
		want := slices.DeleteFunc(strings.Split(strings.ReplaceAll(in, "\t", " "), " "), func(s string) bool { return s == "" })
		if got := slices.Collect(Fields(in)); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
