package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/integration/sqltest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/osquerycore"
)

// coreTree makes a directory with files of every kind that a query of file meets.
func coreTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"d/e/f", ".h"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a.txt", ".dot", "d/x", "d/e/y", "d/e/f/z", "A_b", "s[q]"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link": "d", "dangling": "nowhere", "d/loop": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCoreTables compares osquery's own tables in the embedded host with those of a real
// osqueryi on the same host. The statements leave out what osquery has wrong, as the
// tables' descriptions say.
func TestCoreTables(t *testing.T) {
	path := os.Getenv("OSQUERYI")
	if path == "" {
		t.Skip(fmt.Errorf("OSQUERYI names no osqueryi: %w", errors.ErrUnsupported))
	}
	ns := netnstest.New(t)
	ns.Populate(t)
	// osquery finds a namespace by a process in it.
	holder := exec.Command("sleep", "300")
	if err := ns.Do(holder.Start); err != nil {
		t.Fatal(err)
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	link, err := os.Readlink("/proc/" + strconv.Itoa(holder.Process.Pid) + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	inode := strings.TrimSuffix(strings.TrimPrefix(link, "net:["), "]")
	holderPID := strconv.Itoa(holder.Process.Pid)

	real := osquerytest.StartReal(t, path)
	h := host.New(host.Options{})
	db, err := sqlite.Open(append(tables.All(h), osquerycore.All(h, osquerycore.Options{})...), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dir := coreTree(t)
	statements := []string{
		"SELECT * FROM os_version", "SELECT * FROM kernel_info", "SELECT * FROM etc_hosts", "SELECT * FROM etc_services", "SELECT * FROM etc_protocols",
		"SELECT * FROM users", "SELECT * FROM groups", "SELECT * FROM user_groups", "SELECT * FROM users WHERE uid = 0", "SELECT * FROM users WHERE username IN ('root', 'nobody')",
		"SELECT u.username, g.groupname FROM users u JOIN user_groups ug USING (uid) JOIN groups g ON g.gid = ug.gid",
		"SELECT * FROM dns_resolvers WHERE address NOT LIKE '%:%' AND address != ''", "SELECT * FROM interface_ipv6", "SELECT * FROM arp_cache",
		"SELECT interface, mac, type, mtu, metric, flags, last_change, link_speed FROM interface_details",
		"SELECT interface, address, mask, type FROM interface_addresses",
		"SELECT destination, gateway, source, flags, interface, mtu, metric, type, hopcount FROM routes",
		"SELECT destination, netmask FROM routes WHERE netmask NOT IN (0, 32, 128)",
		"SELECT cpu_type, cpu_subtype, cpu_brand, cpu_physical_cores, cpu_logical_cores, cpu_sockets, cpu_microcode, physical_memory, hardware_vendor, board_model FROM system_info",
		"SELECT weekday, year, month, timezone FROM time",
		"SELECT * FROM processes WHERE pid = " + holderPID,
		"SELECT * FROM process_envs WHERE pid = " + holderPID, "SELECT * FROM process_memory_map WHERE pid = " + holderPID,
		"SELECT * FROM process_namespaces WHERE pid = " + holderPID, "SELECT * FROM process_open_files WHERE pid = " + holderPID,
		"SELECT pid, name, cmdline, path, uid, parent FROM processes WHERE pid IN (2, 1, " + holderPID + ")",
		"SELECT p.name, h.sha256 FROM processes p JOIN hash h ON h.path = p.path WHERE p.pid = " + holderPID,
		"SELECT pid, socket, family, protocol, local_address, remote_address, local_port, remote_port, state, net_namespace FROM process_open_sockets WHERE net_namespace = '" + inode + "' AND family != 1",
		"SELECT path, family, protocol, state FROM process_open_sockets WHERE net_namespace = '" + inode + "' AND family = 1 AND path NOT LIKE '% %'",
		"SELECT pid, port, protocol, family, address, socket, path FROM listening_ports WHERE net_namespace = '" + inode + "'",
	}
	for _, where := range []string{"path LIKE 'D/%'", "path LIKE 'D/.d%'", "path LIKE 'D/%/e/%'", "path LIKE 'D/d%%'", "path LIKE 'D/A_b'", "path = 'D/d/'", "path IN ('D/d', 'D/dangling', 'D/fifo')", "path = '/'", "directory = 'D/'", "directory = 'D'", "directory LIKE 'D/d%'", "path = 'D/none'", "path LIKE 'D/%/y'", "path LIKE 'D/.%'"} {
		where = strings.ReplaceAll(where, "D/", dir+"/")
		where = strings.ReplaceAll(where, "'D'", "'"+dir+"'")
		statements = append(statements, "SELECT * FROM file WHERE "+where, "SELECT * FROM hash WHERE "+where)
	}
	for _, sql := range statements {
		t.Run(strings.ReplaceAll(sql, dir, "D"), func(t *testing.T) {
			answer, err := real.Query(t.Context(), sql)
			if err != nil {
				t.Fatal(err)
			}
			want := sqltest.Answer(answer)
			var got sqltest.Rows
			if err := db.Run(t.Context(), sql, func() (sqlite.Result, error) { return &got, nil }); err != nil {
				t.Fatal(err)
			}

			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, []string(got)); diff != "" {
				t.Errorf("osqueryi (-) and the embedded host (+) differ:\n%s", diff)
			}
		})
	}
}
