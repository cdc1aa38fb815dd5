package listening

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fatih/color"
	"github.com/mattn/go-runewidth"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
)

// Options say what is printed, and how.
type Options struct {
	// All prints the endpoints of clients too.
	All bool
	// Colors emphasises the exposures by colour.
	Colors bool
}

// SQL returns the statement that is printed.
func (o Options) SQL() string {
	where := ""
	if !o.All {
		where = "\nWHERE role <> 'client'"
	}
	return `SELECT exposure, protocol, address, port, service, interface, ip_versions, role, role_reason,
  owner, pid, program, username, systemd_unit, container_id, container_name, image, tunnel, net_namespace,
  sockets, processes, accept_queue_full, insecure_reason, incomplete_reason
FROM listening_services` + where + `
ORDER BY protocol, port, address, interface, net_namespace`
}

// exposure is how a group of endpoints is introduced.
type exposure struct {
	name, heading string
	attribute     color.Attribute
}

// exposures are in the order of the groups, the widest first.
var exposures = []exposure{
	{"any", "exposure unknown: the addresses of the network namespace could not be read", color.FgRed},
	{"public", "public: on a public address", color.FgRed},
	{"private", "private: on a private address", color.FgYellow},
	{"link", "link: on the link only", color.FgCyan},
	{"host_only", "host only: on the loopback", color.FgGreen},
}

// Print prints what listens, grouped by exposure, a line for each endpoint.
func Print(ctx context.Context, db *sqlite.DB, w io.Writer, o Options) error {
	rows, err := ask(ctx, db, o.SQL())
	if err != nil {
		return err
	}
	places, err := namesOf(ctx, db, rows)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	var groups [][]line
	var widths [columns]int
	for _, e := range exposures {
		var group []line
		for _, r := range rows {
			if r["exposure"] == e.name {
				l := lineOf(r, places)
				for i, cell := range l {
					widths[i] = max(widths[i], runewidth.StringWidth(cell))
				}
				group = append(group, l)
			}
		}
		groups = append(groups, group)
	}
	first := true
	for i, group := range groups {
		if len(group) == 0 {
			continue
		}
		if !first {
			out.WriteByte('\n')
		}
		first = false
		heading := fmt.Sprintf("%s (%d)", exposures[i].heading, len(group))
		if o.Colors {
			c := color.New(color.Bold, exposures[i].attribute)
			c.EnableColor() // whatever the library thinks of the program's own output
			heading = c.Sprint(heading)
		}
		fmt.Fprintln(out, heading)
		for _, l := range group {
			var b strings.Builder
			for i, cell := range l {
				b.WriteString("  " + cell + strings.Repeat(" ", widths[i]-runewidth.StringWidth(cell)))
			}
			fmt.Fprintln(out, strings.TrimRight(b.String(), " "))
		}
	}
	if first {
		fmt.Fprintln(out, "nothing listens")
	}
	if reasons := incomplete(rows); len(reasons) > 0 {
		fmt.Fprintf(out, "\nnot complete:\n  %s\n", strings.Join(reasons, "\n  "))
	}
	return out.Flush()
}

// incomplete returns why rows lack something, each reason once with the number of
// rows.
func incomplete(rows []record) (reasons []string) {
	count := make(map[string]int)
	for _, r := range rows {
		for reason := range strings.SplitSeq(r["incomplete_reason"], "; ") {
			if reason != "" {
				count[reason]++
			}
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(count)) {
		reasons = append(reasons, fmt.Sprintf("%s (%d)", reason, count[reason]))
	}
	return reasons
}

// columns is the number of columns of a line: protocol, address, service, owner,
// user, place, notes.
const columns = 7

type line [columns]string

func lineOf(r record, places map[string]string) line {
	return line{r["protocol"], Address(r["address"], r["port"], r["interface"]), r["service"], owner(r), r["username"], place(r, places), notes(r)}
}

// Address returns an endpoint as people write it: 0.0.0.0:22, [::]:22,
// [fe80::1]%eth0:22.
func Address(address, port, device string) string {
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	if device != "" {
		address += "%" + device
	}
	if port != "" {
		address += ":" + port
	}
	return address
}

// owner returns who has the sockets.
func owner(r record) string {
	switch r["owner"] {
	case "process", "systemd":
		s := r["program"] + "[" + r["pid"] + "]"
		if n, _ := strconv.Atoi(r["processes"]); n > 1 {
			s += fmt.Sprintf(" and %d more", n-1)
		}
		return s
	case "kernel":
		return strings.TrimSpace("(kernel) " + r["tunnel"])
	case "not_permitted":
		return "(not permitted to see)"
	}
	return "(" + r["owner"] + ")"
}

// shortID is how much of a container's identity people look at.
const shortID = 12

// place returns what the owner belongs to.
func place(r record, places map[string]string) string {
	var all []string
	switch id := r["container_id"]; {
	case r["container_name"] != "":
		all = append(all, "container "+container(r))
	case id != "":
		all = append(all, "container "+id[:min(len(id), shortID)])
	case r["systemd_unit"] != "":
		all = append(all, r["systemd_unit"])
	}
	if name := places[r["net_namespace"]]; name != "" {
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}

// container returns the name of a container with its image, "" without a name.
func container(r record) string {
	if r["container_name"] == "" || r["image"] == "" {
		return r["container_name"]
	}
	return r["container_name"] + " (" + r["image"] + ")"
}

// namesOf returns how the network namespaces of rows are told from the program's
// own, by their inodes.
func namesOf(ctx context.Context, db *sqlite.DB, rows []record) (map[string]string, error) {
	if !slices.ContainsFunc(rows, func(r record) bool { return r["net_namespace"] != rows[0]["net_namespace"] }) {
		return nil, nil
	}
	all, err := ask(ctx, db, "SELECT inode, name, own FROM network_namespaces")
	if err != nil {
		return nil, err
	}
	places := make(map[string]string)
	for _, r := range rows { // one that has ended meanwhile has no name
		places[r["net_namespace"]] = "netns " + r["net_namespace"]
	}
	for _, r := range all {
		switch {
		case r["own"] == "1":
			places[r["inode"]] = ""
		case r["name"] != "":
			places[r["inode"]] = "netns " + r["name"]
		}
	}
	return places, nil
}

// notes returns what is remarkable.
func notes(r record) string {
	var all []string
	if r["role"] != "server" {
		all = append(all, r["role"]+": "+r["role_reason"])
	}
	if r["insecure_reason"] != "" {
		all = append(all, "insecure: "+r["insecure_reason"])
	}
	if r["accept_queue_full"] == "1" {
		all = append(all, "accept queue full")
	}
	if n, _ := strconv.Atoi(r["sockets"]); n > 1 {
		all = append(all, r["sockets"]+" sockets")
	}
	return strings.Join(all, "; ")
}
