package listening_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/listening"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// A proposal approves nothing as it is. With reasons and approvers it approves all
// servers of the host that it was made on.
func TestPropose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "approved.yaml")
	open := func() *sqlite.DB {
		h := host.New(host.Options{Proc: "../../tables/testdata/proc", Services: "../../tables/testdata/etc/services", Protocols: "../../tables/testdata/etc/protocols", Register: path, RegisterOwner: uint32(os.Getuid())})
		db, err := sqlite.Open(tables.All(h), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	save := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	propose := func() string {
		var out bytes.Buffer
		if err := listening.Propose(t.Context(), open(), &out, listening.Host{Name: "h", Time: "now"}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	save("")
	first := propose()
	if !strings.Contains(first, "  - protocol: sctp\n    port: 80\n    exposure: host_only\n    program: sshd\n    exe: /usr/sbin/sshd\n    user: root\n    systemd_unit: ssh.service\n    why:\n    approver:\n") {
		t.Errorf("the proposal:\n%s", first)
	}
	save(first)
	var out bytes.Buffer
	err := listening.Propose(t.Context(), open(), &out, listening.Host{})
	if err == nil || !strings.Contains(err.Error(), `the key has no value: write one, or remove the line: "why"`) {
		t.Errorf("the proposal as it is: %v", err)
	}
	save(strings.NewReplacer("why:", "why: w", "approver:", "approver: a").Replace(first))
	if again := propose(); strings.Contains(again, "- protocol") {
		t.Errorf("not approved by the proposal:\n%s", again)
	}
}
