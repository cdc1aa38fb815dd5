package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite/functions"
	"github.com/osquery-sockets/osquery-sockets/tables/osquerycore"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// otherTables are names that osquery and people have for what is in our tables.
var otherTables = map[string]string{
	"listening_ports": "listening_services", "listeners": "listening_services", "ports": "listening_services", "open_ports": "listening_services",
	"process_open_sockets": "tcp_sockets", "sockets": "tcp_sockets", "netstat": "tcp_sockets", "ss": "tcp_sockets", "connections": "tcp_sockets", "tcp": "tcp_sockets",
	"udp": "udp_sockets", "unix": "unix_sockets", "interface_details": "interface_statistics", "interfaces": "interface_statistics",
	"interface_addresses": "network_addresses", "addresses": "network_addresses", "routes": "network_routes", "route": "network_routes", "rules": "routing_rules",
	"arp_cache": "neighbors", "arp": "neighbors", "etc_services": "well_known_services", "services": "well_known_services",
	"etc_protocols": "ip_protocols", "protocols": "ip_protocols", "conntrack": "tracked_connections", "namespaces": "network_namespaces", "netns": "network_namespaces",
}

// otherColumns are names that osquery, netstat and ss have for our columns, the
// likeliest first.
var otherColumns = map[string][]string{
	"port": {"local_port"}, "lport": {"local_port"}, "sport": {"local_port"}, "rport": {"remote_port"}, "dport": {"remote_port"}, "peer_port": {"remote_port"},
	"address": {"local_address"}, "addr": {"local_address", "address"}, "ip": {"local_address", "address"}, "laddr": {"local_address"}, "raddr": {"remote_address"},
	"src": {"local_address", "source"}, "dst": {"remote_address", "destination"}, "peer": {"remote_address"}, "peer_address": {"remote_address"}, "foreign_addr": {"remote_address"},
	"name": {"program", "comm"}, "process": {"program", "pid"}, "process_name": {"program", "comm"}, "command": {"cmdline", "comm"}, "command_line": {"cmdline"},
	"path": {"exe"}, "executable": {"exe"}, "binary": {"exe"}, "status": {"state"}, "user": {"username"}, "owner": {"username", "uid"}, "service": {"local_service"},
	"namespace": {"net_namespace"}, "netns": {"net_namespace"}, "ns": {"net_namespace"}, "container": {"container_name", "container_id"}, "unit": {"systemd_unit"},
	"mac": {"link_address"}, "dev": {"interface"}, "device": {"interface"}, "ifname": {"interface"}, "mask": {"genmask", "prefix_length"}, "netmask": {"genmask", "prefix_length"},
	"protocol": {"proto"}, "proto": {"protocol"}, "type": {"proto", "kind"}, "ppid": {"parent"}, "start_time": {"started"}, "socket": {"inode"},
}

// Mistake is SQL that SQLite does not take, or a failure while it runs. Hints are lines
// that may help the one who wrote it: the place in the SQL and a caret below it, what
// may be meant, and what there is.
type Mistake struct {
	Text  string
	Hints []string
}

// Error returns the text and the hints, a line each.
func (m *Mistake) Error() string {
	return strings.Join(append([]string{m.Text}, m.Hints...), "\n")
}

// hints returns what may be meant and what there is, as far as it is known.
func (db *DB) hints(message, sql string) []string {
	kind, name, _ := strings.Cut(message, ": ")
	_, after, qualified := strings.Cut(name, ".")
	switch kind {
	case "no such table":
		if why := osquerycore.Absent(name); why != "" {
			return []string{why}
		}
		guess := otherTables[strings.ToLower(name)]
		if guess == "" {
			guess = schema.Nearest(name, db.names())
		}
		if guess != "" {
			return []string{didYouMean(guess)}
		}
		return []string{"the tables are " + strings.Join(db.names(), ", ")}
	case "no such column":
		if qualified {
			name = after
		}
		return db.columnHints(name, sql)
	case "no such function":
		return []string{didYouMean(schema.Nearest(name, db.functions()))}
	case `near "."`:
		return []string{"a dot command stands on a line of its own, in sockets.ext shell; sockets.ext schema shows the tables"}
	}
	return nil
}

func didYouMean(guess string) string {
	if guess == "" {
		return ""
	}
	return "did you mean " + guess + "?"
}

// columnHints names the columns that may be meant, of the tables in a statement.
func (db *DB) columnHints(name, sql string) []string {
	var hints []string
	guess := ""
	for _, t := range db.named(sql) {
		for _, c := range t.Spec().Columns {
			if guess == "" && slices.Contains(c.Words(), name) {
				guess = "'" + name + "'"
			}
		}
	}
	for _, t := range db.named(sql) {
		var visible, all []string
		hidden := 0
		for _, c := range t.Spec().Columns {
			all = append(all, c.Name)
			switch {
			case !c.Hidden:
				visible = append(visible, c.Name)
			case c.SynonymOf == "":
				hidden++
			}
		}
		for _, other := range otherColumns[strings.ToLower(name)] {
			if guess == "" && slices.Contains(all, other) {
				guess = other
			}
		}
		guess = cmp.Or(guess, schema.Nearest(name, all))
		hint := t.Name() + " has " + strings.Join(visible, ", ")
		if hidden > 0 {
			hint += fmt.Sprintf("; sockets.ext schema %s shows the hidden ones too, %d", t.Name(), hidden)
		}
		hints = append(hints, hint)
	}
	return append([]string{didYouMean(guess)}, hints...)
}

// maxNamed bounds the tables whose columns an error lists.
const maxNamed = 2

// named returns the first tables that a statement names.
func (db *DB) named(sql string) (all []schema.Table) {
	at := make(map[string]int)
	for _, t := range db.tables {
		if i := strings.Index(strings.ToLower(sql), t.Name()); i >= 0 {
			at[t.Name()] = i
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b schema.Table) int { return cmp.Compare(at[a.Name()], at[b.Name()]) })
	return all[:min(len(all), maxNamed)]
}

// functions returns the names of all functions.
func (db *DB) functions() []string {
	names := functions.Names()
	stmt, _, err := db.conn.Prepare("SELECT DISTINCT name FROM pragma_function_list ORDER BY name")
	if err != nil {
		return names
	}
	defer stmt.Close()
	for stmt.Step() {
		names = append(names, stmt.ColumnText(0))
	}
	return names
}

// maxShown is how much of a line of SQL an error shows, in bytes.
const maxShown = 70

// pointed returns the line of the SQL in which SQLite met the error, and below it a
// caret at the place; nothing if the place is not known.
func pointed(err error, sql string) []string {
	var e *sqlite3.Error
	if !errors.As(err, &e) {
		return nil
	}
	rest := e.SQL()
	if _, table, ok := strings.Cut(err.Error(), "no such table: "); ok && rest == "" {
		if i := strings.Index(sql, table); i >= 0 { // SQLite does not say where
			rest = sql[i:]
		}
	}
	at := len(sql) - len(rest)
	if rest == "" || at < 0 || sql[at:] != rest {
		return nil
	}
	start := strings.LastIndexByte(sql[:at], '\n') + 1
	line, _, _ := strings.Cut(sql[start:], "\n")
	before := at - start
	if cut := before - maxShown/2; len(line) > maxShown && cut > 0 {
		for !utf8.RuneStart(line[cut]) {
			cut--
		}
		line, before = "…"+line[cut:], before-cut+len("…")
	}
	if len(line) > maxShown+len("…") {
		cut := max(maxShown, before+1)
		for cut < len(line) && !utf8.RuneStart(line[cut]) {
			cut++
		}
		if cut < len(line) {
			line = line[:cut] + "…"
		}
	}
	line = strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", " ")
	return []string{"  " + line, "  " + strings.Repeat(" ", utf8.RuneCountInString(line[:min(before, len(line))])) + "^"}
}
