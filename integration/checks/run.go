package checks

import (
	"context"
	"slices"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Status is what a check has found.
type Status string

// The statuses. A check passes only if everything that it asks for could be read.
const (
	Pass    Status = "pass"
	Fail    Status = "fail"
	Unknown Status = "unknown"
)

// maxEvidence bounds the rows that a result keeps.
const maxEvidence = 1000

// Result is the outcome of a check.
type Result struct {
	Check
	Status Status
	// Reasons are why the status is unknown, or what may be missing in the evidence.
	Reasons []string
	Columns []string
	// Evidence has the first rows, and Findings counts all.
	Evidence [][]schema.Cell
	Findings int
	Took     time.Duration
}

// Run runs a check. open returns the host and a database of its tables, which Run
// closes; it is a host that nothing was asked yet, so that what it lacks is of this check.
// root says that the program has the privileges of root.
func Run(ctx context.Context, c Check, root bool, open func() (*host.Host, *sqlite.DB, error)) (Result, error) {
	r := Result{Check: c, Status: Unknown}
	began := time.Now()
	h, db, err := open()
	if err != nil {
		return r, err
	}
	defer db.Close()
	if c.NeedsRegister() {
		files, err := h.Register(ctx)
		switch {
		case err != nil:
			r.Reasons = append(r.Reasons, err.Error())
			return r, nil
		case len(files) == 0:
			r.Reasons = append(r.Reasons, "there is no register of approved listeners: write "+host.DefaultRegister+", beginning with sockets.ext approve --from-current")
			return r, nil
		}
	}
	if slices.Contains(c.Needs, "namespaces") {
		if err := db.Run(ctx, "SELECT count(inode) FROM network_namespaces", func() (sqlite.Result, error) { return &evidence{&Result{}}, nil }); err != nil {
			r.Reasons = append(r.Reasons, err.Error())
			return r, nil
		}
	}
	err = db.Run(ctx, c.Query, func() (sqlite.Result, error) { return &evidence{&r}, nil })
	r.Took = time.Since(began)
	switch {
	case ctx.Err() != nil:
		return r, context.Cause(ctx)
	case err != nil:
		r.Columns, r.Evidence, r.Findings = nil, nil, 0
		r.Reasons = append(r.Reasons, err.Error())
		return r, nil
	}
	if !root {
		r.Reasons = append(r.Reasons, "this program does not run as root, so that other users' processes cannot be seen")
	}
	r.Reasons = append(r.Reasons, h.Lacks()...)
	switch {
	case r.Findings > 0:
		r.Status = Fail
	case len(r.Reasons) == 0:
		r.Status = Pass
	}
	return r, nil
}

// evidence collects rows.
type evidence struct{ of *Result }

// Columns implements [sqlite.Result].
func (e *evidence) Columns(names []string) error {
	e.of.Columns = append(e.of.Columns, names...)
	return nil
}

// Row implements [sqlite.Result].
func (e *evidence) Row(cells []schema.Cell) error {
	e.of.Findings++
	if e.of.Findings > maxEvidence {
		return nil
	}
	row := make([]schema.Cell, len(cells))
	for i, c := range cells {
		row[i] = c
		row[i].Bytes = append([]byte(nil), c.Bytes...)
	}
	e.of.Evidence = append(e.of.Evidence, row)
	return nil
}

// Close implements [sqlite.Result].
func (e *evidence) Close() error { return nil }
