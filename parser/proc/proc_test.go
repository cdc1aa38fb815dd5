package proc

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

func TestNamespaceNumber(t *testing.T) {
	for in, want := range map[string]uint32{
		"net:[4026531840]": 4026531840,
		"net:[4294967296]": 0,
		"net:[-1]":         0,
		"mnt:[4026531840]": 0,
		"net:[4026531840":  0,
		"net:[]":           0,
		"":                 0,
	} {
		t.Run(in, func(t *testing.T) {
			if got := NamespaceNumber(in); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		})
	}
}

func FuzzNamespaceNumber(f *testing.F) {
	f.Add("net:[4026531840]")
	f.Add("net:[0004026531840]")
	f.Fuzz(func(t *testing.T, s string) {
		n := NamespaceNumber(s)
		if canonical := fmt.Sprintf("net:[%d]", n); n != 0 && NamespaceNumber(canonical) != n {
			t.Errorf("%q gives %d, %q another", s, n, canonical)
		}
	})
}

func mounts(r io.Reader) (all []NamespaceMount, err error) {
	for m, err := range NamespaceMounts(r) {
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, nil
}

func TestNamespaceMounts(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []NamespaceMount
	}{
		{"a namespace", "36 22 0:4 net:[4026532177] /run/netns/blue rw shared:20 - nsfs nsfs rw\n", []NamespaceMount{{4026532177, "/run/netns/blue"}}},
		{"escapes", `38 22 0:4 net:[4026532177] /run/netns/a\040b\134c\0119\999 rw - nsfs nsfs rw` + "\n", []NamespaceMount{{4026532177, "/run/netns/a b\\c\t9\\999"}}},
		{"half an escape", `38 22 0:4 net:[4026532177] /a\04` + "\n", []NamespaceMount{{4026532177, `/a\04`}}},
		{"another blank", "38 22 0:4 net:[4026532177] /a\r\u3000b rw\n", []NamespaceMount{{4026532177, "/a\r\u3000b"}}},
		{"another namespace", "39 22 0:4 mnt:[4026532178] /run/snapd/ns/x.mnt rw - nsfs nsfs rw\n", nil},
		{"a filesystem", "22 1 0:20 / / rw - overlay overlay rw\n", nil},
		{"a long line", "22 1 0:20 / / rw - overlay overlay rw,lowerdir=" + strings.Repeat("/x:", parser.MaxLine) + "\n40 22 0:4 net:[7] /n rw\n", []NamespaceMount{{7, "/n"}}},
		{"a short line", "1 2 3\n40 22 0:4 net:[7] /n rw\n", []NamespaceMount{{7, "/n"}}},
		{"nothing", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := mounts(strings.NewReader(c.in))
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
	t.Run("a reader that fails", func(t *testing.T) {
		broken := errors.New("broken")
		if _, err := mounts(iotest.ErrReader(broken)); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzNamespaceMounts(f *testing.F) {
	f.Add("36 22 0:4 net:[4026532177] /run/netns/blue rw shared:20 - nsfs nsfs rw\n")
	f.Add(`38 22 0:4 net:[4026532177] /run/netns/a\040b\134c rw - nsfs nsfs rw` + "\n")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := mounts(strings.NewReader(in))
		if err != nil || len(got) > strings.Count(in, "net:[") {
			t.Errorf("%d mounts, %v", len(got), err)
		}
		for _, m := range got {
			if m.Inode == 0 || len(m.File) > len(in) || strings.Contains(m.File, " ") && !strings.Contains(in, `\`) {
				t.Errorf("%+v", m)
			}
		}
	})
}

func TestParseMemoryLimits(t *testing.T) {
	for in, want := range map[string]MemoryLimits{
		"94626\t126170\t189252\n": {94626, 126170, 189252},
		"1 2 3 4\n":               {1, 2, 3},
		"1\t2\n":                  {},
		"1\t2\tx\n":               {},
		"":                        {},
	} {
		t.Run(in, func(t *testing.T) {
			got, err := ParseMemoryLimits([]byte(in))
			if bad := want == (MemoryLimits{}); got != want || (err != nil) != bad || bad && !strings.Contains(err.Error(), "expected three numbers of pages") {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func FuzzParseMemoryLimits(f *testing.F) {
	f.Add([]byte("94626\t126170\t189252\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := ParseMemoryLimits(in)
		if err != nil {
			return
		}
		if again, err := ParseMemoryLimits(fmt.Appendf(nil, "%d\t%d\t%d\n", got.Low, got.Pressure, got.High)); again != got || err != nil {
			t.Errorf("got %+v, and printed again %+v, %v", got, again, err)
		}
	})
}

func TestPeakMemory(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     int64
		ok       bool
	}{
		{"a process", "Name:\tx\nVmPeak:\t    9000 kB\nVmHWM:\t    5028 kB\nVmRSS:\t    5000 kB\n", 5028 << 10, true},
		{"a thread of the kernel", "Name:\tkthreadd\nState:\tS\n", 0, false},
		{"a hostile name", "Name:\tx VmHWM: 7 kB\nState:\tS\n", 0, false},
		{"no number", "Name:\tx\nVmHWM:\tx kB\n", 0, false},
		{"too large", "Name:\tx\nVmHWM:\t9007199270000000 kB\n", 0, false},
		{"cut off", "Name:\tx\nVmHWM:", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := PeakMemory([]byte(c.in)); got != c.want || ok != c.ok {
				t.Errorf("got %d, %v, want %d, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func FuzzPeakMemory(f *testing.F) {
	f.Add([]byte("Name:\tx\nVmHWM:\t    5028 kB\n"))
	f.Fuzz(func(t *testing.T, status []byte) {
		got, ok := PeakMemory(status)
		if ok && !strings.Contains(string(status), "\nVmHWM:") || !ok && got != 0 {
			t.Errorf("got %d, %v", got, ok)
		}
	})
}
