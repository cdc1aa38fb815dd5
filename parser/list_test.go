package parser

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// pairs has two lines for a record.
func pairs(parts bool) List[string] {
	first := ""
	return List[string]{
		Header: Words("a b"), Parts: parts,
		Line: func(l Line) (v string, ok bool, err error) {
			switch text := string(l.Text[:min(len(l.Text), 9)]); {
			case text == "bad" || text == "ba":
				return "", false, l.Error("expected good")
			case first == "":
				first = text
				return "", false, nil
			default:
				v, first = first+text, ""
				return v, true, nil
			}
		},
		End: func() (string, bool, error) { return first, first != "", nil },
	}
}

func TestList(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		in    io.Reader
		parts bool
		want  []string
		fails string
	}{
		{"whole", strings.NewReader("a b\n1\n2\n3\n4\n"), false, []string{"12", "34"}, ""},
		{"the end completes a record", strings.NewReader("a b\n1\n2\n3\n"), false, []string{"12", "3"}, ""},
		{"a header with more words and blanks", strings.NewReader("  a  b\tc\n1\n2\n"), false, []string{"12"}, ""},
		{"no record", strings.NewReader("a b\n"), false, nil, ""},
		{"empty", strings.NewReader(""), false, nil, "line 1: the file is empty, even its header is missing"},
		{"another header", strings.NewReader("a bc\n1\n2\n"), false, nil, `line 1: expected the header of another list: "a bc"`},
		{"a malformed line", strings.NewReader("a b\n1\n2\n3\nbad\n5\n"), false, []string{"12"}, `line 5: expected good: "bad"`},
		{"without the last newline", strings.NewReader("a b\n1\n2"), false, []string{"12"}, ""},
		{"a header without its newline", strings.NewReader("a b"), false, nil, ""},
		{"cut off", strings.NewReader("a b\n1\n2\n3\nba"), false, []string{"12"}, `line 5: the file ends in the middle of a line: "ba"`},
		{"cut off in the header", strings.NewReader("a "), false, nil, `line 1: the file ends in the middle of a line: "a "`},
		{"too long", strings.NewReader("a b\n1\n" + strings.Repeat("x", MaxLine) + "\n"), false, nil, "line 3: the line is too long"},
		{"just not too long", strings.NewReader("a b\n1\n" + strings.Repeat("x", MaxLine-1) + "\n"), false, []string{"1xxxxxxxxx"}, ""},
		{"parts", strings.NewReader("a b\n" + strings.Repeat("x", MaxLine) + "\n2"), true, []string{"xxxxxxxxx2"}, ""},
		{"a reader that fails", io.MultiReader(strings.NewReader("a b\n1\n2\n3"), iotest.ErrReader(broken)), false, []string{"12"}, "line 4: broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			var last error
			for v, err := range pairs(c.parts).Decode(c.in) {
				if last != nil {
					t.Fatalf("%q, %v after the error %v", v, err, last)
				}
				if last = err; err == nil {
					got = append(got, v)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			if (last == nil) != (c.fails == "") || last != nil && !strings.HasPrefix(last.Error(), c.fails) {
				t.Errorf("got the error %v, want %q", last, c.fails)
			}
			var line *LineError
			if last != nil && !errors.As(last, &line) && !errors.Is(last, broken) {
				t.Errorf("the error is a %T", last)
			}
		})
	}
	t.Run("an early end", func(t *testing.T) {
		for v, err := range pairs(false).Decode(strings.NewReader("a b\n1\n2\nbad\n")) {
			if v != "12" || err != nil {
				t.Errorf("got %q, %v", v, err)
			}
			break
		}
	})
}

// A list without a header may be empty, unless it says that it never is.
func TestEmptyList(t *testing.T) {
	for _, notEmpty := range []bool{false, true} {
		t.Run(strconv.FormatBool(notEmpty), func(t *testing.T) {
			list := List[int]{NotEmpty: notEmpty, Line: func(l Line) (int, bool, error) { return l.Number, true, nil }}
			var got error
			for _, got = range list.Decode(strings.NewReader("")) {
			}
			if (got != nil) != notEmpty || got != nil && got.Error() != "line 1: the file is empty" {
				t.Errorf("got %v", got)
			}
		})
	}
}

// FuzzList holds that no line is lost: each is in a record, or there is an error.
func FuzzList(f *testing.F) {
	f.Add("a b\n1\n2\n3\n")
	f.Fuzz(func(t *testing.T, in string) {
		lines := 0
		list := List[int]{Header: Words("a b"), Line: func(l Line) (int, bool, error) { return l.Number, true, nil }}
		for n, err := range list.Decode(strings.NewReader(in)) {
			if err != nil {
				return
			}
			if lines++; n != lines+1 {
				t.Fatalf("line %d after %d lines", n, lines)
			}
		}
		want := strings.Count(in, "\n") - 1
		if in[len(in)-1] != '\n' {
			want++
		}
		if lines != want {
			t.Errorf("%d lines, want %d", lines, want)
		}
	})
}
