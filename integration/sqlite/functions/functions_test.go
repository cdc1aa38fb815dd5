package functions_test

import (
	"bufio"
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// answer is what osquery answers to a statement: rows of texts, in which NULL is "",
// or an error.
type answer struct {
	SQL   string     `json:"sql"`
	Rows  [][]string `json:"rows"`
	Error bool       `json:"error"`
}

// rows collects a result.
type rows struct {
	all [][]string
	rowfmt.Texts
}

func (r *rows) Columns([]string) error { return nil }

func (r *rows) Row(cells []schema.Cell) error {
	row := []string{}
	for _, cell := range r.Of(cells) {
		row = append(row, string(cell))
	}
	r.all = append(r.all, row)
	return nil
}

func (r *rows) Close() error { return nil }

// shown spells a number that osquery's API gives as its shell does.
func shown(number string) string {
	number = regexp.MustCompile(`^(-?\d+)(e[+-]\d+)\.0$`).ReplaceAllString(number, "$1.0$2")
	return regexp.MustCompile(`^(-?)inf\.0$`).ReplaceAllString(number, "${1}Inf")
}

// The command, the kit and, where OSQUERYI names one, a real osqueryi have the answers
// that osquery 5.23 gave, which the file
// keeps. Two are left out: in_cidr_block('::/0', '::') is 0 there, since the end of
// all addresses is their beginning; and osquery's SQLite rounds 1.005 up.
func TestOsquerysAnswers(t *testing.T) {
	file, err := os.Open("testdata/osquery.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	db, err := sqlite.Open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	hosts := []osquerytest.Osquery{osquerytest.New(t)}
	if path := os.Getenv("OSQUERYI"); path != "" {
		hosts = append(hosts, osquerytest.StartReal(t, path))
	}
	statements := 0
	for lines := bufio.NewScanner(file); lines.Scan(); statements++ {
		var want answer
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		t.Run(want.SQL, func(t *testing.T) {
			var got rows
			err := db.Run(t.Context(), want.SQL, func() (sqlite.Result, error) { return &got, nil })
			if (err != nil) != want.Error {
				t.Fatalf("error %v, osquery fails: %v", err, want.Error)
			}
			if diff := cmp.Diff(want.Rows, got.all); err == nil && diff != "" {
				t.Errorf("osquery (-), ours (+):\n%s", diff)
			}
			for _, host := range hosts {
				answer, err := host.Query(t.Context(), want.SQL)
				if (err != nil) != want.Error {
					t.Errorf("%T: error %v, osquery fails: %v", host, err, want.Error)
				}
				if err != nil {
					continue
				}
				var got [][]string
				for _, row := range answer.Rows {
					texts := []string{}
					for _, value := range row {
						texts = append(texts, shown(value.Text))
					}
					got = append(got, texts)
				}
				if diff := cmp.Diff(want.Rows, got); diff != "" {
					t.Errorf("osquery (-), %T (+):\n%s", host, diff)
				}
			}
		})
	}
	if statements < 150 {
		t.Errorf("only %d statements", statements)
	}
}
