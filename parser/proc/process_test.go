package proc

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeStatus(t *testing.T) {
	users := func(uid, euid uint32) Status { return Status{UID: uid, EUID: euid, HasUsers: true} }
	for _, c := range []struct {
		name, status string
		want         Status
	}{
		{"all", "Name:\tUid:\nUid:\t1000\t0\t1\t2\nGid:\t3\t4\t5\t6\nCapEff:\t0000000000003000\n",
			Status{UID: 1000, GID: 3, EGID: 4, HasUsers: true, HasGroups: true, Effective: 0x3000, HasEffective: true}},
		{"no capabilities", "CapInh:\tff\nCapEff:\t0\n", Status{HasEffective: true}},
		{"all capabilities", "CapEff:\tffffffffffffffff\n", Status{Effective: 1<<64 - 1, HasEffective: true}},
		{"the highest number", "Uid:\t1\t4294967294\t3\t4", users(1, 4294967294)},
		{"behind a long line", "Groups:\t" + strings.Repeat("1 ", maxStatusLine) + "\nUid:\t1\t2\t3\t4\n", users(1, 2)},
		{"empty", "", Status{}},
		{"no numbers", "Uid:\n", Status{}},
		{"one number", "Uid:\t1\n", Status{}},
		{"a number of 33 bits", "Uid:\t1\t4294967296\t3\t4\n", Status{}},
		{"no number", "Uid:\t1\tx\t3\t4\nCapEff:\tx\n", Status{}},
		{"only the group", "Gid:\t1\t2\t3\t4\n", Status{GID: 1, EGID: 2, HasGroups: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := DecodeStatus(strings.NewReader(c.status))
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v, want (-), got (+):\n%s", err, diff)
			}
		})
	}
	t.Run("the reader fails", func(t *testing.T) {
		failing := io.MultiReader(strings.NewReader("Name:\tx\nUid:\t1\t2\t3\t4\n"), iotest.ErrReader(io.ErrClosedPipe))
		if got, err := DecodeStatus(failing); got != (Status{}) || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestParseStat(t *testing.T) {
	const rest = " 1203 1203 0 -1 4194560 95 0 0 0 1 2 0 0 20 0 4 0 78123 3133440 434"
	for _, c := range []struct {
		name, text string
		want       Stat
		ok         bool
	}{
		{"a name with all that parts", "1203 (a) R 9 (b)\n) S 17" + rest, Stat{17, 4, 78123}, true},
		{"no parent", "1 (init) S 0" + rest, Stat{0, 4, 78123}, true},
		{"a parent that is none", "1 (x) S -1" + rest, Stat{}, false},
		{"cut", "1 (x) S 17 1203 1203 0 -1 4194560 95 0 0 0 1 2 0 0 20 0 4 0", Stat{}, false},
		{"empty", "", Stat{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := ParseStat([]byte(c.text)); got != c.want || ok != c.ok {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func TestBootTime(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       int64
		ok         bool
	}{
		{"among others", "cpu  1 2\nbtime 1769420000\nprocesses 7\n", 1769420000, true},
		{"the last line", "btime 5", 5, true},
		{"none", "cpu  1 2\nxbtime 7\n", 0, false},
		{"no number", "btime x\n", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := BootTime([]byte(c.text)); got != c.want || ok != c.ok {
				t.Errorf("got %d, %v", got, ok)
			}
		})
	}
}

// As capsh --decode prints them, which uses small letters.
func TestCapabilities(t *testing.T) {
	for set, want := range map[uint64]string{
		0:             "",
		1:             "CAP_CHOWN",
		0x3000:        "CAP_NET_ADMIN,CAP_NET_RAW",
		1<<40 | 1<<39: "CAP_BPF,CAP_CHECKPOINT_RESTORE",
		1<<63 | 1<<41: "41,63",
	} {
		t.Run(want, func(t *testing.T) {
			if got := Capabilities(set); got != want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestSocketInode(t *testing.T) {
	for _, c := range []struct {
		link  string
		inode uint64
		ok    bool
	}{
		{"socket:[4242]", 4242, true},
		{"socket:[4294967295]", 4294967295, true},
		{"socket:[]", 0, false},
		{"socket:[x]", 0, false},
		{"socket:[12", 0, false},
		{"socket:[99999999999999999999]", 0, false},
		{"pipe:[12]", 0, false},
		{"/dev/null", 0, false},
		{"", 0, false},
	} {
		t.Run(c.link, func(t *testing.T) {
			if inode, ok := SocketInode([]byte(c.link)); inode != c.inode || ok != c.ok {
				t.Errorf("got %d, %v; want %d, %v", inode, ok, c.inode, c.ok)
			}
		})
	}
}

// written is how a number is written, but for zeros that lead it.
func written(n uint64) string { return strings.TrimLeft(strconv.FormatUint(n, 10), "0") }

func FuzzStatus(f *testing.F) {
	f.Add([]byte("Name:\tsshd\nUid:\t1000\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapEff:\t3000\n"))
	f.Add([]byte("Uid:\t1\t4294967296\t3\t4"))
	f.Fuzz(func(t *testing.T, text []byte) {
		status, err := DecodeStatus(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, after, found := strings.Cut(string(text), "Uid:"); status.HasUsers && !(found && strings.Contains(after, written(uint64(status.EUID)))) {
			t.Errorf("%q has the user %d", text, status.EUID)
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("1203 (a) R) S 1 1203 1203 0 -1 4194560 95 0 0 0 1 2 0 0 20 0 4 0 78123 3133440 434"))
	f.Add([]byte("cpu  1 2\nbtime 1769420000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, ok := ParseStat(text); ok && (s.Parent < 0 || s.Threads < 0 || !bytes.Contains(text, []byte(written(s.Started)))) {
			t.Errorf("%q is %+v", text, s)
		}
		if seconds, ok := BootTime(text); ok && seconds < 0 {
			t.Errorf("%q is %d", text, seconds)
		}
	})
}

func FuzzSocketInode(f *testing.F) {
	f.Add([]byte("socket:[4242]"))
	f.Fuzz(func(t *testing.T, link []byte) {
		inode, ok := SocketInode(link)
		if !ok {
			return
		}
		digits, prefix := strings.CutPrefix(string(link), "socket:[")
		digits, suffix := strings.CutSuffix(digits, "]")
		if !prefix || !suffix || strings.TrimLeft(digits, "0") != written(inode) {
			t.Errorf("%q is socket %d", link, inode)
		}
	})
}

func TestEnded(t *testing.T) {
	for in, want := range map[string]bool{
		"1203 (sleep) Z 1 1203 1203 0 -1": true,
		"1203 (sleep) X 1 1203 1203 0 -1": true,
		"1203 (sleep) S 1 1203 1203 0 -1": false,
		"1203 (a) Z 1) R 1 1203 1203 0":   false,
		"1203 (a) R 1) Z 1 1203 1203 0":   true,
		"1203 (sleep)":                    false,
		"1203 (sleep) ":                   false,
		"":                                false,
	} {
		t.Run(in, func(t *testing.T) {
			if got := Ended([]byte(in)); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func FuzzEnded(f *testing.F) {
	f.Add([]byte("1203 (a) R) Z 1 1203 1203 0 -1"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if got := Ended(in); got && !bytes.ContainsAny(in, "ZX") {
			t.Errorf("%q has ended", in)
		}
	})
}
