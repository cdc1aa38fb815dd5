package osquerytest

import "strings"

// Cell is a value of an answer, as osquery prints it.
type Cell struct {
	Text string
	Null bool
}

// String returns the text, or NULL.
func (c Cell) String() string {
	if c.Null {
		return "NULL"
	}
	return c.Text
}

// Answer is what a statement returned.
type Answer struct {
	Columns []string
	Rows    [][]Cell
}

// Maps returns the rows as osquery's Thrift call query does: NULL is an empty
// text, and of columns with one name the last counts.
func (a *Answer) Maps() []map[string]string {
	var rows []map[string]string
	for _, cells := range a.Rows {
		row := make(map[string]string)
		for i, name := range a.Columns {
			row[name] = cells[i].Text
		}
		rows = append(rows, row)
	}
	return rows
}

// Lines returns the rows as text, with a | between the cells.
func (a *Answer) Lines() []string {
	var lines []string
	for _, cells := range a.Rows {
		var line []string
		for _, c := range cells {
			line = append(line, c.String())
		}
		lines = append(lines, strings.Join(line, "|"))
	}
	return lines
}

// String returns the column names and the rows as [Answer.Lines] does, a line
// each.
func (a *Answer) String() string {
	return strings.Join(append([]string{strings.Join(a.Columns, "|")}, a.Lines()...), "\n")
}

// said is an error in osquery's own words.
type said string

func (e said) Error() string { return string(e) }
