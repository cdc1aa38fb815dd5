package audit

import (
	_ "embed"
	"html/template"
	"io"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/checks"
)

//go:embed report.html
var page string

// htmlCheck is a result as the page shows it.
type htmlCheck struct {
	checks.Result
	Word string
	Mark string // a shape, so that colour alone says nothing
	Rows [][]string
	More int
}

// htmlEvidence bounds the rows that the page shows of a check.
const htmlEvidence = 200

// marks are the shapes of the statuses.
var marks = map[checks.Status]string{checks.Pass: "✔", checks.Fail: "✖", checks.Unknown: "?"}

// html writes one page that needs nothing else: no script, font, image or style sheet.
func (r *Report) html(w io.Writer) error {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return err
	}
	data := struct {
		*Report
		Time                string
		Pass, Fail, Unknown int
		Checks              []htmlCheck
	}{Report: r, Time: r.Began.UTC().Format(time.DateTime) + " UTC", Pass: r.Count(checks.Pass), Fail: r.Count(checks.Fail), Unknown: r.Count(checks.Unknown)}
	for _, result := range r.Results {
		c := htmlCheck{Result: result, Word: words[result.Status], Mark: marks[result.Status]}
		for _, row := range result.Evidence[:min(len(result.Evidence), htmlEvidence)] {
			var cells []string
			for i := range row {
				cells = append(cells, shown(&row[i]))
			}
			c.Rows = append(c.Rows, cells)
		}
		c.More = result.Findings - len(c.Rows)
		data.Checks = append(data.Checks, c)
	}
	return t.Execute(w, data)
}
