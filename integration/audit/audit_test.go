package audit_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/audit"
	"github.com/osquery-sockets/osquery-sockets/integration/checks"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

func text(s string) schema.Cell { return schema.Cell{Kind: schema.Bytes, Bytes: []byte(s)} }

// report has a check of each status, and a program with a hostile name.
func report() *audit.Report {
	check := func(id, severity string) checks.Check {
		return checks.Check{ID: id, Title: "Title of " + id, Packs: []string{"cis"}, Why: "Because.", Query: "SELECT a < b", Identify: []string{"program"}, Severity: severity, Remediation: "Mend it.", References: []string{"CIS 1", "NIST 2"}}
	}
	return &audit.Report{
		Host: "h1", Kernel: "6.12", Version: "v1", Began: time.Date(2027, 3, 3, 12, 0, 0, 0, time.UTC), Took: 1500 * time.Millisecond, User: "root", Command: "sockets.ext audit",
		Register: []host.RegisterFile{{Path: "/etc/x.yaml", SHA256: "abcd"}},
		Results: []checks.Result{
			{Check: check("good", "low"), Status: checks.Pass},
			{Check: check("bad", "high"), Status: checks.Fail, Columns: []string{"program", "port", "image"}, Findings: 2,
				Evidence: [][]schema.Cell{{text(`=<script>alert("x")</script>`), {Kind: schema.Int, Int: 22}, {}}, {text("b\x1b[31m"), {Kind: schema.Int, Int: 23}, {}}}},
			{Check: check("dark", "medium"), Status: checks.Unknown, Reasons: []string{"not root"}},
		},
	}
}

func write(t *testing.T, r *audit.Report, format string) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b, format); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// No format lets a control character through, but line ends.
func TestNoControlCharacters(t *testing.T) {
	for _, format := range audit.Formats() {
		t.Run(format, func(t *testing.T) {
			if s := write(t, report(), format); strings.ContainsAny(s, "\x1b\x00") || !strings.HasSuffix(s, "\n") {
				t.Errorf("%q", s)
			}
		})
	}
	if err := report().Write(io.Discard, "pdf"); err == nil || !strings.Contains(err.Error(), `no format "pdf"`) {
		t.Errorf("got %v", err)
	}
}

func TestTable(t *testing.T) {
	want := `PASS     low       Title of good (good)
FAIL     high      Title of bad (bad)
         program                       port
         =<script>alert("x")</script>  22
         b\x1b[31m                     23
         remedy: Mend it.
UNKNOWN  medium    Title of dark (dark)
         unknown: not root

checks: 3, 1 pass, 1 fail, 1 unknown
`
	if diff := cmp.Diff(want, write(t, report(), "table")); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	var got struct {
		Host                string
		Began               string
		Pass, Fail, Unknown int
		Register            []struct{ Path, SHA256 string }
		Checks              []struct {
			ID, Status string
			Reasons    []string
			Evidence   []map[string]any
		}
	}
	s := write(t, report(), "json")
	if err := json.Unmarshal([]byte(s), &got); err != nil {
		t.Fatal(err)
	}
	if got.Host != "h1" || got.Began != "2027-03-03T12:00:00Z" || got.Pass != 1 || got.Fail != 1 || got.Unknown != 1 || got.Register[0].SHA256 != "abcd" || len(got.Checks) != 3 {
		t.Errorf("%s", s)
	}
	bad := got.Checks[1]
	if want := []map[string]any{{"program": `=<script>alert("x")</script>`, "port": 22.0, "image": nil}, {"program": `b\x1b[31m`, "port": 23.0, "image": nil}}; bad.Status != "fail" || cmp.Diff(want, bad.Evidence) != "" {
		t.Errorf("%+v", bad)
	}
	lines := strings.Split(strings.TrimSpace(write(t, report(), "jsonl")), "\n")
	if len(lines) != 4 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func TestCSV(t *testing.T) {
	got, err := csv.NewReader(strings.NewReader(write(t, report(), "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var short []string
	for _, line := range got[1:] {
		short = append(short, strings.Join(line[2:4], " ")+": "+line[6]+line[7])
	}
	want := []string{"good pass: ", `bad fail: program="=<script>alert(\"x\")</script>" port=22`, `bad fail: program=b\x1b[31m port=23`, "dark unknown: not root"}
	if diff := cmp.Diff(want, short); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// What is unknown is an error of JUnit: a build server does not pass it.
func TestJUnit(t *testing.T) {
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Cases    []struct {
			Class   string  `xml:"classname,attr"`
			Failure *string `xml:"failure"`
			Error   *string `xml:"error"`
		} `xml:"testcase"`
	}
	s := write(t, report(), "junit")
	if err := xml.Unmarshal([]byte(s), &got); err != nil {
		t.Fatalf("%v\n%s", err, s)
	}
	if got.Tests != 3 || got.Failures != 1 || got.Errors != 1 || got.Cases[0].Failure != nil || got.Cases[0].Error != nil || got.Cases[1].Failure == nil || !strings.Contains(*got.Cases[1].Failure, "Mend it.") || got.Cases[2].Error == nil || *got.Cases[2].Error != "not root" {
		t.Errorf("%s", s)
	}
}

func TestSARIF(t *testing.T) {
	var got struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID, Kind, Level string
				RuleIndex           int
				Message             struct{ Text string }
				PartialFingerprints map[string]string
			}
		}
	}
	r := report()
	if err := json.Unmarshal([]byte(write(t, r, "sarif")), &got); err != nil {
		t.Fatal(err)
	}
	run := got.Runs[0]
	var short []string
	for _, result := range run.Results {
		short = append(short, run.Tool.Driver.Rules[result.RuleIndex].ID+" "+result.RuleID+" "+result.Kind+" "+result.Level)
	}
	if diff := cmp.Diff([]string{"good good pass none", "bad bad fail error", "bad bad fail error", "dark dark open none"}, short); diff != "" || got.Version != "2.1.0" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	// A finding is the same if a column that does not identify it changes.
	first := run.Results[1].PartialFingerprints["finding/v1"]
	r.Results[1].Evidence[0][1].Int = 99
	json.Unmarshal([]byte(write(t, r, "sarif")), &got)
	if again := got.Runs[0].Results[1].PartialFingerprints["finding/v1"]; first == "" || again != first || first == run.Results[2].PartialFingerprints["finding/v1"] {
		t.Errorf("fingerprints %s, %s", first, again)
	}
}

// The page needs nothing else, escapes what programs chose, and has the structure that
// a screen reader goes by.
func TestHTML(t *testing.T) {
	s := write(t, report(), "html")
	for _, want := range []string{`<html lang="en">`, "<title>Audit of h1, 2027-03-03 12:00:00 UTC</title>", `<main>`, `<h1>`, `scope="col"`, `href="#bad"`, `id="bad"`,
		`=&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;`, "SELECT a &lt; b", "abcd", "✖", "FAIL", "UNKNOWN", "not root", "@media print", "prefers-color-scheme: dark", "Content-Security-Policy"} {
		if !strings.Contains(s, want) {
			t.Errorf("it lacks %s", want)
		}
	}
	for _, no := range []string{"<script", "<img", "<link", "http://", "https://", "url(", "ZgotmplZ"} {
		if strings.Contains(s, no) {
			t.Errorf("it has %s", no)
		}
	}
	for _, element := range []string{"article", "section", "table", "details", "tbody", "main", "div", "dl", "p"} {
		if opened, closed := strings.Count(s, "<"+element+">")+strings.Count(s, "<"+element+" "), strings.Count(s, "</"+element+">"); opened != closed {
			t.Errorf("%d <%s>, %d ends of it", opened, element, closed)
		}
	}
}
