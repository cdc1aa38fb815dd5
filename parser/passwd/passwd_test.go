package passwd

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// decode returns all that Decode gives, and the texts of the lines it skips.
func decode(t testing.TB, in string) (users []User, skipped []string) {
	t.Helper()
	for u, err := range Decode(strings.NewReader(in), func(e *parser.LineError) { skipped = append(skipped, e.Text) }) {
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, u)
	}
	return users, skipped
}

// The C library takes each of these lines the same way: see TestAgainstGetent.
func TestDecode(t *testing.T) {
	one := []User{{"ann", 1000}}
	for _, c := range []struct {
		name, in string
		want     []User
	}{
		{"a whole line", "ann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\n", one},
		{"no newline", "ann:x:1000:1000:Ann,,,:/home/ann:/bin/sh", one},
		{"no shell", "ann:x:1000:1000:Ann:/home/ann\n", one},
		{"no home", "ann:x:1000:1000:Ann\n", one},
		{"no comment", "ann:x:1000:1000:\n", one},
		{"no colon behind the gid", "ann:x:1000:1000\n", one},
		{"more colons", "ann:x:1000:1000:::::::\n", one},
		{"no password", "ann::1000:1000\n", one},
		{"white space before the name and the numbers", " \t\v\f\rann:x: 1000:\t1000\n", one},
		{"signs", "ann:x:+1000:+1\n", one},
		{"zeros", "ann:x:0001000:00\n", one},
		{"a NUL", "ann:x:1000:1000\x00:\n", one},
		{"comments and empty lines", "# root:x:0:0\n\n \t\n  #\nann:x:1000:1000\n", one},
		{"the highest number", "ann:x:4294967295:0\n", []User{{"ann", 4294967295}}},
		{"not UTF-8", "a\xff\u00a0b:x:1:1\n", []User{{"a\xff\u00a0b", 1}}},
		{"blanks in and behind the name", "a b :x:1:1\n", []User{{"a b ", 1}}},
		{"no name", ":x:1:1\n", []User{{"", 1}}},
		{"a name twice, a number twice", "ann:x:1:1\nbob:x:1:1\nann:x:2:2\n", []User{{"ann", 1}, {"bob", 1}, {"ann", 2}}},
		{"users of another database", "+\n-\n+ann:x:1:1\n-ann:x:1:1\n+::::::\n", nil},
		{"nothing", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, skipped := decode(t, c.in)
			if diff := cmp.Diff(c.want, got); diff != "" || skipped != nil {
				t.Errorf("skipped %q, want (-), got (+):\n%s", skipped, diff)
			}
		})
	}
}

// malformed lines are no users for the C library either.
var malformed = []string{
	"ann", "ann:x", "ann:x:", "ann:x:1000", "ann:x:1000:", "ann:x::1000", "ann:x:1000:x", "ann:x:1000x:1000", "ann:x:1000 :1000", "ann:x:1000:1000\r", "ann:x:1000:1000 ",
	"ann:x:0x10:1000", "ann:x:1_000:1000", "ann:x:++1:1", "ann:x:+-1:1", "ann:x:\u00a01000:1000", "ann:x:1000\x00:1000",
	"ann:x:4294967296:0", "ann:x:99999999999999999999:0", "ann:x:-1:0", "ann:x:1000:-1", "ann:x:1000:4294967296",
}

func TestMalformed(t *testing.T) {
	for _, line := range append(malformed, "ann:x:1:1:"+strings.Repeat("x", parser.MaxLine)) {
		t.Run(line[:min(len(line), 20)], func(t *testing.T) {
			got, skipped := decode(t, line+"\nbob:x:7:7\n")
			if diff := cmp.Diff([]User{{"bob", 7}}, got); diff != "" || len(skipped) != 1 || !strings.HasPrefix(line, skipped[0]) {
				t.Errorf("skipped %q, want (-), got (+):\n%s", skipped, diff)
			}
		})
	}
	t.Run("the reader fails", func(t *testing.T) {
		broken := errors.New("broken")
		var last error
		for _, err := range Decode(io.MultiReader(strings.NewReader("ann:x:1:1\n"), iotest.ErrReader(broken)), nil) {
			last = err
		}
		if !errors.Is(last, broken) {
			t.Errorf("got %v", last)
		}
	})
}

// getent returns the names of users, in a file that stands in for /etc/passwd; ""
// if there is none.
func getent(t *testing.T, file string, uids []uint32) map[uint32]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, uid := range uids {
		keys = append(keys, strconv.FormatUint(uint64(uid), 10))
	}
	// The file is in its place only for the program. Its exit code is 2 if a key has no entry.
	script := `mount --bind "$1" /etc/passwd && shift && { getent --no-idn --service=files passwd "$@" || [ $? = 2 ]; }`
	out, err := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "sh", path}, keys...)...).Output()
	if err != nil {
		err = fmt.Errorf("getent in a mount namespace: %w", errors.Join(err, errors.ErrUnsupported))
		if os.Getenv("SOCKETS_MUST_RUN") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	names := make(map[uint32]string)
	for line := range strings.Lines(string(out)) {
		f := strings.Split(line, ":")
		uid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		names[uint32(uid)] = f[0]
	}
	return names
}

// first are the names of the first users with a number, as getpwuid(3) finds them.
func first(users []User) map[uint32]string {
	names := make(map[uint32]string)
	for _, u := range users {
		if _, taken := names[u.UID]; !taken {
			names[u.UID] = u.Name
		}
	}
	return names
}

// TestAgainstGetent asks the C library for the users of random lines.
func TestAgainstGetent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	for i := range 20 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			var file strings.Builder
			for range 30 {
				name := pick("a", "b", "c", "+d", "-e", " f", "\tg h", "#i", "\u00a0j", "k ", "")
				number := func() string {
					return pick("1", "2", "3", "4", "5", "6", "7", "8", "+2", " 3", "-1", "004", "4294967295", "4294967296", "99999999999999999999", "5 ", "6x", "0x7", "", "-", "+-1", "1_0", "\v7", "\u00a08")
				}
				line := name + pick(":", ":x:", ":x:", ":x:", ":x:", "") + number() + pick(":", ":", ":", "") + number() + pick("", ":", ":::", ":Ann:/home/ann:/bin/sh", ":a:b:c", "\r", " ", "\x00:x")
				file.WriteString(line + "\n")
			}
			got, _ := decode(t, file.String())
			want := first(got)
			delete(want, 4294967295) // getent takes it for no user's number
			uids := []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 10}
			if diff := cmp.Diff(getent(t, file.String(), uids), want); diff != "" {
				t.Errorf("of\n%s\ngetent finds (-), Decode gives (+):\n%s", file.String(), diff)
			}
		})
	}
	t.Run("malformed", func(t *testing.T) {
		uids := []uint32{0, 1, 8, 10, 16, 1000}
		if diff := cmp.Diff(map[uint32]string{}, getent(t, strings.Join(malformed, "\n")+"\n", uids)); diff != "" {
			t.Errorf("getent finds (+):\n%s", diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("ann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\n# root\n+::::::\n bob:: 7:-1")
	f.Fuzz(func(t *testing.T, in string) {
		users, skipped := decode(t, in)
		if lines := strings.Count(in, "\n") + 1; len(users)+len(skipped) > lines {
			t.Fatalf("%d users and %d skipped of %d lines", len(users), len(skipped), lines)
		}
		for _, u := range users {
			if strings.ContainsAny(u.Name, ":\n\x00") || !strings.Contains(in, u.Name+":") {
				t.Fatalf("%q is no name of %q", u.Name, in)
			}
			again, bad := decode(t, fmt.Sprintf("%s:x:%d:0\n", u.Name, u.UID))
			if diff := cmp.Diff([]User{u}, again); diff != "" || bad != nil {
				t.Errorf("written again (+), skipped %q:\n%s", bad, diff)
			}
		}
	})
}
