package snapshot

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Term is a comparison that all calls of one kind make, each with values of its
// own.
type Term struct {
	Column int // by its position
	// Equal says that the column must equal one of some values, with which a
	// snapshot finds rows.
	Equal bool
	// Constraints are the values as the table takes them, none for any value.
	Constraints []schema.Constraint
	// Values are those of which the column must equal one, if Equal is true. None
	// means that no row does.
	Values []Value
}

// freshCalls is how many calls of one kind always read the table.
const freshCalls = 2

// Calls is calls of one kind: they use the same columns and make the same
// comparisons, with values that differ. It is for one goroutine at a time.
//
// From the third call on the table is read once, narrowed by what all calls had
// in common, and calls are answered from memory. That must not make a few cheap
// look-ups dear: one connection is found among 100,000 in a fifth of a
// millisecond, all are read in a hundred. Nobody knows beforehand what reading
// all takes, so snapshots get the time that the calls took or would have taken,
// and are given up when it is over; after that the time must have doubled. So
// snapshots at most double the time of a statement, and where reading all takes
// no longer than a call, as of the services file, the third call is answered
// from memory.
type Calls struct {
	// Grant is what a snapshot may take whatever the calls took.
	Grant time.Duration
	// Memory bounds the snapshots.
	Memory *Memory

	n        int // calls
	same     [][]schema.Constraint
	snapshot *Snapshot
	keys     []int // the terms that the snapshot's index is of
	givenUp  bool  // no further one is tried
	varied   bool  // a call asked for another value than the one before

	read   time.Duration // by the calls that read the table
	reads  int
	served int           // the calls that were answered from memory
	paid   time.Duration // for snapshots
	need   time.Duration // what the next one takes at least, as far as is known
}

// DefaultGrant is a Grant less than what any call costs its host beside the
// table.
const DefaultGrant = time.Millisecond

// Note counts a call. A snapshot that does not have all of its rows is dropped.
func (c *Calls) Note(terms []Term) {
	if c.n++; c.n == 1 {
		for _, t := range terms {
			c.same = append(c.same, t.Constraints)
		}
		return
	}
	for i, t := range terms {
		if len(c.same[i]) > 0 && !slices.Equal(c.same[i], t.Constraints) {
			c.varied = true
			c.same[i] = nil
			c.Drop()
		}
	}
}

// Varied reports whether the calls asked for different values, as those of a
// join do.
func (c *Calls) Varied() bool { return c.varied }

// Drop frees the snapshot.
func (c *Calls) Drop() {
	if c.snapshot != nil {
		c.snapshot.Free()
		c.snapshot = nil
	}
}

// Find returns the rows of a call from the snapshot. It returns false if the
// table must be read: there is none, or the call's values do not say which rows
// to look for.
func (c *Calls) Find(terms []Term) (*Rows, bool) {
	if c.snapshot == nil {
		return nil, false
	}
	values := make([][]Value, len(c.keys))
	for i, k := range c.keys {
		values[i] = terms[k].Values
	}
	rows, ok := c.snapshot.Find(values)
	if ok {
		c.served++
	}
	return rows, ok
}

// Read notes how long a call took that read the table.
func (c *Calls) Read(took time.Duration) {
	c.reads++
	c.read += took
}

// due returns for how long a snapshot may be taken now; 0 means none.
func (c *Calls) due() time.Duration {
	if c.n <= freshCalls || c.snapshot != nil || c.givenUp {
		return 0
	}
	credit := c.Grant + c.read - c.paid
	if c.reads > 0 {
		credit += c.read / time.Duration(c.reads) * time.Duration(c.served)
	}
	if credit < c.need {
		return 0
	}
	return max(credit, 0)
}

// Order is what is read for a snapshot.
type Order struct {
	Used        []int // columns
	Constraints []schema.Constraint
	// Limit is how long that may take.
	Limit time.Duration

	memory     *Memory
	columns    []schema.ColumnInfo
	same       [][]schema.Constraint
	keys       []int // of the terms
	keyColumns []int
	took       time.Duration
	givenUp    bool
}

// Order returns what to read for a snapshot now, with which the call that was
// noted last can be answered, or nil for none.
func (c *Calls) Order(columns []schema.ColumnInfo, used []int, terms []Term) *Order {
	limit := c.due()
	if limit == 0 {
		return nil
	}
	o := &Order{Used: used, Limit: limit, memory: c.Memory, columns: columns, same: slices.Clone(c.same)}
	for i, t := range terms {
		if len(c.same[i]) > 0 {
			o.Constraints = append(o.Constraints, c.same[i]...)
		} else if t.Equal && columns[t.Column].Type != schema.Double && !slices.Contains(t.Values, Value{}) {
			o.keys = append(o.keys, i)
		}
	}
	for _, i := range o.keys {
		o.keyColumns = append(o.keyColumns, terms[i].Column)
	}
	return o
}

// errLimit ends a scan that takes longer than the calls did.
var errLimit = errors.New("the snapshot takes too long")

// Take takes the snapshot. It is nil where that takes too long or too much
// memory, or fails: reading all may fail where a call does not.
func (o *Order) Take(ctx context.Context, scan func(context.Context, *Order) schema.Scan) *Snapshot {
	start := time.Now()
	defer func() { o.took = time.Since(start) }()
	limited, cancel := context.WithTimeoutCause(ctx, o.Limit, errLimit)
	defer cancel()
	s, err := Take(scan(limited, o), o.columns, Shape{o.Used, o.keyColumns}, o.memory)
	o.givenUp = s == nil && context.Cause(limited) != errLimit
	if err != nil {
		return nil
	}
	return s
}

// Took takes over what came of an order, nil if nothing did.
func (c *Calls) Took(o *Order, s *Snapshot) {
	c.paid += o.took
	switch {
	case s == nil:
		c.givenUp, c.need = o.givenUp, 2*o.took
		return
	case !slices.EqualFunc(c.same, o.same, slices.Equal[[]schema.Constraint]):
		s.Free() // a call that came meanwhile needs more rows
		return
	}
	c.Drop()
	c.snapshot, c.keys, c.need = s, o.keys, o.took
}
