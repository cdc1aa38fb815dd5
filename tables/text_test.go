package tables_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// hostile copies the fixtures' host and gives everything in it a name that a
// terminal, JSON or a reader stumbles over.
func hostile(t *testing.T) host.Options {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.CopyFS(dir, os.DirFS("testdata")))
	file := func(name, text string) { must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)) }
	change := func(name, from, to string) {
		old, err := os.ReadFile(filepath.Join(dir, name))
		must(err)
		if !strings.Contains(string(old), from) {
			t.Fatalf("%s has no %q", name, from)
		}
		file(name, strings.ReplaceAll(string(old), from, to))
	}
	file("proc/100/cmdline", "/usr/sbin/p\x1b]0;t\a\x00-\xff\x00")
	file("proc/100/cgroup", "0::/system.slice/dev-disk-by\\x2duuid\\x1b\u202e.service\n")
	must(os.Remove(filepath.Join(dir, "proc/100/exe")))
	must(os.Symlink("/usr/sbin/p\n\u200b", filepath.Join(dir, "proc/100/exe")))
	file("proc/250/comm", " k\x1b \n")
	file("proc/90000/cgroup", "0::/lxc/c\x7f\\\n")
	change("proc/1/mountinfo", "/run/netns/blue", "/run/netns/b\\012\x1b\xff")
	change("proc/1/net/unix", "15001 /run/dbus/system bus", "15001 @\xff\x1b[31m \\x1b")
	change("proc/1/net/dev", "eth9:", "e\x1b[1m:")
	change("proc/1/net/route", "v1\t", "v\x7f\t")
	change("proc/1/net/ipv6_route", " v1", " \xe9\u0085")
	change("proc/1/net/igmp", "v1 ", "v\u3000 ")
	change("proc/1/net/igmp6", "veth9 ", "v\u2028th9 ")
	change("proc/1/net/dev_mcast", "v0 ", "v\x01 ")
	change("proc/1/net/snmp", "InDatagrams", "In\u2066Datagrams")
	change("etc/services", "http\t\t80/tcp\t\twww\t# WorldWideWeb HTTP", "ht\x1btp 80/tcp w\xff w\\xff # c\u202em")
	change("etc/services", "wais", "\u200b")
	change("etc/protocols", "icmp\t1\tICMP", "ic\x1bmp 1 I\xff # \ufeff")
	return host.Options{Proc: filepath.Join(dir, "proc"), Services: filepath.Join(dir, "etc/services"), Protocols: filepath.Join(dir, "etc/protocols")}
}

// Every text of every table is a line of visible characters, which finds its row
// again, whoever chose it.
func TestHostileNames(t *testing.T) {
	want := map[string]map[string][]string{
		"unix_sockets": {
			"path":         {`@\xff\x1b[31m \x5cx1b`, `/tmp/new\x0aline\x0a`},
			"program":      {`p\x1b]0;t\x07`, ` k\x1b `},
			"holders":      {`100/p\x1b]0;t\x07`, `250/ k\x1b `},
			"exe":          {`/usr/sbin/p\x0a\xe2\x80\x8b`},
			"cmdline":      {`/usr/sbin/p\x1b]0;t\x07 -\xff`},
			"cgroup":       {`/system.slice/dev-disk-by\x2duuid\x5cx1b\xe2\x80\xae.service`, `/lxc/c\x7f\`},
			"container_id": {`c\x7f\`},
			"systemd_unit": {`dev-disk-by\x2duuid\x5cx1b\xe2\x80\xae.service`},
		},
		"tcp_sockets":          {"local_service": {`ht\x1btp`}, "program": {`p\x1b]0;t\x07`}},
		"socket_processes":     {"program": {`p\x1b]0;t\x07`}, "exe": {`/usr/sbin/p\x0a\xe2\x80\x8b`}, "cmdline": {`/usr/sbin/p\x1b]0;t\x07 -\xff`}},
		"network_namespaces":   {"files": {`/run/netns/b\x0a\x1b\xff /run/netns/azure`}, "container_id": {`c\x7f\`}, "name": {`b\x0a\x1b\xff`}},
		"interface_statistics": {"interface": {`e\x1b[1m`}, "name": {`e\x1b[1m`}},
		"network_routes":       {"interface": {`v\x7f`, `\xe9\xc2\x85`}},
		"multicast_groups":     {"interface": {`v\xe3\x80\x80`, `v\xe2\x80\xa8th9`, `v\x01`}},
		"protocol_statistics":  {"name": {`In\xe2\x81\xa6Datagrams`}},
		"well_known_services":  {"name": {`ht\x1btp`}, "aliases": {`w\xff w\x5cxff`, `\xe2\x80\x8b`}, "comment": {`c\xe2\x80\xaem`}},
		"ip_protocols":         {"name": {`ic\x1bmp`}, "aliases": {`I\xff`}, "comment": {`\xef\xbb\xbf`}},
		"raw_sockets":          {"ip_protocol_name": {`ic\x1bmp`}},
	}
	for _, table := range tables.All(host.New(hostile(t))) {
		spec := table.Spec()
		t.Run(spec.Name, func(t *testing.T) {
			if slices.Contains([]string{"mptcp_sockets", "vsock_sockets", "network_addresses", "neighbors", "nexthops", "routing_rules"}, spec.Name) {
				return // only netlink lists them, which is not read here
			}
			full := read(t, table, schema.Request{All: true})
			for column, values := range want[spec.Name] {
				i := slices.IndexFunc(spec.Columns, func(c schema.ColumnInfo) bool { return c.Name == column })
				for _, value := range values {
					if i < 0 || !anyRow(full, func(row []string) bool { return row[i] == value }) {
						t.Errorf("no row has the %s %s", column, value)
					}
				}
			}
			for i, c := range spec.Columns {
				if c.Type != schema.Text {
					continue
				}
				asked := map[string]bool{"": true}
				for id, row := range full {
					value := row[i]
					if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) && r != ' ' }) {
						t.Errorf("a %s is %q", c.Name, value)
					}
					if asked[value] {
						continue
					}
					asked[value] = true
					found := read(t, table, schema.Request{All: true, Constraints: []schema.Constraint{{Column: c.Name, Op: schema.EQ, Value: value}}})
					if found[id] == nil {
						t.Errorf("%s = '%s' does not give its row", c.Name, value)
					}
				}
			}
		})
	}
}

func anyRow(rows result, meets func([]string) bool) bool {
	for _, row := range rows {
		if meets(row) {
			return true
		}
	}
	return false
}
