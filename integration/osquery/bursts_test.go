package osquery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/osquery-sockets/osquery-sockets/integration/snapshot"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// source is a table whose rows change, and which counts how often it is read.
type source struct {
	mu    sync.Mutex
	rows  []row
	err   error
	wide  error                           // of what asks for no port
	cost  func(narrow bool) time.Duration // narrow says that ports are asked for
	reads atomic.Int64
	asked []schema.Request // by the scans

	schema.Table
}

func newSource(rows ...row) *source {
	s := &source{rows: rows}
	ports := schema.NotNull("port", "As the table's.", func(r *row) uint16 { return r.port })
	s.Table = table(func(ctx context.Context, q schema.Query) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			s.reads.Add(1)
			s.mu.Lock()
			rows, err, cost := s.rows, s.err, s.cost
			if ports.Values(q) == nil {
				err = errors.Join(err, s.wide)
			}
			s.mu.Unlock()
			if cost != nil {
				select {
				case <-time.After(cost(ports.Values(q) != nil)):
				case <-ctx.Done():
					yield(row{}, ctx.Err())
					return
				}
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(row{}, err)
			}
		}
	})
	return s
}

// Query notes what the table is asked.
func (s *source) Query(r schema.Request) schema.Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r)
	return s.Table.Query(r)
}

func (s *source) set(rows ...row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = rows
}

func (s *source) failWide(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wide = err
}

func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// where is a condition on a column: its operator and values.
type where struct {
	column string
	op     int
	values []string
}

func eq(column string, values ...string) where { return where{column, 2, values} }

// request writes a query context as osquery does.
func request(used []string, conditions ...where) string {
	type constraint struct {
		Op   int    `json:"op"`
		Expr string `json:"expr"`
	}
	type list struct {
		Name string       `json:"name"`
		List []constraint `json:"list"`
	}
	lists := []list{}
	for _, w := range conditions {
		l := list{Name: w.column}
		for _, v := range w.values {
			l.List = append(l.List, constraint{w.op, v})
		}
		lists = append(lists, l)
	}
	text, err := json.Marshal(map[string]any{"constraints": lists, "colsUsed": used})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// ids asks for rows and returns their identities in order.
func ids(t *testing.T, p *TablePlugin, context string) []string {
	t.Helper()
	r := generate(t, p, context)
	if r.Status.Code != 0 {
		t.Fatalf("%s: %s", context, r.Status.Message)
	}
	var found []string
	for _, row := range r.Response {
		found = append(found, row["rowid"])
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	return found
}

// held returns the bytes of a plugin's snapshots, and its bursts.
func held(p *TablePlugin) (bytes, open int) {
	p.bursts.mu.Lock()
	defer p.bursts.mu.Unlock()
	return p.bursts.memory.Held(), len(p.bursts.byKind)
}

func want(t *testing.T, got []string, ids ...string) {
	t.Helper()
	if !slices.Equal(got, ids) {
		t.Errorf("got the rows %v, want %v", got, ids)
	}
}

var fiveRows = []row{
	{id: 1, text: "a", port: 1, big: 10}, {id: 2, text: "b", port: 2, big: 20}, {id: 3, text: "B ", port: 2, big: 30},
	{id: 4, text: "22", port: 4, big: 40, none: true}, {id: 5, text: "", port: 5, big: 50, none: true},
}

func TestBursts(t *testing.T) {
	text := []string{"text"}
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *source, p *TablePlugin)
	}{
		{"the third call reads the table once for all that follow", func(t *testing.T, s *source, p *TablePlugin) {
			for i := range 100 {
				want(t, ids(t, p, request(text, eq("text", "a"))), "1")
				want(t, ids(t, p, request(text, eq("text", "22"))), "4")
				want(t, ids(t, p, request(text, eq("text", strconv.Itoa(i+100)))))
			}
			if n := s.reads.Load(); n != 3 {
				t.Errorf("the table was read %d times", n)
			}
		}},
		{"calls that are equal are a burst too", func(t *testing.T, s *source, p *TablePlugin) {
			for range 100 {
				want(t, ids(t, p, request([]string{})), "1", "2", "3", "4", "5")
				want(t, ids(t, p, request(text)), "1", "2", "3", "4", "5")
			}
			if n := s.reads.Load(); n != 6 {
				t.Errorf("the table was read %d times", n)
			}
		}},
		{"the first two calls see what is now", func(t *testing.T, s *source, p *TablePlugin) {
			want(t, ids(t, p, request(text, eq("text", "a"))), "1")
			s.set(fiveRows[1:]...)
			want(t, ids(t, p, request(text, eq("text", "a"))))
			s.set(fiveRows...)
			want(t, ids(t, p, request(text, eq("text", "a"))), "1")
		}},
		{"a gap ends a burst and frees its memory", func(t *testing.T, s *source, p *TablePlugin) {
			for range 3 {
				ids(t, p, request(text, eq("text", "a")))
				time.Sleep(burstGap)
			}
			if p.bursts.memory.Held() == 0 {
				t.Error("three calls with gaps of 50 ms took no snapshot")
			}
			s.set()
			want(t, ids(t, p, request(text, eq("text", "a"))), "1")
			time.Sleep(2*burstGap + 10*time.Millisecond)
			if bytes, open := held(p); bytes != 0 || open != 0 {
				t.Errorf("%d bytes and %d bursts are held", bytes, open)
			}
			want(t, ids(t, p, request(text, eq("text", "a"))))
			for range 10 {
				time.Sleep(burstGap + time.Millisecond)
				s.reads.Store(0)
				ids(t, p, request(text, eq("text", "a")))
				if s.reads.Load() != 1 {
					t.Error("a call alone did not read the table")
				}
			}
		}},
		{"a snapshot of different values is at most a second old", func(t *testing.T, s *source, p *TablePlugin) {
			for _, value := range []string{"b", "b", "a"} {
				ids(t, p, request(text, eq("text", value)))
			}
			s.set()
			start := time.Now()
			for time.Since(start) < burstAge {
				want(t, ids(t, p, request(text, eq("text", "a"))), "1")
				time.Sleep(burstGap)
			}
			want(t, ids(t, p, request(text, eq("text", "a"))))
		}},
		{"one of the same value is younger, as the calls may be statements of their own", func(t *testing.T, s *source, p *TablePlugin) {
			for range 3 {
				ids(t, p, request(text, eq("text", "a")))
			}
			s.set()
			start := time.Now()
			for time.Since(start) < sameAge {
				want(t, ids(t, p, request(text, eq("text", "a"))), "1")
				time.Sleep(burstGap)
			}
			want(t, ids(t, p, request(text, eq("text", "a"))))
		}},
		{"a snapshot that fails is none", func(t *testing.T, s *source, p *TablePlugin) {
			s.failWide(errors.New("broken"))
			for _, port := range []string{"1", "2", "4", "2", "4"} {
				ids(t, p, request([]string{"port"}, eq("port", port)))
			}
			if n := s.reads.Load(); n != 6 {
				t.Errorf("the table was read %d times, want 5 calls and a snapshot", n)
			}
		}},
		{"an error of the table is the call's", func(t *testing.T, s *source, p *TablePlugin) {
			for range 2 {
				ids(t, p, request(text, eq("text", "a")))
			}
			s.fail(errors.New("broken"))
			if r := generate(t, p, request(text, eq("text", "a"))); r.Status.Code != 1 || r.Status.Message != "table t: broken" || r.Response != nil {
				t.Errorf("got %+v", r)
			}
			s.fail(nil)
			want(t, ids(t, p, request(text, eq("text", "a"))), "1")
			time.Sleep(2*burstGap + 10*time.Millisecond)
			if bytes, open := held(p); bytes != 0 || open != 0 {
				t.Errorf("%d bytes and %d bursts are held", bytes, open)
			}
		}},
		{"what is too large is read again and again", func(t *testing.T, s *source, p *TablePlugin) {
			p.bursts.memory = snapshot.NewMemory(400)
			for i := range 10 {
				want(t, ids(t, p, request(text, eq("text", strconv.Itoa(22+i%2)))), []string{"4"}[:1-i%2]...)
			}
			if n := s.reads.Load(); n != 11 || p.bursts.memory.Held() != 0 {
				t.Errorf("%d reads, %d bytes are held", n, p.bursts.memory.Held())
			}
		}},
		{"lists of values", func(t *testing.T, s *source, p *TablePlugin) {
			for range 3 {
				want(t, ids(t, p, request([]string{"port"}, eq("port", "1", "2"))), "1", "2", "3")
				want(t, ids(t, p, request([]string{"port"}, eq("port", "5", "1", "01", "9"))), "1", "5")
				want(t, ids(t, p, request([]string{"port"}, eq("port", "4"))), "4")
			}
			if n := s.reads.Load(); n != 3 {
				t.Errorf("the table was read %d times", n)
			}
		}},
		{"numbers and texts in other spellings", func(t *testing.T, s *source, p *TablePlugin) {
			for range 3 {
				want(t, ids(t, p, request(text, eq("text", "A"))), "1")
				want(t, ids(t, p, request(text, eq("text", "b  "))), "2", "3")
				for _, v := range []string{"2", " 2 ", "2.0", "+2", "2e0", "002"} {
					want(t, ids(t, p, request([]string{"port"}, eq("port", v))), "2", "3")
				}
				// Of these nobody knows what they equal.
				for _, v := range []string{"x", "2.5", "9007199254740993.0"} {
					ids(t, p, request([]string{"port"}, eq("port", v)))
				}
			}
		}},
		{"IS", func(t *testing.T, s *source, p *TablePlugin) {
			for range 3 {
				// osquery sends no constraint where the value is NULL.
				want(t, ids(t, p, request([]string{"maybe"})), "1", "2", "3", "4", "5")
				if got := ids(t, p, request(text, where{"text", 72, []string{"a"}})); !slices.Contains(got, "1") {
					t.Errorf("got %v", got)
				}
			}
		}},
		{"what all calls have in common narrows the snapshot", func(t *testing.T, s *source, p *TablePlugin) {
			used := []string{"port", "text"}
			over := where{"port", 4, []string{"1"}}
			for _, v := range []string{"1", "2", "4", "5"} {
				ids(t, p, request(used, eq("text", "b"), over, eq("p", v)))
			}
			ids(t, p, request(append(used, "p"), eq("text", "b"), over, eq("p", "1")))
			ids(t, p, request(append(used, "p"), eq("text", "b"), over, eq("p", "2")))
			want(t, ids(t, p, request(append(used, "p"), eq("text", "b"), over, eq("p", "2"))), "2", "3")
			if last := s.asked[len(s.asked)-1]; fmt.Sprint(last.Constraints) != "[{text 2 b} {port 4 1} {p 2 2}]" && fmt.Sprint(last.Constraints) != "[{text 2 b} {port 4 1}]" {
				t.Errorf("the snapshot is of %+v", last)
			}
			// And what is no longer in common narrows the next one no more.
			want(t, ids(t, p, request(append(used, "p"), eq("text", "22"), over, eq("p", "4"))), "4")
			want(t, ids(t, p, request(append(used, "p"), eq("text", "a"), where{"port", 4, []string{"0"}}, eq("p", "1"))), "1")
		}},
		{"an old osquery names no columns", func(t *testing.T, s *source, p *TablePlugin) {
			for range 5 {
				if r := generate(t, p, ""); len(r.Response) != 5 || len(r.Response[0]) < 5 {
					t.Errorf("got %+v", r)
				}
			}
			if n := s.reads.Load(); n != 5 {
				t.Errorf("the table was read %d times", n)
			}
		}},
		{"many bursts at a time", func(t *testing.T, s *source, p *TablePlugin) {
			for range 4 {
				for i := range 3 * maxBursts {
					want(t, ids(t, p, request(text, where{"port", 4, []string{strconv.Itoa(-i)}}, eq("text", "a"))), "1")
				}
			}
			if _, open := held(p); open > maxBursts {
				t.Errorf("%d bursts", open)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource(fiveRows...)
				c.run(t, s, NewTablePlugin(s))
			})
		})
	}
}

// The clock is the test's own: what is counted is the time that the table takes.
func TestBurstsCostAtMostTwice(t *testing.T) {
	const narrow, all = 200 * time.Microsecond, 100 * time.Millisecond
	for _, c := range []struct {
		name  string
		calls int
		cost  func(narrow bool) time.Duration // narrow says that ports are asked for
		most  time.Duration
	}{
		{"three look-ups in a large table", 3, func(ports bool) time.Duration {
			if ports {
				return narrow
			}
			return all
		}, 2*3*narrow + snapshot.DefaultGrant},
		{"as many look-ups as reading all takes", int(all / narrow), func(ports bool) time.Duration {
			if ports {
				return narrow
			}
			return all
		}, 2*all + snapshot.DefaultGrant},
		{"100,000 look-ups in a large table", 100_000, func(ports bool) time.Duration {
			if ports {
				return narrow
			}
			return all
		}, 7 * all},
		{"6,030 look-ups in a small table", 6030, func(bool) time.Duration { return narrow }, 3 * narrow},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource(fiveRows...)
				s.cost = c.cost
				p := NewTablePlugin(s)
				start := time.Now()
				for range c.calls {
					want(t, ids(t, p, request([]string{"port"}, eq("port", strconv.Itoa(rand.IntN(60_000)+10)))))
				}
				if took := time.Since(start); took > c.most {
					t.Errorf("it took %v, want at most %v", took, c.most)
				}
			})
		})
	}
}

// Other calls read the table while a snapshot is taken.
func TestBurstsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(fiveRows...)
		p := NewTablePlugin(s)
		p.bursts.grant = time.Hour
		for range 2 {
			ids(t, p, request([]string{"port"}, eq("port", "1")))
		}
		s.mu.Lock()
		s.cost = func(ports bool) time.Duration {
			if !ports {
				return time.Minute / 2
			}
			return time.Millisecond
		}
		s.mu.Unlock()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			ids(t, p, request([]string{"port"}, eq("port", "2")))
		}()
		synctest.Wait()
		start := time.Now()
		want(t, ids(t, p, request([]string{"port"}, eq("port", "4"))), "4")
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("it took %v", took)
		}
		<-ended
		s.reads.Store(0)
		want(t, ids(t, p, request([]string{"port"}, eq("port", "4"))), "4")
		if s.reads.Load() != 0 || p.bursts.memory.Held() == 0 {
			t.Error("the snapshot was not used")
		}
	})
}

func TestBurstsOfManyQueries(t *testing.T) {
	s := newSource(fiveRows...)
	p := NewTablePlugin(s)
	p.bursts.grant = time.Hour
	var queries sync.WaitGroup
	for i := range 8 {
		queries.Go(func() {
			for n := range 200 {
				r := fiveRows[(n+i)%3]
				text := r.text
				if i%2 == 0 {
					text = "a" // a constant of this query
				}
				got := generate(t, p, request([]string{"port", "text"}, eq("port", strconv.Itoa(int(r.port))), eq("text", text)))
				found := false
				for _, row := range got.Response {
					found = found || row["rowid"] == strconv.FormatInt(r.id, 10)
				}
				if exists := text == r.text; found != exists {
					t.Errorf("port %d, text %q: got %v", r.port, text, got.Response)
				}
			}
		})
	}
	queries.Wait()
	if n := s.reads.Load(); n > 1200 {
		t.Errorf("of 1,600 calls %d read the table", n)
	}
}

// Whatever is asked, and however often, the answer has the rows that SQLite finds
// among all rows, and no row twice or changed.
func TestBurstsAnswerAsTheTable(t *testing.T) {
	var rows []row
	texts := []string{"a", "A", "b ", "B", "", "22", "022", "22.0", " 22", "x y", "1e2", "ä", "LISTEN", "listen", "9007199254740993"}
	random := rand.New(rand.NewPCG(12, 12))
	for i := range 200 {
		rows = append(rows, row{id: int64(1000 + i), text: texts[random.IntN(len(texts))], port: uint16(random.IntN(30)), big: int64(random.IntN(30)) * 3_000_000_000, none: i%3 == 0})
	}
	s := newSource(rows...)
	columns := s.Spec().Columns
	conn := copyOf(t, s)
	var whole = make(map[string]map[string]string)
	for _, r := range generate(t, NewTablePlugin(s), "").Response {
		whole[r["rowid"]] = r
	}
	literal := func(c schema.ColumnInfo) string {
		r := rows[random.IntN(len(rows))]
		n := strconv.Itoa(int(r.port))
		if c.Name == "big" || c.Name == "maybe" {
			n = strconv.FormatInt(r.big, 10)
		}
		quoted := "'" + r.text + "'"
		if c.Type == schema.Text {
			return []string{quoted, quoted, strings.ToUpper(quoted), "'" + r.text + " '", "'s'", "22", "22.0", "NULL", "''"}[random.IntN(9)]
		}
		return []string{n, n, n, "'" + n + "'", "' " + n + "  '", n + ".0", "'" + n + ".0'", n + ".5", "'x'", "NULL", "''", "0x16", "1e1", "9.5e18", "-" + n}[random.IntN(15)]
	}
	served := 0
	for sequence := range 1000 {
		p := NewTablePlugin(s)
		p.bursts.grant = time.Hour
		var used []string
		for _, c := range columns {
			if random.IntN(2) == 0 {
				used = append(used, c.Name)
			}
		}
		type comparison struct {
			column   schema.ColumnInfo
			op, sql  string
			constant []string
		}
		var compared []comparison
		for _, c := range columns {
			if random.IntN(3) > 0 {
				continue
			}
			k := comparison{column: c, op: "2", sql: "="}
			if c.Type != schema.Text && random.IntN(4) == 0 {
				k.op, k.sql = "4", ">"
			}
			if k.op != "2" || random.IntN(3) == 0 {
				k.constant = []string{literal(c)}
			}
			compared = append(compared, k)
			if !slices.Contains(used, c.Name) {
				used = append(used, c.Name)
			}
		}
		s.reads.Store(0)
		const calls = 6
		for range calls {
			var conditions []where
			sql := "SELECT rowid FROM t WHERE 1"
			for _, k := range compared {
				literals := k.constant
				if literals == nil {
					for range 1 + max(0, random.IntN(5)-2) {
						literals = append(literals, literal(k.column))
					}
				}
				if len(literals) == 1 {
					sql += fmt.Sprintf(" AND %s %s %s", k.column.Name, k.sql, literals[0])
				} else {
					sql += fmt.Sprintf(" AND %s IN (%s)", k.column.Name, strings.Join(literals, ", "))
				}
				op, _ := strconv.Atoi(k.op)
				w := where{column: k.column.Name, op: op}
				for _, l := range literals {
					// osquery drops NULL, and what is empty but in a list.
					v := one(t, conn, "SELECT CAST("+l+" AS TEXT)")
					if len(v) == 1 && (v[0] != "" || len(literals) > 1 && l != "NULL") {
						w.values = append(w.values, v[0])
					}
				}
				conditions = append(conditions, w)
			}
			context := request(used, conditions...)
			r := generate(t, p, context)
			if r.Status.Code != 0 {
				t.Fatal(r.Status.Message)
			}
			got := make(map[string]bool)
			for _, row := range r.Response {
				id := row["rowid"]
				if got[id] {
					t.Fatalf("sequence %d: %s: the row %s is there twice", sequence, context, id)
				}
				got[id] = true
				for _, name := range used {
					if row[name] != whole[id][name] {
						t.Fatalf("sequence %d: %s: row %s has %s %q, want %q", sequence, context, id, name, row[name], whole[id][name])
					}
				}
			}
			for _, id := range one(t, conn, sql) {
				if !got[id] {
					t.Fatalf("sequence %d: %s\nlacks row %s: %v\nof %s", sequence, context, id, whole[id], sql)
				}
			}
		}
		if s.reads.Load() < calls {
			served++
		}
	}
	if served < 500 {
		t.Errorf("of 1,000 sequences %d were answered from memory", served)
	}
}

// copyOf makes an ordinary table of the rows of a table.
func copyOf(t *testing.T, s *source) *sqlite3.Conn {
	t.Helper()
	conn, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var columns []string
	for _, c := range s.Spec().Columns {
		columns = append(columns, c.Name+" "+string(c.Type))
	}
	err = conn.Exec("CREATE TABLE t (" + strings.Join(columns, ", ") + ")")
	for _, r := range generate(t, NewTablePlugin(s), "").Response {
		names := slices.Sorted(maps.Keys(r))
		var values []string
		for _, name := range names {
			values = append(values, "'"+r[name]+"'")
		}
		err = errors.Join(err, conn.Exec("INSERT INTO t ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(values, ", ")+")"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// one returns the values of a statement's first column, but NULL.
func one(t *testing.T, conn *sqlite3.Conn, sql string) (values []string) {
	t.Helper()
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer stmt.Close()
	for stmt.Step() {
		if stmt.ColumnType(0) != sqlite3.NULL {
			values = append(values, stmt.ColumnText(0))
		}
	}
	if err := stmt.Err(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return values
}
