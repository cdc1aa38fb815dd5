package schema

import (
	"maps"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// Stats counts what the plugins that share it did since the process started.
type Stats struct {
	mu            sync.Mutex
	registrations Registrations
	lost          bool // and not yet registered again
	tables        map[string]*tableStats
}

// Registrations is what [Stats] counted of the connection with osquery.
type Registrations struct {
	Count  int64 // how often osquery took the extension
	Losses int64 // how often one of those was lost
	// LastLoss is the last time at which osquery had the registration that was
	// lost last; zero if none was.
	LastLoss time.Time
	// Gone is how long osquery was without, from each LastLoss until the next
	// registration or until now.
	Gone time.Duration
}

// TableStats is what [Stats] counted for one table.
type TableStats struct {
	Name    string
	Queries int64
	Rows    int64 // of answers that were whole
	Errors  int64
	// LastError is the last error's text, and LastErrorTime when that was.
	LastError     string
	LastErrorTime time.Time
	// P50 and P99 are the times within which 50 and 99 of 100 queries were
	// answered or failed, rounded up by at most an eighth.
	P50, P99 time.Duration
}

// NewStats returns counts for tables, all zero.
func NewStats(tables ...Table) *Stats {
	s := &Stats{tables: make(map[string]*tableStats)}
	for _, t := range tables {
		s.tables[t.Name()] = &tableStats{TableStats: TableStats{Name: t.Name()}}
	}
	return s
}

// Registered counts a registration with osquery.
func (s *Stats) Registered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registrations.Count++
	if s.lost {
		s.lost = false
		s.registrations.Gone += time.Since(s.registrations.LastLoss)
	}
}

// Lost counts the loss of a registration that osquery had until last, or longer.
func (s *Stats) Lost(last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = true
	s.registrations.Losses++
	s.registrations.LastLoss = last
}

// Registrations returns the counts of registrations and their losses.
func (s *Stats) Registrations() Registrations {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.registrations
	if s.lost {
		r.Gone += time.Since(r.LastLoss)
	}
	return r
}

// Tables returns the counts by name of the table.
func (s *Stats) Tables() (all []TableStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		t := s.tables[name]
		one := t.TableStats
		one.P50, one.P99 = t.quantile(50), t.quantile(99)
		all = append(all, one)
	}
	return all
}

// Observe counts a query.
func (s *Stats) Observe(table string, rows int, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[table]
	if t == nil {
		t = &tableStats{TableStats: TableStats{Name: table}}
		s.tables[table] = t
	}
	t.Queries++
	t.times[bucket(took)]++
	if err == nil {
		t.Rows += int64(rows)
		return
	}
	t.Errors++
	t.LastError, t.LastErrorTime = err.Error(), time.Now()
}

type tableStats struct {
	TableStats
	times [64 * 8]int64 // queries by the bucket of the time that they took
}

// bucket returns the number of a time's bucket: eight for each power of two of
// nanoseconds.
func bucket(d time.Duration) int {
	n := uint64(max(d, 1))
	exponent := bits.Len64(n) - 1
	return exponent*8 + int(n<<(63-exponent)>>60&7)
}

// quantile returns the upper end of the bucket in which the query is that so many
// of 100 were not slower than.
func (t *tableStats) quantile(percent int64) time.Duration {
	left := (t.Queries*percent + 99) / 100
	if left == 0 {
		return 0
	}
	for i, n := range t.times {
		if left -= n; left <= 0 {
			exponent, eighth := i/8, uint64(i%8)
			if exponent < 3 {
				return time.Duration((8 + eighth) >> (3 - exponent)) // exact
			}
			return time.Duration((8+eighth+1)<<(exponent-3) - 1)
		}
	}
	return 0
}
