package text

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":                  {"", ""},
		"a path":                 {"/run/my app.sock", "/run/my app.sock"},
		"letters of all scripts": {"é e\u0301 日本 Ω \ufffd 😀", "é e\u0301 日本 Ω \ufffd 😀"},
		"C0":                     {"a\n\t\r\x00\x1b[31m", `a\x0a\x09\x0d\x00\x1b[31m`},
		"DEL":                    {"a\x7f", `a\x7f`},
		"C1":                     {"a\u0080\u0085\u009b31m\u009f", `a\xc2\x80\xc2\x85\xc2\x9b31m\xc2\x9f`},
		"no UTF-8":               {"\xff\xc3ñ\xe2\x82", `\xff\xc3ñ\xe2\x82`},
		"a surrogate":            {"\xed\xa0\x80", `\xed\xa0\x80`},
		"overlong":               {"\xc0\xaf", `\xc0\xaf`},
		"right to left":          {"a\u202etxt.exe\u2066", `a\xe2\x80\xaetxt.exe\xe2\x81\xa6`},
		"marks of direction":     {"\u200e\u200f\u061c", `\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c`},
		"zero width":             {"a\u200b\u200d\ufeff\u00ad", `a\xe2\x80\x8b\xe2\x80\x8d\xef\xbb\xbf\xc2\xad`},
		"other invisible ones":   {"\u034f\u3164\ufe0f\U000e0041", `\xcd\x8f\xe3\x85\xa4\xef\xb8\x8f\xf3\xa0\x81\x81`},
		"line separators":        {"\u2028\u2029", `\xe2\x80\xa8\xe2\x80\xa9`},
		"other blanks":           {"a\u00a0\u3000b", `a\xc2\xa0\xe3\x80\x80b`},
		"private use":            {"\ue000", `\xee\x80\x80`},

		"a backslash":             {`C:\new\`, `C:\new\`},
		"two":                     {`a\\b`, `a\\b`},
		"a unit of systemd":       {`dev-disk-by\x2duuid.device`, `dev-disk-by\x2duuid.device`},
		"upper case":              {`\x1B\xFF`, `\x1B\xFF`},
		"one digit":               {`\x1`, `\x1`},
		"no digits":               {`\xg0\x+1`, `\xg0\x+1`},
		"what reads as a control": {`\x1b`, `\x5cx1b`},
		"as a high byte":          {`\xff\x80`, `\x5cxff\x5cx80`},
		"as a backslash":          {`\x5c`, `\x5cx5c`},
		"as printable":            {`\x20\x5b\x7e`, `\x20\x5b\x7e`},
		"before an escape":        {"\\\x1b", `\\x1b`},
		"half of one before one":  {"\\x\x1b\\x1\x1b", `\x\x1b\x1\x1b`},
		"escaped twice":           {`\x5cx1b`, `\x5cx5cx1b`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Escape(c.in); got != c.want {
				t.Errorf("%q: got %s, want %s", c.in, got, c.want)
			}
			if got := Unescape(c.want); got != c.in {
				t.Errorf("%s: back is %q, want %q", c.want, got, c.in)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain":           {"a b", "a b"},
		"controls":        {"a\x1b[31m\n", `a\x1b[31m\x0a`},
		"an escaped name": {`a\x1b[31m\x5cxff`, `a\x1b[31m\x5cxff`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Printable(c.in); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got := string(AppendPrintable([]byte("> "), []byte(c.in))); got != "> "+c.want {
				t.Errorf("appended: got %s, want %s", got, c.want)
			}
		})
	}
}

func TestNoAllocations(t *testing.T) {
	for name, s := range map[string]string{"plain": "/usr/lib/systemd/systemd-journald", "empty": "", "a unit": `dev-disk-by\x2duuid.device`, "letters": "/home/jörg"} {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, func() { Escape(s) }); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// FuzzEscape holds what a reader relies on: different names have different texts,
// and a text is a line of visible characters.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"/run/a b", "\x1b[31m\xff\xc3ñ", `\x2d\x1b\x5c\\x\x`, "\\\x00\\x\x01\\x1\x7f", "\u202e\u200b\u2028\ufe0f", `\x5cx5cx1b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := Escape(name)
		if back := Unescape(got); back != name {
			t.Fatalf("%q is %s, which is %q", name, got, back)
		}
		for what, s := range map[string]string{"Escape": got, "Printable": Printable(name)} {
			hidden := func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) && r != ' ' }
			if !utf8.ValidString(s) || strings.ContainsFunc(s, hidden) {
				t.Fatalf("%s of %q: %q", what, name, s)
			}
			if Printable(s) != s {
				t.Fatalf("%s of %q changes again: %q", what, name, s)
			}
		}
	})
}

func BenchmarkEscape(b *testing.B) {
	for name, s := range map[string]string{"plain": "/usr/lib/systemd/systemd-journald", "umlaut": "/home/jörg/socket", "unit": `dev-disk-by\x2duuid.device`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Escape(s)
			}
		})
	}
}
