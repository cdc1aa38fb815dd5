package listening

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
)

// Host is what a register's first lines say of where it comes from.
type Host struct {
	Name string
	Time string
}

// narrow are the exposures of a register from the narrowest to the widest, and the one
// for what is unknown.
var narrow = []string{"host_only", "link", "private", "public"}

// proposal is an entry of a register without its approval.
type proposal struct {
	protocol, port, exposure                 string
	program, exe, user, unit, image, contain string
}

// Propose writes a register of what listens now and is not approved, for a human to
// edit. It is not valid before somebody has written why each may listen, and who
// approves it.
func Propose(ctx context.Context, db *sqlite.DB, w io.Writer, of Host) error {
	rows, err := ask(ctx, db, `SELECT protocol, port, exposure, program, exe, username, systemd_unit, image, container_name, role
FROM unapproved_listeners ORDER BY protocol, port, program, exe, username, systemd_unit, image, container_name, role`)
	if err != nil {
		return err
	}
	var all []proposal
	unclear, unknown := 0, 0
	for _, r := range rows {
		p := proposal{r["protocol"], r["port"], r["exposure"], literal(r["program"]), literal(r["exe"]), literal(r["username"]), literal(r["systemd_unit"]), literal(r["image"]), literal(r["container_name"])}
		if !slices.Contains(narrow, p.exposure) {
			p.exposure = "public"
		}
		if r["role"] != "server" {
			unclear++
			continue
		}
		if p.port == "" && p.program+p.exe+p.unit+p.image+p.contain == "" {
			unknown++
			continue
		}
		if last := len(all) - 1; last >= 0 { // the same, at another address
			before := all[last]
			wider := before.exposure
			before.exposure = p.exposure
			if before == p {
				if slices.Index(narrow, wider) < slices.Index(narrow, p.exposure) {
					all[last].exposure = p.exposure
				}
				continue
			}
		}
		all = append(all, p)
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `# What listened on %s on %s and no entry approved.
# Remove what may not listen. Of the rest write why it may and who approves it; add
# ticket: and expires: where your process has them. Until then the file is an error,
# and approves nothing.
`, of.Name, of.Time)
	if unclear > 0 {
		fmt.Fprintf(out, "# Left out: %d UDP or raw sockets that may be a client's.\n", unclear)
	}
	if unknown > 0 {
		fmt.Fprintf(out, "# Left out: %d raw sockets whose process could not be seen; run this as root.\n", unknown)
	}
	out.WriteString("listeners:\n")
	for _, p := range all {
		if err := p.write(out); err != nil {
			return err
		}
	}
	return out.Flush()
}

// literal makes a pattern of a text that approves no text of another length: a program
// may call itself *.
func literal(text string) string { return strings.ReplaceAll(text, "*", "?") }

// write writes the entry.
func (p *proposal) write(w *bufio.Writer) error {
	var entry yaml.Node
	entry.Kind = yaml.MappingNode
	for _, f := range [][2]string{{"protocol", p.protocol}, {"port", p.port}, {"exposure", p.exposure}, {"program", p.program}, {"exe", p.exe},
		{"user", p.user}, {"systemd_unit", p.unit}, {"image", p.image}, {"container", p.contain}} {
		if f[1] == "" {
			continue
		}
		value := &yaml.Node{}
		value.SetString(f[1])
		if f[0] == "port" {
			value.Tag = "!!int"
		}
		entry.Content = append(entry.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: f[0]}, value)
	}
	text, err := yaml.Marshal(&entry)
	if err != nil {
		return err
	}
	begin := "  - "
	for line := range bytes.Lines(text) {
		w.WriteString(begin)
		w.Write(line)
		begin = "    "
	}
	w.WriteString("    why:\n    approver:\n")
	return nil
}
