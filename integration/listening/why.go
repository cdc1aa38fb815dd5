package listening

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
)

// whySQL is what Why asks for.
const whySQL = `SELECT exposure, scope, protocol, address, port, service, interface, ip_versions, role, role_reason,
  owner, pid, program, comm, exe, exe_deleted, cmdline, username, started, systemd_unit, container_id, container_name, image, tunnel, net_namespace,
  sockets, processes, holders, backlog, backlog_max, accept_queue_full, insecure_reason, incomplete_reason
FROM listening_services
ORDER BY role = 'client', protocol, port, address, interface, net_namespace`

// maxDetailed is how many endpoints are explained. More are listed.
const maxDetailed = 4

// Why explains what listens at a port, an ADDRESS:PORT, in a process by its number, or
// by the name of a service, program, unit or container. It is false if nothing does.
func Why(ctx context.Context, db *sqlite.DB, processes *process.Cache, w io.Writer, what string) (found bool, err error) {
	all, err := ask(ctx, db, whySQL)
	if err != nil {
		return false, err
	}
	var matched []record
	for _, matches := range matchers(what) {
		for _, r := range all {
			if matches(r) {
				matched = append(matched, r)
			}
		}
		if matched != nil {
			break
		}
	}
	if matched == nil {
		return false, nil
	}
	places, err := namesOf(ctx, db, all)
	if err != nil {
		return false, err
	}
	out := bufio.NewWriter(w)
	if len(matched) > maxDetailed {
		fmt.Fprintf(out, "%d endpoints: give ADDRESS:PORT to explain one\n", len(matched))
		for _, r := range matched {
			l := lineOf(r, places)
			fmt.Fprintf(out, "  %s\n", strings.TrimRight(strings.Join(slices.DeleteFunc(l[:], func(s string) bool { return s == "" }), "  "), " "))
		}
		return true, out.Flush()
	}
	for i, r := range matched {
		if i > 0 {
			out.WriteByte('\n')
		}
		e := explanation{ctx: ctx, db: db, processes: processes, out: out, record: r, all: all, namespace: strings.TrimPrefix(places[r["net_namespace"]], "netns ")}
		if err := e.print(); err != nil {
			return false, err
		}
	}
	return true, out.Flush()
}

// matchers are the meanings of a word, the likeliest first.
func matchers(what string) (all []func(record) bool) {
	if _, err := strconv.ParseUint(what, 10, 32); err == nil {
		return append(all,
			func(r record) bool { return r["port"] == what },
			func(r record) bool { return slices.Contains(pidsOf(r), what) })
	}
	if end, err := netip.ParseAddrPort(strings.Replace(what, "*:", "0.0.0.0:", 1)); err == nil {
		port, address := strconv.Itoa(int(end.Port())), end.Addr().Unmap().WithZone("").String()
		return append(all,
			func(r record) bool { return r["port"] == port && r["address"] == address },
			func(r record) bool { return r["port"] == port && r["scope"] == "wildcard" && takes(r, end.Addr()) })
	}
	return append(all,
		func(r record) bool {
			return r["service"] == what || r["program"] == what || r["comm"] == what || filepath.Base(r["exe"]) == what
		},
		func(r record) bool {
			unit, id := r["systemd_unit"], r["container_id"]
			return r["container_name"] == what || unit != "" && (unit == what || unit == what+".service") || len(what) >= 4 && strings.HasPrefix(id, what)
		})
}

// takes reports whether an endpoint takes packets to an address of that version.
func takes(r record, a netip.Addr) bool {
	if a.Unmap().Is4() {
		return strings.Contains(r["ip_versions"], "4")
	}
	return strings.Contains(r["ip_versions"], "6")
}

// pidsOf returns the processes that have an endpoint's sockets.
func pidsOf(r record) (pids []string) {
	for holder := range strings.SplitSeq(r["holders"], ",") {
		if pid, _, ok := strings.Cut(holder, "/"); ok {
			pids = append(pids, pid)
		}
	}
	return pids
}

// explanation prints what is behind one endpoint.
type explanation struct {
	ctx       context.Context
	db        *sqlite.DB
	processes *process.Cache
	out       *bufio.Writer
	record    record
	all       []record
	namespace string // how its network namespace is told from the program's own
}

// fact prints a fact that is known.
func (e *explanation) fact(name, value string) {
	if value != "" {
		fmt.Fprintf(e.out, "  %-12s %s\n", name, value)
	}
}

func (e *explanation) print() error {
	r := e.record
	title := r["protocol"] + " " + Address(r["address"], r["port"], r["interface"])
	if r["service"] != "" {
		title += " (" + r["service"] + ")"
	}
	fmt.Fprintln(e.out, title)
	e.fact("exposure", e.exposure())
	e.fact("role", r["role"]+": "+r["role_reason"])
	if r["pid"] == "" {
		e.fact("owner", owner(r))
	} else {
		e.process()
	}
	e.fact("user", r["username"])
	e.fact("unit", e.unit())
	e.fact("container", strings.TrimSpace(container(r)+" "+r["container_id"]))
	e.fact("namespace", e.namespace)
	e.fact("insecure", r["insecure_reason"])
	if r["backlog_max"] != "" {
		queue := fmt.Sprintf("%s of %s wait to be accepted", r["backlog"], r["backlog_max"])
		if r["accept_queue_full"] == "1" {
			queue += ": the queue is full"
		}
		e.fact("queue", queue)
	}
	if err := e.connections(); err != nil {
		return err
	}
	e.others()
	e.fact("not known", r["incomplete_reason"])
	return e.processes.Err()
}

func (e *explanation) exposure() string {
	r := e.record
	s := r["exposure"]
	switch {
	case r["scope"] == "wildcard" && r["interface"] != "":
		s += ": any address of " + r["interface"]
	case r["scope"] == "wildcard":
		s += ": any address of its network namespace"
	case r["scope"] != "":
		s += ": a " + strings.ReplaceAll(r["scope"], "_", "-") + " address"
	}
	return s
}

// process prints what the owner is.
func (e *explanation) process() {
	r := e.record
	line := owner(r)
	if at, err := strconv.ParseInt(r["started"], 10, 64); err == nil {
		line += ", since " + time.Unix(at, 0).Format(time.DateTime)
	}
	e.fact("process", line)
	e.fact("command", r["cmdline"])
	exe := r["exe"]
	if r["exe_deleted"] == "1" {
		exe += ": the file is deleted"
	}
	e.fact("executable", exe)
	pid, _ := strconv.ParseInt(r["pid"], 10, 32)
	var parents []string
	for _, p := range e.processes.Get(int32(pid)).Parents() {
		parents = append(parents, fmt.Sprintf("%s[%d]", text.Escape(p.Program()), p.PID()))
	}
	e.fact("parents", strings.Join(parents, " < "))
	if n, _ := strconv.Atoi(r["processes"]); n > 1 {
		e.fact("held by", strings.ReplaceAll(r["holders"], ",", ", "))
	}
}

// unit returns the unit with its file.
func (e *explanation) unit() string {
	unit := e.record["systemd_unit"]
	if unit == "" {
		return ""
	}
	if file := e.processes.UnitFile(unit); file != "" {
		return unit + ", " + file
	}
	return unit
}

// maxPeers is how many peers are named.
const maxPeers = 5

// connections prints how many connections the endpoint has, and from where.
func (e *explanation) connections() error {
	r := e.record
	if r["protocol"] != "tcp" {
		return nil
	}
	where := "local_port = " + r["port"] + " AND state = 'ESTABLISHED'"
	if r["net_namespace"] != "" {
		where += " AND net_namespace = '" + r["net_namespace"] + "'"
	}
	if r["scope"] != "wildcard" {
		where += " AND local_address IN ('" + r["address"] + "', '::ffff:" + r["address"] + "')"
	}
	peers, err := ask(e.ctx, e.db, "SELECT remote_address, count(*) AS connections FROM tcp_sockets WHERE "+where+" GROUP BY 1 ORDER BY 2 DESC, 1")
	if err != nil {
		return err
	}
	total := 0
	var from []string
	for i, p := range peers {
		n, _ := strconv.Atoi(p["connections"])
		total += n
		if i < maxPeers {
			from = append(from, fmt.Sprintf("%s (%d)", p["remote_address"], n))
		}
	}
	if len(peers) > maxPeers {
		from = append(from, fmt.Sprintf("and %d other peers", len(peers)-maxPeers))
	}
	if total == 0 {
		e.fact("connections", "none")
		return nil
	}
	e.fact("connections", fmt.Sprintf("%d, from %s", total, strings.Join(from, ", ")))
	return nil
}

// others prints where else the owner listens.
func (e *explanation) others() {
	r := e.record
	if r["pid"] == "" {
		return
	}
	var all []string
	for _, o := range e.all {
		same := o["protocol"] == r["protocol"] && o["address"] == r["address"] && o["port"] == r["port"] && o["interface"] == r["interface"] && o["net_namespace"] == r["net_namespace"]
		if !same && slices.Contains(pidsOf(o), r["pid"]) {
			all = append(all, o["protocol"]+" "+Address(o["address"], o["port"], o["interface"]))
		}
	}
	e.fact("also at", strings.Join(all, ", "))
}
