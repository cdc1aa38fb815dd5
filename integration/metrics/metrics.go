// Package metrics prints numbers of a host's sockets as OpenMetrics text, for
// node_exporter's textfile collector or whatever else reads that.
//
//	err := metrics.Print(ctx, db, os.Stdout, 100)
//
// What could have any number of label values, such as ports and programs, has a
// bounded number of series: those with the largest values, and one with the rest.
package metrics

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

const (
	// other is the value of each label of the series that has the rest.
	other = "other"
	// maxLabel bounds the value of a label, in bytes: programs choose their names.
	maxLabel = 100
)

// Print prints all metrics with at most maxSeries series each, or nothing if one
// cannot be had.
func Print(ctx context.Context, db *sqlite.DB, w io.Writer, maxSeries int) error {
	var text bytes.Buffer
	for _, m := range metrics {
		series, err := m.read(ctx, db)
		if err != nil {
			return fmt.Errorf("metric %s: %w", m.name, err)
		}
		m.write(&text, fold(series, maxSeries))
	}
	text.WriteString("# EOF\n")
	_, err := w.Write(text.Bytes())
	return err
}

// series is a value and what it is of.
type series struct {
	labels []string
	value  int64
}

// read returns the series of a metric, each set of labels once.
func (m metric) read(ctx context.Context, db *sqlite.DB) ([]series, error) {
	c := collected{at: make(map[string]int)}
	err := db.Run(ctx, m.sql, func() (sqlite.Result, error) { return &c, nil })
	return c.series, err
}

// collected is a result in memory: columns of labels, and a last one with the value.
type collected struct {
	series []series
	at     map[string]int // index in series by the labels
	rowfmt.Texts
}

func (c *collected) Columns([]string) error { return nil }

func (c *collected) Row(cells []schema.Cell) error {
	var words []string
	for _, text := range c.Of(cells) {
		words = append(words, string(text))
	}
	labels, number := words[:len(words)-1], words[len(words)-1]
	if number == "" { // NULL: the kernel does not tell
		return nil
	}
	value, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no whole number", number)
	}
	for i, label := range labels {
		labels[i] = shorten(label)
	}
	key := strings.Join(labels, "\x00")
	if i, ok := c.at[key]; ok {
		c.series[i].value += value
		return nil
	}
	c.at[key] = len(c.series)
	c.series = append(c.series, series{labels, value})
	return nil
}

func (c *collected) Close() error { return nil }

// shorten cuts a text behind a whole character.
func shorten(s string) string {
	if len(s) <= maxLabel {
		return s
	}
	end := maxLabel
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// fold keeps those with the largest values and adds the rest up, sorted by labels.
func fold(all []series, most int) []series {
	if len(all) > most {
		slices.SortFunc(all, func(a, b series) int {
			return cmp.Or(cmp.Compare(b.value, a.value), slices.Compare(a.labels, b.labels))
		})
		rest := series{labels: slices.Repeat([]string{other}, len(all[0].labels))}
		for _, s := range all[most-1:] {
			rest.value += s.value
		}
		// A program may be called other.
		i := slices.IndexFunc(all[:most-1], func(s series) bool { return slices.Equal(s.labels, rest.labels) })
		if all = all[:most-1]; i >= 0 {
			all[i].value += rest.value
		} else {
			all = append(all, rest)
		}
	}
	slices.SortFunc(all, func(a, b series) int { return slices.Compare(a.labels, b.labels) })
	return all
}

// escaper writes the value of a label (OpenMetrics 1.0, section ABNF, escaped-string).
var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// write writes a metric, and nothing of one without series.
func (m metric) write(b *bytes.Buffer, all []series) {
	if len(all) == 0 {
		return
	}
	kind, suffix := "gauge", ""
	if m.counter {
		kind, suffix = "counter", "_total"
	}
	fmt.Fprintf(b, "# TYPE %s %s\n", m.name, kind)
	if m.unit != "" {
		fmt.Fprintf(b, "# UNIT %s %s\n", m.name, m.unit)
	}
	fmt.Fprintf(b, "# HELP %s %s\n", m.name, m.help)
	for _, s := range all {
		b.WriteString(m.name + suffix)
		for i, label := range m.labels {
			b.WriteByte("{,"[min(i, 1)])
			fmt.Fprintf(b, `%s="%s"`, label, escaper.Replace(s.labels[i]))
		}
		if len(m.labels) > 0 {
			b.WriteByte('}')
		}
		fmt.Fprintf(b, " %d\n", s.value)
	}
}
