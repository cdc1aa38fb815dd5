package osquery

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/snapshot"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// In a join osquery may ask a table once for each row of the other: the calls
// of such a burst use the same columns and differ in nothing but what columns
// must equal. The first two read the table; from the third on a snapshot may
// answer, see [snapshot.Calls].
const (
	// burstGap is the longest time between the end of a call and the start of the
	// next in a burst. Behind it the snapshot is freed.
	burstGap = 50 * time.Millisecond
	// burstAge is the age at which a snapshot is dropped, and sameAge that of one
	// whose calls all asked for the same: they may be statements of their own,
	// such as those of a loop that waits for a socket. One that took long to read
	// serves for as long again: a call would take as long.
	burstAge = time.Second
	sameAge  = 200 * time.Millisecond
	// maxBursts bounds the bursts of a table at a time.
	maxBursts = 16
	// maxSnapshots bounds the snapshots of all bursts of a server together, in
	// bytes.
	maxSnapshots = 64 << 20
)

// bursts are those of one table.
type bursts struct {
	memory *snapshot.Memory
	grant  time.Duration // see snapshot.Calls

	mu       sync.Mutex
	byKind   map[string]*burst
	sweeping bool // a timer is set
}

type burst struct {
	snapshot.Calls
	active int // calls under way
	ended  time.Time
	taking bool      // a call takes a snapshot
	taken  time.Time // when the reading of the snapshot began
	took   time.Duration
}

func newBursts() *bursts {
	return &bursts{memory: snapshot.NewMemory(maxSnapshots), grant: snapshot.DefaultGrant, byKind: make(map[string]*burst)}
}

// kindOf returns the terms of a request, and the kind of burst that it may be of:
// all of it but what columns must equal. It returns false for a request that a
// snapshot cannot answer.
func kindOf(table schema.Table, r *schema.Request, q schema.Query) (terms []snapshot.Term, kind string, ok bool) {
	if r.All {
		return nil, "", false
	}
	columns := table.Spec().Columns
	var b strings.Builder
	for _, name := range r.Used {
		b.WriteString(name)
		b.WriteByte(0)
	}
	byColumn := make(map[int]int) // the terms of equality
	for _, k := range r.Constraints {
		column := -1
		for i := range columns {
			if columns[i].Name == k.Column {
				column = i
			}
		}
		equal := k.Op == schema.EQ || k.Op == schema.IS
		switch {
		case column >= 0 && !q.Uses(column) && (k.Op.Known() || columns[column].Scope):
			// The rows of a snapshot would lack the column, and not be those of the
			// scope that the comparison alone uses.
			return nil, "", false
		case column < 0 || !k.Op.Known():
			continue // it narrows nothing
		}
		at, ok := byColumn[column]
		if !equal || !ok {
			at = len(terms)
			terms = append(terms, snapshot.Term{Column: column, Equal: equal})
			b.WriteByte(0)
			b.WriteString(k.Column)
			b.WriteByte(0)
			b.WriteByte(byte(k.Op))
		}
		t := &terms[at]
		t.Constraints = append(t.Constraints, k)
		if equal {
			byColumn[column] = at
			t.Values = append(t.Values, snapshot.Of(columns[column].Type, k.Value))
		} else {
			b.WriteString(strconv.Quote(k.Value))
		}
	}
	return terms, b.String(), true
}

// scan begins a scan for a request, of the table or of a snapshot of it. When
// the scan is closed, end must be called.
func (p *TablePlugin) scan(ctx context.Context, r *schema.Request, q schema.Query) (scan schema.Scan, end func()) {
	terms, kind, ok := kindOf(p.table, r, q)
	var b *burst
	if ok {
		b = p.bursts.begin(kind, terms)
	}
	if b == nil {
		return p.table.Scan(ctx, q), func() {}
	}
	p.snapshot(ctx, b, r, terms, q)
	p.bursts.mu.Lock()
	rows, ok := b.Find(terms)
	p.bursts.mu.Unlock()
	if ok {
		return rows, func() { p.bursts.end(b, time.Time{}) }
	}
	start := time.Now()
	return p.table.Scan(ctx, q), func() { p.bursts.end(b, start) }
}

// snapshot takes a snapshot for the burst of a call if it is time to. The calls
// that come meanwhile read the table.
func (p *TablePlugin) snapshot(ctx context.Context, b *burst, r *schema.Request, terms []snapshot.Term, q schema.Query) {
	s := p.bursts
	columns := p.table.Spec().Columns
	var used []int
	for i := range columns {
		if q.Uses(i) {
			used = append(used, i)
		}
	}
	s.mu.Lock()
	age := burstAge
	if !b.Varied() {
		age = sameAge
	}
	if time.Since(b.taken) >= max(age, 2*b.took) {
		b.Drop()
	}
	var order *snapshot.Order
	if !b.taking {
		order = b.Order(columns, used, terms)
	}
	b.taking = b.taking || order != nil
	s.mu.Unlock()
	if order == nil {
		return
	}
	var taken *snapshot.Snapshot
	start := time.Now()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.taking, b.taken, b.took = false, start, time.Since(start)
		b.Took(order, taken)
	}()
	taken = order.Take(ctx, func(ctx context.Context, o *snapshot.Order) schema.Scan {
		return p.table.Scan(ctx, p.table.Query(schema.Request{Used: r.Used, Constraints: o.Constraints}))
	})
}

// begin counts a call in its burst. It returns nil if there are too many bursts.
func (s *bursts) begin(kind string, terms []snapshot.Term) *burst {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.byKind[kind]
	if b != nil && b.over(time.Now()) {
		s.drop(kind)
		b = nil
	}
	if b == nil {
		if len(s.byKind) >= maxBursts && !s.makeRoom() {
			return nil
		}
		b = &burst{Calls: snapshot.Calls{Grant: s.grant, Memory: s.memory}}
		s.byKind[kind] = b
	}
	b.active++
	b.Note(terms)
	return b
}

// over reports whether a burst is over; bursts.mu is held.
func (b *burst) over(now time.Time) bool { return b.active == 0 && now.Sub(b.ended) > burstGap }

// makeRoom drops the burst that has been idle for longest, if one is idle; mu is
// held.
func (s *bursts) makeRoom() bool {
	oldest := ""
	found := false
	for kind, b := range s.byKind {
		if b.active == 0 && (!found || b.ended.Before(s.byKind[oldest].ended)) {
			oldest, found = kind, true
		}
	}
	if found {
		s.drop(oldest)
	}
	return found
}

// drop ends a burst; mu is held.
func (s *bursts) drop(kind string) {
	s.byKind[kind].Drop()
	delete(s.byKind, kind)
}

// end ends a call, which read the table from some time on if that is not zero.
func (s *bursts) end(b *burst, read time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.active--
	b.ended = time.Now()
	if !read.IsZero() {
		b.Read(b.ended.Sub(read))
	}
	s.sweepLater()
}

// sweepLater sets the timer that frees what bursts leave behind; mu is held.
func (s *bursts) sweepLater() {
	if !s.sweeping && len(s.byKind) > 0 {
		s.sweeping = true
		time.AfterFunc(burstGap+time.Millisecond, s.sweep)
	}
}

// sweep drops the bursts that are over.
func (s *bursts) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for kind, b := range s.byKind {
		if b.over(now) {
			s.drop(kind)
		}
	}
	s.sweeping = false
	s.sweepLater()
}
