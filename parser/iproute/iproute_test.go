package iproute

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Entry
		skipped    int
	}{
		{"empty", "", nil, 0},
		{"comments", "#\n# reserved values\n#\n255\tlocal\n\n#1 inr.ruhep\n", []Entry{{255, "local"}}, 0},
		{"hexadecimal", "0x64 hundred\n", []Entry{{100, "hundred"}}, 0},
		{"rest of a line", "  7 seven # of nine\n8 eight nine", []Entry{{7, "seven"}, {8, "eight"}}, 0},
		{"large", "4294967295 last\n4294967296 none\n", []Entry{{4294967295, "last"}}, 1},
		{"twice", "7 a\n7 b\n", []Entry{{7, "a"}, {7, "b"}}, 0},
		{"malformed", "seven 7\n7\n-7 a\n+7 b\n1_0 c\n9 nine\n", []Entry{{9, "nine"}}, 5},
		{"bytes", "7 a\x85\xa0\xff\n", []Entry{{7, "a\x85\xa0\xff"}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []Entry
			skipped := 0
			for e, err := range Decode(strings.NewReader(c.text), func(*parser.LineError) { skipped++ }) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || skipped != c.skipped {
				t.Errorf("%d lines skipped, want %d; want (-), got (+):\n%s", skipped, c.skipped, diff)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("#\n255\tlocal\n0x64 hundred # a\n")
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		for e, err := range Decode(strings.NewReader(text), func(*parser.LineError) { n++ }) {
			n++
			if err != nil || e.Name == "" || strings.ContainsAny(e.Name, " \t\n") {
				t.Errorf("%+v, %v", e, err)
			}
		}
		if lines := strings.Count(text, "\n") + 1; n > lines {
			t.Errorf("%d entries of %d lines", n, lines)
		}
	})
}
