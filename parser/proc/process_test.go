package proc

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEffectiveUser(t *testing.T) {
	for _, c := range []struct {
		name, status string
		uid          uint32
		ok           bool
	}{
		{"root by another user", "Name:\tUid:\nUid:\t1000\t0\t1\t2\nGid:\t3\t4\t5\t6\n", 0, true},
		{"the highest number", "Uid:\t1\t4294967294\t3\t4", 4294967294, true},
		{"behind a long line", "Groups:\t" + strings.Repeat("1 ", maxStatusLine) + "\nUid:\t1\t2\t3\t4\n", 2, true},
		{"empty", "", 0, false},
		{"no numbers", "Uid:\n", 0, false},
		{"one number", "Uid:\t1\n", 0, false},
		{"a number of 33 bits", "Uid:\t1\t4294967296\t3\t4\n", 0, false},
		{"no number", "Uid:\t1\tx\t3\t4\n", 0, false},
		{"only the group", "Gid:\t1\t2\t3\t4\n", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if uid, ok, err := EffectiveUser(strings.NewReader(c.status)); err != nil || ok != c.ok || uid != c.uid {
				t.Errorf("got %d, %v, %v; want %d, %v", uid, ok, err, c.uid, c.ok)
			}
		})
	}
	t.Run("the reader fails", func(t *testing.T) {
		failing := io.MultiReader(strings.NewReader("Name:\tx\n"), iotest.ErrReader(io.ErrClosedPipe))
		if _, ok, err := EffectiveUser(failing); ok || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v, %v", ok, err)
		}
	})
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

func FuzzEffectiveUser(f *testing.F) {
	f.Add([]byte("Name:\tsshd\nUid:\t1000\t0\t0\t0\nGid:\t0\t0\t0\t0\n"))
	f.Add([]byte("Uid:\t1\t4294967296\t3\t4"))
	f.Fuzz(func(t *testing.T, status []byte) {
		uid, ok, err := EffectiveUser(bytes.NewReader(status))
		if err != nil {
			t.Fatal(err)
		}
		if _, after, found := strings.Cut(string(status), "Uid:"); ok && !(found && strings.Contains(after, written(uint64(uid)))) {
			t.Errorf("%q has the user %d", status, uid)
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
