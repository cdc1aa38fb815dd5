// Package audit writes what checks have found: as a table for people, as JSON, CSV and
// lines of JSON for programs, as JUnit for build servers, and as a page of HTML that an
// auditor files.
package audit

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/osquery-sockets/osquery-sockets/integration/checks"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Report is an audit of a host.
type Report struct {
	Host     string
	Kernel   string
	Version  string // of this program
	Began    time.Time
	Took     time.Duration
	User     string // who ran it, with which privileges
	Command  string
	Register []host.RegisterFile
	// RegisterError is why the register could not be read; "" if it could.
	RegisterError string
	Results       []checks.Result
}

// Count returns how many checks have a status.
func (r *Report) Count(status checks.Status) (n int) {
	for _, result := range r.Results {
		if result.Status == status {
			n++
		}
	}
	return n
}

// writers are the formats.
var writers = []struct {
	name  string
	write func(*Report, io.Writer) error
}{
	{"table", (*Report).table}, {"json", (*Report).json}, {"jsonl", (*Report).jsonLines}, {"csv", (*Report).csv},
	{"junit", (*Report).junit}, {"sarif", (*Report).sarif}, {"html", (*Report).html},
}

// Formats are the names that [Report.Write] knows, the default first.
func Formats() (names []string) {
	for _, w := range writers {
		names = append(names, w.name)
	}
	return names
}

// Write writes the report in a format.
func (r *Report) Write(w io.Writer, format string) error {
	for _, f := range writers {
		if f.name == format {
			out := bufio.NewWriter(w)
			if err := f.write(r, out); err != nil {
				return err
			}
			return out.Flush()
		}
	}
	return fmt.Errorf("there is no format %q: there are %s", format, strings.Join(Formats(), ", "))
}

// shown returns a value without control characters.
func shown(c *schema.Cell) string { return text.Printable(string(c.AppendText(nil))) }

// tableEvidence bounds the rows that the table shows of a check.
const tableEvidence = 20

// words of the table.
var words = map[checks.Status]string{checks.Pass: "PASS", checks.Fail: "FAIL", checks.Unknown: "UNKNOWN"}

// table writes a line for each check, and the findings below it.
func (r *Report) table(w io.Writer) error {
	for _, result := range r.Results {
		fmt.Fprintf(w, "%-8s %-9s %s (%s)\n", words[result.Status], result.Severity, result.Title, result.ID)
		if result.Status == checks.Fail {
			writeRows(w, &result)
			fmt.Fprintf(w, "         remedy: %s\n", result.Remediation)
		}
		if result.Status != checks.Pass {
			for _, reason := range result.Reasons {
				fmt.Fprintf(w, "         unknown: %s\n", text.Printable(reason))
			}
		}
	}
	_, err := fmt.Fprintf(w, "\nchecks: %d, %d pass, %d fail, %d unknown\n", len(r.Results), r.Count(checks.Pass), r.Count(checks.Fail), r.Count(checks.Unknown))
	return err
}

// writeRows writes the evidence in columns, without those that are empty in all rows.
func writeRows(w io.Writer, result *checks.Result) {
	rows := result.Evidence[:min(len(result.Evidence), tableEvidence)]
	var lines [][]string
	var widths []int
	lines = make([][]string, len(rows)+1)
	for i, name := range result.Columns {
		width, empty := runewidth.StringWidth(name), true
		column := []string{name}
		for _, row := range rows {
			s := shown(&row[i])
			empty = empty && s == ""
			width = max(width, runewidth.StringWidth(s))
			column = append(column, s)
		}
		if empty {
			continue
		}
		widths = append(widths, width)
		for j := range lines {
			lines[j] = append(lines[j], column[j])
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			b.WriteString("  " + cell + strings.Repeat(" ", widths[i]-runewidth.StringWidth(cell)))
		}
		fmt.Fprintln(w, "       "+strings.TrimRight(b.String(), " "))
	}
	if more := result.Findings - len(rows); more > 0 {
		fmt.Fprintf(w, "         and %d more\n", more)
	}
}
