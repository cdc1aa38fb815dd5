package e2e

import (
	"bytes"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// The names of users are those of the passwd file, whatever the environment calls
// the user who asks.
func TestUsersAreNotOfTheEnvironment(t *testing.T) {
	const stranger = 4242 // has no name
	if err := exec.Command("getent", "passwd", strconv.Itoa(stranger)).Run(); err == nil {
		t.Fatalf("the user %d has a name", stranger)
	}
	ns := netnstest.New(t)
	sockets := ns.Populate(t)
	listener := sockets[slices.IndexFunc(sockets, func(s netnstest.Socket) bool { return s.Proto == "tcp" && s.State == "LISTEN" })]
	if err := unix.Fchown(listener.FD, stranger, -1); err != nil {
		t.Fatal(err)
	}
	credential := &syscall.Credential{Uid: stranger, Gid: stranger}
	holder := exec.Command("sleep", "60")
	holder.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	started := inherit(t, holder, listener.FD)
	if err := ns.Do(holder.Start); err != nil {
		t.Fatal(err)
	}
	started()
	defer holder.Wait()
	defer holder.Process.Kill()

	copied := programForAll(t)
	for name, environment := range map[string][]string{
		"root":           {"USER=root", "HOME=/tmp"},
		"an own name":    {"USER=me", "HOME=/tmp", "LOGNAME=me"},
		"no environment": {},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			query := exec.CommandContext(t.Context(), copied, "query", "--json", "SELECT pid, uid, username, user FROM tcp_sockets WHERE inode = "+strconv.FormatUint(listener.Inode, 10))
			query.Dir, query.Env, query.Stdout, query.Stderr = "/", environment, &stdout, &stderr
			query.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
			if err := ns.Do(query.Run); err != nil {
				t.Fatalf("%v: %s", err, &stderr)
			}
			want := []tableRow{{"pid": strconv.Itoa(holder.Process.Pid), "uid": strconv.Itoa(stranger), "username": "", "user": ""}}
			if diff := cmp.Diff(want, decode(t, stdout.Bytes())[0]); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}
