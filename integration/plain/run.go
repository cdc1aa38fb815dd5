package plain

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Argument is what a constraint of a plan compares with: one value, or those of
// an IN.
type Argument struct {
	Value schema.Cell
	List  []schema.Cell
	In    bool
}

// Host is what a program needs to run.
type Host struct {
	// Table returns the table of a plan, and what the plan asks of it.
	Table func(plan string, arguments []Argument) (schema.Table, schema.Query, error)
	// Row takes a row of the result. The cells are valid until it returns.
	Row func(cells []schema.Cell) error
	// Memory bounds, in bytes, what sorting and grouping hold.
	Memory int64
}

// ErrMemory means that sorting or grouping takes more than Host.Memory.
var ErrMemory = errors.New("out of memory")

// checkEvery is how many rows are sorted or grouped between two looks at the
// context; scans look at it themselves.
const checkEvery = 4096

// machine is a program that runs.
type machine struct {
	*Host
	program   *Program
	registers []schema.Cell
	records   map[int]record // by register
	lists     map[int][]schema.Cell
	totals    []*total     // by register, of an aggregate that has begun
	rows      []schema.Row // by cursor, the current one
	texts     []schema.Cell
	sorters   []sorter
	shown     map[int]record // the record that a pseudo cursor shows
	once      map[int]bool
	compared  int   // what the last Compare found
	held      int64 // bytes
	steps     int
}

// Run runs the program to its end or the first error.
func (p *Program) Run(ctx context.Context, h *Host) error {
	m := &machine{
		Host: h, program: p, registers: make([]schema.Cell, p.registers+1),
		records: map[int]record{}, lists: map[int][]schema.Cell{}, totals: make([]*total, p.registers+1),
		rows: make([]schema.Row, p.cursors), texts: make([]schema.Cell, len(p.code)),
		sorters: make([]sorter, p.cursors), shown: map[int]record{}, once: map[int]bool{},
	}
	at := 0
	for {
		stop, err := m.run(ctx, at)
		if err != nil || m.program.code[stop].run != opFilter {
			return err
		}
		next, err := m.scan(ctx, stop)
		if err != nil || next < 0 {
			return err
		}
		at = next
	}
}

// scan runs the loop of a VFilter for each row of its table, and returns where the
// program goes on; less than 0 is nowhere.
func (m *machine) scan(ctx context.Context, filter int) (next int, err error) {
	in := &m.program.code[filter]
	var arguments []Argument
	for i := range int(m.registers[in.p3+1].Int) {
		at := in.p3 + 2 + i
		if list, ok := m.lists[at]; ok {
			arguments = append(arguments, Argument{List: list, In: true})
		} else {
			arguments = append(arguments, Argument{Value: m.registers[at]})
		}
	}
	table, query, err := m.Table(in.p4, arguments)
	if err != nil {
		return 0, err
	}
	var failed error
	start, next := filter+1, in.p2
	err = table.Each(ctx, query, func(row schema.Row) bool {
		m.rows[in.p1] = row
		var stop int
		if stop, failed = m.run(ctx, start); failed != nil {
			return false
		}
		switch m.program.code[stop].run {
		case opNext:
			start, next = m.program.code[stop].p2, stop+1
			return true
		case opFilter:
			next = stop // it has left the loop
		default:
			next = -1
		}
		return false
	})
	if failed != nil {
		err = failed
	}
	return next, err
}

// run runs the program up to a Halt, a VFilter or a VNext, and returns where that
// is.
func (m *machine) run(ctx context.Context, at int) (stop int, err error) {
	code, r := m.program.code, m.registers
	for ; ; at++ {
		in := &code[at] // the last one is a Goto
		switch in.run {
		case opGoto:
			at = in.p2 - 1
		case opHalt, opFilter, opNext:
			return at, nil
		case opNothing:
		case opConstant:
			r[in.p2] = in.constant
		case opNull:
			for i := in.p2; i <= max(in.p2, in.p3); i++ {
				r[i] = schema.Cell{}
				m.totals[i] = nil
			}
		case opColumn:
			if in.alone {
				m.rows[in.p1].Cell(in.p2, &r[in.p3])
			} else {
				m.rows[in.p1].Cell(in.p2, &m.texts[at])
				r[in.p3] = m.texts[at]
			}
		case opRowID:
			r[in.p2] = schema.Cell{Kind: schema.Int, Int: m.rows[in.p1].RowID()}
		case opResult:
			if err := m.Row(r[in.p1 : in.p1+in.p2]); err != nil {
				return at, err
			}
		case opCompare:
			if in.compare.jumps(&r[in.p3], &r[in.p1]) {
				at = in.p2 - 1
			}
		case opIsNull:
			if r[in.p1].Kind == schema.Null {
				at = in.p2 - 1
			}
		case opNotNull:
			if r[in.p1].Kind != schema.Null {
				at = in.p2 - 1
			}
		case opIf:
			if truth(&r[in.p1], in.p3 != 0) {
				at = in.p2 - 1
			}
		case opIfNot:
			if !truth(&r[in.p1], in.p3 == 0) {
				at = in.p2 - 1
			}
		case opIfPos:
			if r[in.p1].Int > 0 {
				r[in.p1].Int -= int64(in.p3)
				at = in.p2 - 1
			}
		case opDecrJumpZero:
			if r[in.p1].Int--; r[in.p1].Int == 0 {
				at = in.p2 - 1
			}
		case opOffsetLimit:
			limit, offset := r[in.p1].Int, max(r[in.p3].Int, 0)
			if sum := limit + offset; limit <= 0 || sum < limit {
				limit = -1
			} else {
				limit = sum
			}
			r[in.p2] = schema.Cell{Kind: schema.Int, Int: limit}
		case opCopy:
			for i := range in.p3 + 1 {
				r[in.p2+i] = keep(&r[in.p1+i])
			}
		case opMove:
			for i := range in.p3 {
				r[in.p2+i], r[in.p1+i] = r[in.p1+i], schema.Cell{}
			}
		case opStep:
			t := m.totals[in.p3]
			if t == nil {
				t = &total{}
				m.totals[in.p3] = t
			}
			t.add(in.aggregate, &r[in.p2])
		case opFinal:
			t := m.totals[in.p1]
			if t == nil {
				t = &total{}
			}
			v, overflow := t.final(in.aggregate)
			if overflow {
				return at, errors.New("integer overflow")
			}
			r[in.p1] = v
			m.totals[in.p1] = nil
		case opGosub:
			r[in.p1] = schema.Cell{Kind: schema.Int, Int: int64(at)}
			at = in.p2 - 1
		case opReturn:
			if r[in.p1].Kind == schema.Int { // else it was not called, and goes on
				at = int(r[in.p1].Int)
			}
		case opOnce:
			if m.once[at] {
				at = in.p2 - 1
			} else {
				m.once[at] = true
			}
		case opSorterOpen:
			m.sorters[in.p1] = sorter{keys: in.keys}
		case opRecord:
			m.records[in.p3] = record(r[in.p1 : in.p1+in.p2])
		case opInsert:
			record := m.records[in.p2]
			if m.held += m.sorters[in.p1].add(record); m.held > m.Memory {
				return at, ErrMemory
			}
		case opSort:
			s := &m.sorters[in.p1]
			if s.sort(); len(s.entries) == 0 {
				at = in.p2 - 1
			}
		case opSorterNext:
			if m.steps++; m.steps%checkEvery == 0 && ctx.Err() != nil {
				return at, context.Cause(ctx)
			}
			if m.sorters[in.p1].next() {
				at = in.p2 - 1
			}
		case opSorterData:
			m.shown[in.p3] = m.sorters[in.p1].current()
		case opField:
			r[in.p3] = m.shown[in.p1][in.p2]
		case opKeys:
			m.compared = 0
			for i := 0; i < in.p3 && m.compared == 0; i++ {
				m.compared = order(&r[in.p1+i], &r[in.p2+i])
				if in.keys.descending[i] {
					m.compared = -m.compared
				}
			}
		case opJump:
			switch {
			case m.compared < 0:
				at = in.p1 - 1
			case m.compared == 0:
				at = in.p2 - 1
			default:
				at = in.p3 - 1
			}
		case opBitAnd: // of which only the NULL is used
			v := schema.Cell{Kind: schema.Int}
			if r[in.p1].Kind == schema.Null || r[in.p2].Kind == schema.Null {
				v.Kind = schema.Null
			}
			r[in.p3] = v
		case opList:
			s := &m.sorters[in.p1]
			list := make([]schema.Cell, 0, len(s.entries))
			for _, e := range s.entries {
				list = append(list, e.record[0])
			}
			m.lists[in.p2] = list
		}
	}
}

// truth is that of a number.
func truth(c *schema.Cell, null bool) bool {
	switch c.Kind {
	case schema.Null:
		return null
	case schema.Float:
		return c.Float != 0
	}
	return c.Int != 0
}

// record is the values of a MakeRecord.
type record []schema.Cell

// keep returns a copy of the record and of its texts.
func (r record) keep() record {
	kept := make(record, len(r))
	for i := range r {
		kept[i] = keep(&r[i])
	}
	return kept
}

// size is about what a record takes, in bytes.
func (r record) size() int64 {
	size := int64(0)
	for i := range r {
		size += 64 + int64(len(r[i].Bytes))
	}
	return size
}

// entry is equal records, n of them.
type entry struct {
	record record
	n      int
}

// sorter is a list of records. Equal ones are stored once if nothing tells them
// apart, as in a GROUP BY.
type sorter struct {
	keys    keys
	entries []entry
	found   map[string]int
	key     []byte
	at, nth int
}

// add copies a record and returns the bytes that it takes.
func (s *sorter) add(r record) int64 {
	if len(r) > s.keys.count {
		s.entries = append(s.entries, entry{r.keep(), 1})
		return r.size()
	}
	s.key = s.key[:0]
	for i := range r {
		start := len(s.key)
		s.key = r[i].AppendText(append(s.key, byte(r[i].Kind), 0, 0, 0, 0))
		binary.NativeEndian.PutUint32(s.key[start+1:], uint32(len(s.key)-start))
	}
	if i, ok := s.found[string(s.key)]; ok {
		s.entries[i].n++
		return 0
	}
	if s.found == nil {
		s.found = make(map[string]int)
	}
	s.found[string(s.key)] = len(s.entries)
	s.entries = append(s.entries, entry{r.keep(), 1})
	return r.size() + int64(2*len(s.key))
}

func (s *sorter) sort() {
	slices.SortStableFunc(s.entries, func(a, b entry) int {
		for i := range s.keys.count {
			by := order(&a.record[i], &b.record[i])
			if s.keys.descending[i] {
				by = -by
			}
			if by != 0 {
				return by
			}
		}
		return 0
	})
	s.at, s.nth = 0, 0
}

func (s *sorter) next() bool {
	if s.nth++; s.nth >= s.entries[s.at].n {
		s.at, s.nth = s.at+1, 0
	}
	return s.at < len(s.entries)
}

func (s *sorter) current() record { return s.entries[s.at].record }
