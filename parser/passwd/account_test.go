package passwd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

func TestAccounts(t *testing.T) {
	var got []Account
	for a, err := range DecodeAccounts(strings.NewReader("ann:x:1000:100:Ann,,:/home/ann:/bin/sh\n+nis\nbob:x:7:8\nbad:x:y:0\n"), nil) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a)
	}
	want := []Account{{User{"ann", 1000}, 100, "Ann,,", "/home/ann", "/bin/sh"}, {User: User{"bob", 7}, GID: 8}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGroups(t *testing.T) {
	var got []Group
	for g, err := range DecodeGroups(strings.NewReader("root:x:0:\nadm:x:4:ann, bob,,\n+\nshort:x:9\nbad:x\n"), nil) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, g)
	}
	want := []Group{{"root", 0, nil}, {"adm", 4, []string{"ann", "bob"}}, {"short", 9, nil}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzAccounts: an account has the user that Decode gives, and every line is an
// entry, skipped, or another database's.
func FuzzAccounts(f *testing.F) {
	f.Add("ann:x:1000:100:Ann,,:/home/ann:/bin/sh\nadm:x:4:ann,bob\n+\n")
	f.Fuzz(func(t *testing.T, in string) {
		users, _ := decode(t, in)
		var of []User
		for a, err := range DecodeAccounts(strings.NewReader(in), nil) {
			if err != nil {
				t.Fatal(err)
			}
			of = append(of, a.User)
		}
		if diff := cmp.Diff(users, of); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
		n := 0
		for g, err := range DecodeGroups(strings.NewReader(in), func(*parser.LineError) { n++ }) {
			if err != nil || strings.ContainsAny(g.Name, ":\n") {
				t.Fatalf("%+v %v", g, err)
			}
			n++
		}
		if n > strings.Count(in, "\n")+1 {
			t.Errorf("%d entries of %q", n, in)
		}
	})
}
