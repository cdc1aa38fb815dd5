package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/integration/sqltest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// parse reads the text as node_exporter's textfile collector does.
func parse(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return families
}

// value returns the value of the series with these labels.
func value(t *testing.T, f *dto.MetricFamily, labels ...string) float64 {
	t.Helper()
	for _, m := range f.GetMetric() {
		var got []string
		for _, l := range m.GetLabel() {
			got = append(got, l.GetValue())
		}
		if strings.Join(got, "|") == strings.Join(labels, "|") {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		}
	}
	t.Errorf("%s has no series %q", f.GetName(), labels)
	return -1
}

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	if err := Print(t.Context(), sqltest.Fixtures(t), &out, 100); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out.String(), "\n# EOF\n") {
		t.Errorf("the end is %q", out.String()[max(0, out.Len()-20):])
	}
	families := parse(t, out.String())
	// Lines of the fixture tables/testdata/proc/1/net/tcp with the state 01.
	if got := value(t, families["sockets_open"], "tcp", "ESTABLISHED"); got != 29 {
		t.Errorf("%v sockets are ESTABLISHED", got)
	}
	if len(families) < 8 { // what /proc does not have is missing
		t.Errorf("%d families", len(families))
	}
	for _, m := range metrics {
		name := m.name
		if m.counter {
			name += "_total"
		}
		f := families[name]
		if m.unit != "" && !strings.HasSuffix(m.name, "_"+m.unit) {
			t.Errorf("the name %s does not end in its unit %s", m.name, m.unit)
		}
		if strings.HasSuffix(m.name, "_total") {
			t.Errorf("the name %s has a counter's end already", m.name)
		}
		seen := make(map[string]bool)
		for _, series := range f.GetMetric() {
			if key := fmt.Sprint(series.GetLabel()); seen[key] {
				t.Errorf("%s has %s twice", name, key)
			} else {
				seen[key] = true
			}
		}
	}

	// All of it fits into one series each, with the same sums.
	var one bytes.Buffer
	if err := Print(t.Context(), sqltest.Fixtures(t), &one, 1); err != nil {
		t.Fatal(err)
	}
	sum := func(f *dto.MetricFamily) (sum float64) {
		for _, m := range f.GetMetric() {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		}
		return sum
	}
	for name, f := range parse(t, one.String()) {
		if len(f.GetMetric()) != 1 || sum(f) != sum(families[name]) {
			t.Errorf("%s: %d series with the sum %v, want one with %v", name, len(f.GetMetric()), sum(f), sum(families[name]))
		}
	}
}

// The guide has a row for each metric, with its labels, and no others.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../guides/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string) // labels by name
	for line := range strings.Lines(string(guide)) {
		if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `sockets_") && len(cells) > 3 {
			rows[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
		}
	}
	for _, m := range metrics {
		name := m.name
		if m.counter {
			name += "_total"
		}
		labels, ok := rows[name]
		if !ok || labels != strings.Join(m.labels, ", ") {
			t.Errorf("the guide has of %s the labels %q", name, labels)
		}
		delete(rows, name)
	}
	if len(rows) > 0 {
		t.Errorf("the guide has metrics that are not there: %v", rows)
	}
}

func TestFold(t *testing.T) {
	list := func(all []series) (texts []string) {
		for _, s := range all {
			texts = append(texts, fmt.Sprint(strings.Join(s.labels, "|"), " ", s.value))
		}
		return texts
	}
	all := func() []series {
		return []series{{[]string{"80", "nginx"}, 5}, {[]string{"443", "nginx"}, 9}, {[]string{"22", "sshd"}, 1}, {[]string{other, other}, 7}, {[]string{"53", "named"}, 1}}
	}
	for most, want := range map[int]string{
		5: "[22|sshd 1 443|nginx 9 53|named 1 80|nginx 5 other|other 7]",
		4: "[443|nginx 9 80|nginx 5 other|other 9]",
		2: "[443|nginx 9 other|other 14]",
		1: "[other|other 23]",
	} {
		if got := fmt.Sprint(list(fold(all(), most))); got != want {
			t.Errorf("at most %d: %s, want %s", most, got, want)
		}
	}
}

// What programs call themselves cannot break the text.
func TestNames(t *testing.T) {
	long := strings.Repeat("ü", maxLabel)
	for _, c := range []struct{ sql, want string }{
		{`SELECT 'a"b\c' || char(10) || 'x_total 1', 3`, "a\"b\\c\nx_total 1"},
		{"SELECT '" + long + "', 3", strings.Repeat("ü", maxLabel/2)},
		{"SELECT 'x" + long + "', 3", "x" + strings.Repeat("ü", maxLabel/2-1)},
		{"SELECT '" + long + "1', 1 UNION ALL SELECT '" + long + "2', 2", strings.Repeat("ü", maxLabel/2)},
		{"SELECT 'x', 3 UNION ALL SELECT 'y', NULL", "x"},
	} {
		m := metric{name: "x", help: "h", labels: []string{"program"}, sql: c.sql}
		series, err := m.read(t.Context(), sqltest.Fixtures(t))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		m.write(&out, series)
		families := parse(t, out.String())
		if len(families) != 1 || len(families["x"].GetMetric()) != 1 || value(t, families["x"], c.want) != 3 {
			t.Errorf("%.30s: %s", c.sql, out.String())
		}
	}
}

// failing counts what is written.
type failing struct{ writes int }

func (f *failing) Write([]byte) (int, error) {
	f.writes++
	return 0, errors.New("no space")
}

func TestPrintFails(t *testing.T) {
	var w failing
	if err := Print(t.Context(), sqltest.Fixtures(t), &w, 100); err == nil || w.writes != 1 {
		t.Errorf("%v after %d writes", err, w.writes)
	}
	db, err := sqlite.Open(tables.All(host.New(host.Options{Proc: t.TempDir()})), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := Print(t.Context(), db, &w, 100); err == nil || !strings.Contains(err.Error(), "metric sockets_open") || w.writes != 1 {
		t.Errorf("%v after %d writes", err, w.writes)
	}
}
