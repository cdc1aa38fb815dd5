package shell

import (
	"fmt"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
)

// explanation says in words what the steps of a statement do.
func explanation(steps []sqlite.Step) string {
	var b strings.Builder
	depth := make(map[int64]int)      // of the steps
	outer := make(map[int64][]string) // the tables read below a parent so far
	tables := 0
	for _, step := range steps {
		level := 0
		if d, ok := depth[step.Parent]; ok {
			level = d + 1
		}
		depth[step.ID] = level
		indent := strings.Repeat("  ", level)
		if step.Table == nil {
			fmt.Fprintf(&b, "%s%s\n", indent, inWords(step.Text))
			continue
		}
		tables++
		name := step.Table.Name()
		fmt.Fprintf(&b, "%s%s is read %s.\n", indent, name, times(outer[step.Parent]))
		outer[step.Parent] = append(outer[step.Parent], name)
		line := func(what string, of []string) {
			if len(of) > 0 {
				fmt.Fprintf(&b, "%s  %s: %s\n", indent, what, strings.Join(of, ", "))
			}
		}
		line("narrows what is asked of the kernel", step.Pushed)
		line("checked on each row that comes", step.Filtered)
		if len(step.Pushed)+len(step.Filtered) == 0 {
			fmt.Fprintf(&b, "%s  nothing narrows it: all of its rows are read\n", indent)
		}
		used := step.Used
		if len(used) == len(step.Table.Spec().Columns) {
			used = []string{"all"}
		} else if len(used) == 0 {
			used = []string{"none, the rows are counted"}
		}
		line("columns", used)
	}
	if tables == 0 {
		b.WriteString("No table is read.\n")
	} else {
		b.WriteString("SQLite checks every condition again, and all others.\n")
	}
	return b.String()
}

// times says how often a table is read.
func times(outer []string) string {
	if len(outer) == 0 {
		return "once"
	}
	return "for each row of " + strings.Join(outer, " and ") + ", from memory where that is quicker"
}

// inWords says what SQLite's words for a step mean.
func inWords(text string) string {
	if order, ok := strings.CutPrefix(text, "USE TEMP B-TREE FOR "); ok {
		return "SQLite sorts or groups the rows in memory for " + order + "."
	}
	return text
}
