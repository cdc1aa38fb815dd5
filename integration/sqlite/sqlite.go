// Package sqlite answers SQL over the tables without osquery: it is the
// embedded host of the tables, on SQLite.
//
//	db, err := sqlite.Open(tables.All(host.New(host.Options{})), nil)
//	err = db.Run(ctx, "SELECT * FROM tcp_sockets", newResult)
//	db.Close()
//
// The database is in memory and holds nothing: every table is read when a
// statement asks for it, row by row, and only the columns that the statement
// uses. A statement that only lists, counts or groups one table is run by package
// plain, with the same answer. Nothing can be written, attached or created in it. As in osquery
// "double quotes" around a text that is no column make it a text.
package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/osquery-sockets/osquery-sockets/integration/memlimit"
	"github.com/osquery-sockets/osquery-sockets/integration/snapshot"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite/functions"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Result receives the rows of one statement; the writers of package rowfmt do.
type Result interface {
	// Columns names the columns, before the first row.
	Columns(names []string) error
	// Row takes the values of one row. They are valid until Row returns.
	Row(cells []schema.Cell) error
	// Close ends a result that came to its end.
	Close() error
}

// DB is the database of the tables. It is for one goroutine at a time.
type DB struct {
	// SQLiteOnly has SQLite run the plain statements too, which package plain
	// runs otherwise.
	SQLiteOnly bool
	// Warn, if it is set, is called for each comparison with a constant that no row
	// of the table can meet, once: such as state = 'ESTAB'.
	Warn func(warning string)

	warned     map[string]bool
	conn       *sqlite3.Conn
	limit      *memlimit.Limit
	memory     int64 // what SQLite and package plain may each hold, in bytes
	tables     []schema.Table
	registered map[string]bool // the tables that SQLite knows
	listed     map[string]bool // those that are in sqlite_schema too
	sql        string          // the statement that runs, and those behind it
	// What went wrong inside of a statement, of which SQLite keeps only words.
	tableErr  error
	denied    bool
	temporary bool  // tables were asked for, of which there are none
	listing   bool  // the database makes its own entries
	broken    error // no further statement can run
	// repeated are the scans of the statement that runs.
	repeated      map[scanKind]*snapshot.Calls
	snapshotGrant time.Duration
}

// What SQLite may hold for sorting, grouping and large values, in bytes: by default,
// and at most.
const (
	defaultMemory = 1 << 30
	maxMemory     = 4 << 30
)

// Open makes a database of the tables. A statement that has the program take more
// memory than the limit is given up with a [memlimit.Exceeded]. Without a limit, nil,
// what SQLite holds is bounded alone, at 1 GiB.
func Open(tables []schema.Table, limit *memlimit.Limit) (_ *DB, err error) {
	defer func() {
		if p := recover(); p != nil { // it reserves its address space
			err = fmt.Errorf("SQLite does not start: %v", p)
		}
	}()
	memory := min(cmp.Or(limit.Bytes(), defaultMemory), maxMemory)
	conn, err := sqlite3.OpenContext(sqlite3.WithMaxMemory(context.Background(), memory), ":memory:")
	if err != nil {
		return nil, err
	}
	db := &DB{conn: conn, limit: limit, memory: memory, tables: tables, registered: make(map[string]bool), listed: make(map[string]bool), snapshotGrant: snapshot.DefaultGrant}
	if err := db.prepare(); err != nil {
		conn.Close()
		return nil, err
	}
	return db, nil
}

func (db *DB) prepare() error {
	if _, err := db.conn.Config(sqlite3.DBCONFIG_DQS_DML, true); err != nil {
		return err
	}
	// Large sorts stay in memory: we write no files.
	if err := db.conn.Exec("PRAGMA temp_store = MEMORY"); err != nil {
		return err
	}
	return db.conn.SetAuthorizer(db.authorize)
}

// registerNamed makes the tables known to SQLite that a text may name, and osquery's
// functions.
func (db *DB) registerNamed(text string) error {
	if err := functions.Register(db.conn, functions.Named(text)); err != nil {
		return err
	}
	text = strings.ToLower(text)
	catalog := strings.Contains(text, "sqlite_") || strings.Contains(text, "table_list")
	for _, t := range db.tables {
		var err error
		switch name := t.Name(); {
		case db.listed[name]:
		case catalog:
			err = db.list(t)
			db.listed[name] = err == nil
		case db.registered[name], !strings.Contains(text, "pragma") && !strings.Contains(text, name):
		default:
			err = db.register(t, false)
			db.registered[name] = err == nil
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name(), err)
		}
	}
	return nil
}

// list makes a table known to SQLite, and puts it into sqlite_schema, which costs
// more than [DB.register].
func (db *DB) list(t schema.Table) error {
	if err := db.register(t, true); err != nil {
		return err
	}
	db.listing = true
	defer func() { db.listing = false }()
	name := sqlite3.QuoteIdentifier(t.Name())
	return db.conn.Exec("CREATE VIRTUAL TABLE main." + name + " USING " + name)
}

// Close frees the database. Of a broken one nothing is used again.
func (db *DB) Close() error {
	if db.broken != nil {
		return nil
	}
	return db.conn.Close()
}

// Run runs the statements of a text in turn and stops at the first error.
// newResult is called for each that has columns. The rows of a result that is
// not closed are not the whole answer.
func (db *DB) Run(ctx context.Context, text string, newResult func() (Result, error)) (err error) {
	ctx, end := db.limit.Guard(ctx)
	defer end()
	defer db.conn.SetInterrupt(db.conn.SetInterrupt(ctx))
	// The library panics where SQLite runs out of memory, and leaves it in the
	// middle of what it did.
	defer func() {
		if p := recover(); p != nil {
			err = db.broke(p)
			db.broken = err
		}
	}()
	if db.broken != nil {
		return fmt.Errorf("an earlier failure ended this database: %w", db.broken)
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return fmt.Errorf("the SQL has a NUL byte, at offset %d: SQLite would take it for the end", i)
	}
	if err := db.registerNamed(text); err != nil {
		return err
	}
	for strings.TrimSpace(text) != "" {
		db.tableErr, db.denied, db.temporary, db.repeated = nil, false, false, make(map[scanKind]*snapshot.Calls)
		db.sql = text
		stmt, tail, err := db.conn.Prepare(text)
		if err != nil {
			return db.explain(ctx, err)
		}
		sql := text[:len(text)-len(tail)]
		text = tail
		if stmt == nil {
			continue // nothing but a comment
		}
		if err := db.run(ctx, stmt, sql, newResult); err != nil {
			stmt.Close()
			return err
		}
		if err := stmt.Close(); err != nil {
			return db.explain(ctx, err)
		}
	}
	return nil
}

// broke explains a panic of the library. Its stack ends at the address 0: deeper
// calls are an index out of range.
func (db *DB) broke(p any) error {
	if fmt.Sprint(p) == outOfMemory {
		return db.exceeded()
	}
	if _, ok := p.(runtime.Error); ok {
		return errors.New("the statement has more terms in a chain, or levels of nesting, than SQLite's stack holds (about 150): use IN or VALUES lists, or fewer levels")
	}
	return fmt.Errorf("the statement broke SQLite: %v", p)
}

// outOfMemory is the library's text where SQLite may hold no more.
const outOfMemory = "sqlite3: out of memory"

// exceeded is the error of a statement for which SQLite, or package plain, would
// hold too much.
func (db *DB) exceeded() error {
	if db.limit.Bytes() > 0 {
		return fmt.Errorf("the statement was given up: %w", db.limit.Exceeded())
	}
	return fmt.Errorf("the statement takes more than the %v of memory that SQLite may hold: narrow the WHERE clause, or sort and group fewer rows", memlimit.Size(db.memory))
}

func (db *DB) run(ctx context.Context, stmt *sqlite3.Stmt, sql string, newResult func() (Result, error)) error {
	if n := stmt.BindCount(); n > 0 {
		return fmt.Errorf("the statement has %d parameter(s) such as ? or :name, which cannot be given here: write the values into it", n)
	}
	n := stmt.ColumnCount()
	if n == 0 {
		stmt.Step()
		return db.explain(ctx, stmt.Err())
	}
	result, err := newResult()
	if err != nil {
		return err
	}
	names := make([]string, n)
	texts := make([]bool, n) // columns of tables that have no numbers
	for i := range names {
		names[i] = stmt.ColumnName(i)
		texts[i] = stmt.ColumnDeclType(i) == string(schema.Text)
	}
	if program, ok := db.plain(sql); ok {
		return db.runPlain(ctx, program, names, result)
	}
	// Without a first row there may be no answer at all, but an error.
	more := stmt.Step()
	if err := stmt.Err(); err != nil {
		return db.explain(ctx, err)
	}
	if err := result.Columns(names); err != nil {
		return err
	}
	cells := make([]schema.Cell, n)
	for ; more; more = stmt.Step() {
		for i := range cells {
			kind := sqlite3.TEXT
			if !texts[i] {
				kind = stmt.ColumnType(i)
			}
			switch kind {
			case sqlite3.NULL:
				cells[i] = schema.Cell{}
			case sqlite3.INTEGER:
				cells[i] = schema.Cell{Kind: schema.Int, Int: stmt.ColumnInt64(i)}
			case sqlite3.FLOAT:
				cells[i] = schema.Cell{Kind: schema.Float, Float: stmt.ColumnFloat(i)}
			default:
				cells[i] = schema.Cell{Kind: schema.Bytes, Bytes: stmt.ColumnRawText(i)}
				if cells[i].Bytes == nil { // of an outer join
					cells[i].Kind = schema.Null
				}
			}
		}
		if err := result.Row(cells); err != nil {
			return err
		}
	}
	if err := stmt.Err(); err != nil {
		return db.explain(ctx, err)
	}
	return result.Close()
}

// explain puts the words of the user in place of SQLite's.
func (db *DB) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the statement was given up: %w", context.Cause(ctx))
	}
	if db.tableErr != nil {
		return db.tableErr
	}
	if db.temporary {
		return errors.New("there are no temporary tables: sqlite_schema lists the tables, sockets.ext schema describes them")
	}
	if db.denied {
		return errors.New("not allowed: this database can only be read, so no writes, no ATTACH, no transactions, and of PRAGMA only table_info(NAME) and the like")
	}
	text := strings.TrimPrefix(err.Error(), "sqlite3: ")
	text = strings.TrimPrefix(text, "SQL logic error: ")
	return &Mistake{text, slices.DeleteFunc(append(pointed(err, db.sql), db.hints(text, db.sql)...), func(s string) bool { return s == "" })}
}

func (db *DB) names() []string {
	var names []string
	for _, t := range db.tables {
		names = append(names, t.Name())
	}
	return names
}

// readingPragmas only tell, with or without an argument.
var readingPragmas = []string{"table_info", "table_xinfo", "table_list", "function_list", "pragma_list", "module_list", "collation_list", "compile_options"}

// authorize allows a statement to read and to compute.
func (db *DB) authorize(action sqlite3.AuthorizerActionCode, name, _, _, _ string) sqlite3.AuthorizerReturnCode {
	if db.listing {
		return sqlite3.AUTH_OK
	}
	switch action {
	case sqlite3.AUTH_READ:
		if catalog := strings.ToLower(name); catalog == "sqlite_temp_master" || catalog == "sqlite_temp_schema" {
			db.temporary = true
			return sqlite3.AUTH_DENY
		}
		return sqlite3.AUTH_OK
	case sqlite3.AUTH_SELECT, sqlite3.AUTH_FUNCTION, sqlite3.AUTH_RECURSIVE:
		return sqlite3.AUTH_OK
	case sqlite3.AUTH_PRAGMA:
		if slices.Contains(readingPragmas, strings.ToLower(name)) {
			return sqlite3.AUTH_OK
		}
	}
	db.denied = true
	return sqlite3.AUTH_DENY
}
