package audit

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/checks"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// jsonReport is the form of a report in JSON.
type jsonReport struct {
	Host          string         `json:"host"`
	Kernel        string         `json:"kernel"`
	Version       string         `json:"version"`
	Began         string         `json:"began"`
	TookMS        int64          `json:"took_ms"`
	User          string         `json:"user"`
	Command       string         `json:"command"`
	Register      []jsonRegister `json:"register"`
	RegisterError string         `json:"register_error,omitempty"`
	Pass          int            `json:"pass"`
	Fail          int            `json:"fail"`
	Unknown       int            `json:"unknown"`
	Checks        []jsonCheck    `json:"checks,omitempty"`
}

type jsonRegister struct {
	Path    string `json:"path"`
	SHA256  string `json:"sha256"`
	Entries int    `json:"entries"`
}

type jsonCheck struct {
	ID          string           `json:"id"`
	Title       string           `json:"title"`
	Status      checks.Status    `json:"status"`
	Severity    string           `json:"severity"`
	Packs       []string         `json:"packs"`
	Why         string           `json:"why"`
	Reasons     []string         `json:"reasons,omitempty"`
	Findings    int              `json:"findings"`
	Columns     []string         `json:"columns,omitempty"`
	Evidence    []map[string]any `json:"evidence,omitempty"`
	Query       string           `json:"query"`
	Remediation string           `json:"remediation"`
	References  []string         `json:"references"`
	TookMS      int64            `json:"took_ms"`
}

// value is a cell as JSON has it.
func value(c *schema.Cell) any {
	switch c.Kind {
	case schema.Null:
		return nil
	case schema.Int:
		return c.Int
	case schema.Float:
		return c.Float
	}
	return shown(c)
}

func (r *Report) head() jsonReport {
	head := jsonReport{Host: r.Host, Kernel: r.Kernel, Version: r.Version, Began: r.Began.UTC().Format(time.RFC3339), TookMS: r.Took.Milliseconds(), User: r.User, Command: r.Command,
		Register: []jsonRegister{}, RegisterError: r.RegisterError, Pass: r.Count(checks.Pass), Fail: r.Count(checks.Fail), Unknown: r.Count(checks.Unknown)}
	for _, f := range r.Register {
		head.Register = append(head.Register, jsonRegister{f.Path, f.SHA256, len(f.Entries)})
	}
	return head
}

func jsonOf(result *checks.Result) jsonCheck {
	c := jsonCheck{ID: result.ID, Title: result.Title, Status: result.Status, Severity: result.Severity, Packs: result.Packs, Why: result.Why, Reasons: result.Reasons,
		Findings: result.Findings, Columns: result.Columns, Query: result.Query, Remediation: result.Remediation, References: result.References, TookMS: result.Took.Milliseconds()}
	for _, row := range result.Evidence {
		finding := make(map[string]any, len(row))
		for i := range row {
			finding[result.Columns[i]] = value(&row[i])
		}
		c.Evidence = append(c.Evidence, finding)
	}
	return c
}

// json writes one object.
func (r *Report) json(w io.Writer) error {
	report := r.head()
	for i := range r.Results {
		report.Checks = append(report.Checks, jsonOf(&r.Results[i]))
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// jsonLines writes the report's head, and then a check a line.
func (r *Report) jsonLines(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r.head()); err != nil {
		return err
	}
	for i := range r.Results {
		if err := encoder.Encode(jsonOf(&r.Results[i])); err != nil {
			return err
		}
	}
	return nil
}

// csv writes a line for each finding, and for each check without any.
func (r *Report) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"host", "began", "check", "status", "severity", "title", "finding", "reasons"})
	for i := range r.Results {
		result := &r.Results[i]
		line := func(finding string) {
			out.Write([]string{harmless(r.Host), r.Began.UTC().Format(time.RFC3339), result.ID, string(result.Status), result.Severity, result.Title, harmless(finding), harmless(text.Printable(strings.Join(result.Reasons, "; ")))})
		}
		if len(result.Evidence) == 0 {
			line("")
		}
		for _, row := range result.Evidence {
			line(finding(result.Columns, row, " "))
		}
	}
	out.Flush()
	return out.Error()
}

// harmless keeps a spreadsheet from taking a value for a formula.
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// finding writes a row as name=value, without what is empty.
func finding(columns []string, row []schema.Cell, separator string) string {
	var all []string
	for i := range row {
		if s := shown(&row[i]); s != "" {
			if strings.ContainsAny(s, " =") {
				s = strconv.Quote(s)
			}
			all = append(all, columns[i]+"="+s)
		}
	}
	return strings.Join(all, separator)
}

// The form of JUnit that build servers read.
type (
	junitSuite struct {
		XMLName   xml.Name    `xml:"testsuite"`
		Name      string      `xml:"name,attr"`
		Hostname  string      `xml:"hostname,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Time      string      `xml:"time,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure"`
		Error   *junitMessage `xml:"error"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// junit writes a test case for each check. One that is unknown is an error: a skipped
// case would pass.
func (r *Report) junit(w io.Writer) error {
	suite := junitSuite{Name: "osquery-sockets audit", Hostname: r.Host, Timestamp: r.Began.UTC().Format("2006-01-02T15:04:05"), Tests: len(r.Results),
		Failures: r.Count(checks.Fail), Errors: r.Count(checks.Unknown), Time: seconds(r.Took)}
	for i := range r.Results {
		result := &r.Results[i]
		c := junitCase{Name: result.Title, Class: "audit." + result.ID, Time: seconds(result.Took)}
		switch result.Status {
		case checks.Fail:
			var b strings.Builder
			for _, row := range result.Evidence {
				b.WriteString(finding(result.Columns, row, " ") + "\n")
			}
			b.WriteString(result.Remediation + "\n")
			c.Failure = &junitMessage{fmt.Sprintf("findings: %d", result.Findings), result.Severity, b.String()}
		case checks.Unknown:
			c.Error = &junitMessage{"unknown", "unknown", text.Printable(strings.Join(result.Reasons, "; "))}
		}
		suite.Cases = append(suite.Cases, c)
	}
	io.WriteString(w, xml.Header)
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
