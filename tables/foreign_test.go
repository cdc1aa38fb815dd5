package tables_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// gvisor are the files of gVisor's /proc/net, as its source prints them
// (pkg/sentry/fsimpl/proc/task_net.go).
var gvisor = map[string]string{
	"dev": "Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
		"    lo:     120       2    0    0    0     0          0         0      120       2    0    0    0     0       0          0\n",
	"snmp": "Ip: Forwarding DefaultTTL\nIp: 0 64\nIcmpMsg:\nIcmpMsg:\nTcp: RtoAlgorithm MaxConn\nTcp: 1 -1\n",
	// Names without values.
	"netstat":   "TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed\n",
	"netlink":   "sk       Eth Pid    Groups   Rmem     Wmem     Dump     Locks     Drops     Inode\n",
	"packet":    "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n",
	"protocols": "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi br ha uh gp em\n",
	"route": fmt.Sprintf("%-127s\n%-127s\n", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT",
		"eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0"),
	"ipv6_route": "",
	"tcp": "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n" +
		"   7: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0        9 1 0000000000000000 0 0 0 0 -1\n",
	"tcp6": "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   8: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0       10 1 0000000000000000 0 0 0 0 -1\n",
	"udp": "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             \n" +
		"    9: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0       11 1 0000000000000000 0\n",
	// The header of tcp6, and no lines ever.
	"udp6": "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
	"unix": "Num       RefCount Protocol Flags    Type St Inode Path\n" +
		"0000000000000000: 00000001 00000000 00010000 0001 01       12 @abstract\n",
}

// save writes a copy of /proc whose process 1 has these lists.
func save(t *testing.T, lists map[string]string) (proc string) {
	t.Helper()
	proc = t.TempDir()
	if err := os.MkdirAll(filepath.Join(proc, "1", "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range lists {
		if err := os.WriteFile(filepath.Join(proc, "1", "net", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

// rowsOf are the rows of each table of a host, sorted, and the errors of those that
// have one. Of socket_sources, which changes, there are none.
func rowsOf(t *testing.T, h *host.Host) (rows map[string][]string, errs map[string]error) {
	t.Helper()
	rows, errs = make(map[string][]string), make(map[string]error)
	for _, table := range tables.All(h) {
		name := table.Spec().Name
		if name == "socket_sources" || name == "sockets_extension_info" {
			continue
		}
		var used []string // all, so that all namespaces are read
		for _, c := range table.Spec().Columns {
			used = append(used, c.Name)
		}
		s := table.Scan(t.Context(), table.Query(schema.Request{Used: used}))
		var cell schema.Cell
		for s.Next() {
			var row []string
			for i := range table.Spec().Columns {
				s.Cell(i, &cell)
				row = append(row, string(cell.AppendText(nil)))
			}
			rows[name] = append(rows[name], strings.Join(row, "|"))
		}
		if err := s.Err(); err != nil {
			errs[name] = err
		}
		s.Close()
		slices.Sort(rows[name])
	}
	return rows, errs
}

// missing are the lists that a host lacks by its table socket_sources.
func missing(t *testing.T, h *host.Host) (all []string) {
	t.Helper()
	for _, table := range tables.All(h) {
		if table.Spec().Name == "socket_sources" {
			for _, row := range read(t, table, schema.Request{Used: []string{"proto", "source", "complete", "reason"}}) {
				if row[3] == "0" { // complete
					all = append(all, strings.Join(row[:2], "|"))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// A kernel that is no Linux has other lists: what it lacks is empty and told, what
// it has besides is passed by.
func TestForeignKernel(t *testing.T) {
	counts := map[string]int{
		"interface_statistics": 1, "listening_services": 4, "network_routes": 1, "protocol_statistics": 4,
		"tcp_sockets": 2, "udp_sockets": 1, "unapproved_listeners": 3, "unix_sockets": 1,
	}
	_, never := rowsOf(t, host.New(fixtures)) // those that only netlink has
	noted := []string{"dev_mcast|", "icmp|", "raw|", "sockstat|"}
	for _, c := range []struct {
		name   string
		change func(lists map[string]string)
		noted  []string
		counts map[string]int // where they differ
	}{
		{"gVisor", func(map[string]string) {}, noted, nil},
		{"no netstat either", func(lists map[string]string) { delete(lists, "netstat") }, append(slices.Clone(noted), "netstat|"), nil},
		{"lines that are not known", func(lists map[string]string) {
			lists["snmp6"] = "Ip6InReceives 1\nno counter\nNewCounter 5\n"
			lists["sockstat"] = "sockets: used 3\nhello\nNEW: more 1\n"
			lists["snmp"] += "hello\n"
		}, []string{"dev_mcast|", "icmp|", "raw|"}, map[string]int{"protocol_statistics": 5, "socket_summary": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			lists := maps.Clone(gvisor)
			c.change(lists)
			h := host.New(host.Options{Proc: save(t, lists), Services: fixtures.Services, Protocols: fixtures.Protocols})
			rows, errs := rowsOf(t, h)
			for name := range never {
				delete(errs, name)
			}
			if len(errs) > 0 {
				t.Errorf("errors: %v", errs)
			}
			want := maps.Clone(counts)
			maps.Copy(want, c.counts)
			got := make(map[string]int)
			for name, of := range rows {
				if name != "well_known_services" && name != "ip_protocols" {
					got[name] = len(of)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows: want (-), got (+):\n%s", diff)
			}
			slices.Sort(c.noted)
			if diff := cmp.Diff(c.noted, missing(t, h)); diff != "" {
				t.Errorf("missing: want (-), got (+):\n%s", diff)
			}
		})
	}
}

// copied is a host whose /proc is a copy of the fixtures'.
func copied(t *testing.T) (proc string, h func() *host.Host) {
	t.Helper()
	proc = filepath.Join(t.TempDir(), "proc")
	if err := os.CopyFS(proc, os.DirFS(fixtures.Proc)); err != nil {
		t.Fatal(err)
	}
	return proc, func() *host.Host {
		return host.New(host.Options{Proc: proc, Services: fixtures.Services, Protocols: fixtures.Protocols})
	}
}

// withEach calls f for each of the wanted files of the fixtures' /proc, which is
// moved aside in their copy meanwhile.
func withEach(t *testing.T, proc string, want func(fs.FileMode) bool, f func(t *testing.T, path, aside string)) {
	t.Helper()
	err := filepath.WalkDir(fixtures.Proc, func(path string, entry fs.DirEntry, err error) error {
		name, _ := strings.CutPrefix(path, fixtures.Proc)
		if err != nil || !want(entry.Type()) || name == "" {
			return err
		}
		t.Run(name, func(t *testing.T) {
			path, aside := filepath.Join(proc, name), proc+".aside"
			if err := os.Rename(path, aside); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := errors.Join(os.RemoveAll(path), os.Rename(aside, path)); err != nil {
					t.Fatal(err)
				}
			}()
			f(t, path, aside)
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A copy may have lost the newline at the end of a file: every row is there, and
// that it may be cut off is told. Files of a process are not lists.
func TestLostNewlines(t *testing.T) {
	proc, newHost := copied(t)
	whole, errs := rowsOf(t, newHost())
	withEach(t, proc, fs.FileMode.IsRegular, func(t *testing.T, path, aside string) {
		text, err := os.ReadFile(aside)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.TrimSuffix(string(text), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		h := newHost()
		rows, failed := rowsOf(t, h)
		if diff := cmp.Diff(whole, rows); diff != "" {
			t.Errorf("with the newline (-), without (+):\n%s", diff)
		}
		if len(failed) != len(errs) {
			t.Errorf("errors: %v", failed)
		}
		list := strings.HasPrefix(path, proc+"/1/net/") && !strings.HasSuffix(path, "/protocols") || strings.HasPrefix(path, proc+"/90000/net/")
		if list && len(text) > 0 != (len(h.Lacks()) > 0) {
			t.Errorf("lacks: %q", h.Lacks())
		}
	})
}

// A pipe in the place of a file, a directory or a link is an error, or told, at once:
// nothing waits until somebody writes to it.
func TestPipes(t *testing.T) {
	proc, newHost := copied(t)
	whole, errs := rowsOf(t, newHost())
	withEach(t, proc, func(fs.FileMode) bool { return true }, func(t *testing.T, path, _ string) {
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
		h := newHost()
		rows, failed := rowsOf(t, h)
		if diff := cmp.Diff(whole, rows); diff != "" && len(failed) == len(errs) && len(h.Lacks()) == 0 {
			t.Errorf("nothing is said of what differs, want (-), got (+):\n%s", diff)
		}
	})
}
