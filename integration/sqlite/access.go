package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Step is a step of SQLite's plan for a statement.
type Step struct {
	// ID and Parent make a tree of the steps. Tables below one parent are nested
	// loops: each is read for the rows of those before it.
	ID, Parent int64
	// Text is what SQLite says of a step that reads no table of ours, such as "USE TEMP
	// B-TREE FOR ORDER BY".
	Text string
	// Table is the table that the step reads, nil if there is none.
	Table schema.Table
	// Used are the columns whose values it makes.
	Used []string
	// Pushed are the conditions by which the table itself narrows what it reads, such
	// as "state =" and "local_port IN": in the kernel, where that can. Filtered are
	// those that it applies to the rows it has read. SQLite applies all others.
	Pushed, Filtered []string
}

// Steps returns SQLite's plan for a statement, which does not run.
func (db *DB) Steps(ctx context.Context, sql string) ([]Step, error) {
	var plan planRows
	err := db.Run(ctx, "EXPLAIN QUERY PLAN\n"+sql, func() (Result, error) {
		if plan.begun {
			return nil, errors.New("there are several statements: one can be explained")
		}
		plan.begun = true
		return &plan, nil
	})
	if err != nil {
		return nil, err
	}
	for i := range plan.steps {
		step := &plan.steps[i]
		_, text, ok := strings.Cut(step.Text, " VIRTUAL TABLE INDEX ")
		if !ok {
			continue
		}
		_, text, _ = strings.Cut(text, ":")
		text = strings.TrimSuffix(text, " LEFT-JOIN")
		p, table, err := db.plan(text)
		if err != nil {
			continue // of SQLite's own, such as json_each
		}
		step.Table = table
		columns := table.Spec().Columns
		for _, c := range p.used {
			step.Used = append(step.Used, columns[c].Name)
		}
		for _, t := range p.terms {
			c := &columns[t.column]
			words := c.Name + " " + operator(t)
			if c.Pushed {
				step.Pushed = append(step.Pushed, words)
			} else {
				step.Filtered = append(step.Filtered, words)
			}
		}
	}
	return plan.steps, nil
}

// operator spells the comparison of a term.
func operator(t term) string {
	if t.in {
		return "IN"
	}
	switch t.op {
	case schema.EQ:
		return "="
	case schema.GT:
		return ">"
	case schema.LE:
		return "<="
	case schema.LT:
		return "<"
	case schema.GE:
		return ">="
	case schema.IS:
		return "IS"
	case schema.LIKE:
		return "LIKE"
	}
	return fmt.Sprintf("operator %d", t.op)
}

// planRows collects the rows of EXPLAIN QUERY PLAN.
type planRows struct {
	begun bool
	steps []Step
}

func (*planRows) Columns([]string) error { return nil }

func (p *planRows) Row(cells []schema.Cell) error {
	p.steps = append(p.steps, Step{ID: cells[0].Int, Parent: cells[1].Int, Text: string(cells[3].Bytes)})
	return nil
}

func (*planRows) Close() error { return nil }

// Broken returns what ended the database for good, nil if it can go on.
func (db *DB) Broken() error { return db.broken }

// Functions returns the names of the functions that statements can call.
func (db *DB) Functions() []string { return db.functions() }
