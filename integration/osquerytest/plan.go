package osquerytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite/functions"
)

// database is SQLite with osquery's tables attached. osquery keeps one, and
// opens another for a statement that starts while the first one is busy: an
// extension may ask osquery while osquery asks it.
type database struct {
	m      *Manager
	mu     sync.Mutex
	conn   *sqlite3.Conn
	tables map[string]*virtualTable // that are attached
	gone   map[string]bool          // tables that were attached

	ctx context.Context // of the statement that runs
	err error           // of the table that failed in it
}

func openDatabase(m *Manager) (*database, error) {
	conn, err := sqlite3.Open(":memory:")
	if err != nil {
		return nil, err
	}
	d := &database{m: m, conn: conn, tables: make(map[string]*virtualTable), gone: make(map[string]bool), ctx: context.Background()}
	// A library of SQLite with its defaults takes "x" for a text where there is
	// no such column.
	for _, option := range []sqlite3.DBConfig{sqlite3.DBCONFIG_DQS_DML, sqlite3.DBCONFIG_DQS_DDL} {
		if _, err := conn.Config(option, true); err != nil {
			conn.Close()
			return nil, err
		}
	}
	if err := functions.Register(conn, func(string) bool { return true }); err != nil {
		conn.Close()
		return nil, err
	}
	if err := conn.SetAuthorizer(authorize); err != nil {
		conn.Close()
		return nil, err
	}
	for _, name := range sortedKeys(m.core) {
		if err := d.create(name, m.core[name].routes(), m.core[name]); err != nil {
			conn.Close()
			return nil, fmt.Errorf("core table %s: %w", name, err)
		}
	}
	return d, nil
}

// close ends the database; d.mu is held, or nobody else knows it.
func (d *database) close() { d.conn.Close() }

// allowed are the actions and pragmas of osquery/sql/sqlite_util.h.
var (
	allowedActions = []sqlite3.AuthorizerActionCode{
		sqlite3.AUTH_READ, sqlite3.AUTH_SELECT, sqlite3.AUTH_INSERT, sqlite3.AUTH_UPDATE, sqlite3.AUTH_DELETE,
		sqlite3.AUTH_CREATE_VTABLE, sqlite3.AUTH_DROP_VTABLE, sqlite3.AUTH_CREATE_VIEW, sqlite3.AUTH_DROP_VIEW,
		sqlite3.AUTH_CREATE_TABLE, sqlite3.AUTH_DROP_TABLE, sqlite3.AUTH_CREATE_TEMP_TABLE, sqlite3.AUTH_DROP_TEMP_TABLE,
		sqlite3.AUTH_CREATE_TEMP_VIEW, sqlite3.AUTH_DROP_TEMP_VIEW, sqlite3.AUTH_FUNCTION, sqlite3.AUTH_RECURSIVE,
		sqlite3.AUTH_TRANSACTION,
	}
	allowedPragmas = []string{"table_info", "table_xinfo", "function_list", "journal_mode", "case_sensitive_like", "collation_list"}
)

func authorize(action sqlite3.AuthorizerActionCode, name, _, _, _ string) sqlite3.AuthorizerReturnCode {
	if slices.Contains(allowedActions, action) ||
		action == sqlite3.AUTH_PRAGMA && slices.Contains(allowedPragmas, strings.ToLower(name)) {
		return sqlite3.AUTH_OK
	}
	return sqlite3.AUTH_DENY
}

// create is attachTableInternal, osquery/sql/virtual_table.cpp; d.mu is held.
func (d *database) create(name string, routes osquery.ExtensionPluginResponse, core *Table) error {
	var err error
	if core != nil {
		err = createModule(d, name, routes, core, func(v *virtualTable) *virtualTable { return v })
	} else {
		err = createModule(d, name, routes, core, func(v *virtualTable) writableTable { return writableTable{v} })
	}
	if err != nil {
		return returnCode(err)
	}
	if err := d.conn.Exec("CREATE VIRTUAL TABLE temp." + name + " USING " + name); err != nil {
		return returnCode(err)
	}
	// The table's own aliases are views, which outlive it.
	for _, route := range routes {
		if alias := route["alias"]; route["id"] == "alias" && alias != "" {
			d.conn.Exec("CREATE TEMP VIEW " + alias + " AS SELECT * FROM " + name)
		}
	}
	return nil
}

func createModule[T sqlite3.VTab](d *database, name string, routes osquery.ExtensionPluginResponse, core *Table, as func(*virtualTable) T) error {
	declare := func(conn *sqlite3.Conn, routes osquery.ExtensionPluginResponse) (t T, err error) {
		if err := conn.DeclareVTab("CREATE TABLE " + name + columnDefinition(routes, core == nil)); err != nil {
			return t, err
		}
		v := newVirtualTable(d, name, routes, core)
		d.tables[name] = v
		return as(v), nil
	}
	create := func(conn *sqlite3.Conn, _, _, _ string, _ ...string) (T, error) { return declare(conn, routes) }
	// SQLite forgets its tables when a registration fails in the middle. Then
	// osquery asks the extension for the columns.
	connect := func(conn *sqlite3.Conn, _, _, _ string, _ ...string) (t T, err error) {
		routes, err := d.m.call(d.ctx, "table", name, osquery.ExtensionPluginRequest{"action": "columns"})
		if err != nil || len(routes) == 0 {
			return t, sqlite3.ERROR
		}
		return declare(conn, routes)
	}
	//lint:ignore SA1019 the method that replaces it needs a later Go
	return sqlite3.CreateModule(d.conn, name, create, connect)
}

// returnCode is an error of SQLite as osquery reports it.
func returnCode(err error) error {
	names := strings.Fields("OK ERROR INTERNAL PERM ABORT BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT NOTFOUND FULL " +
		"CANTOPEN PROTOCOL EMPTY SCHEMA TOOBIG CONSTRAINT MISMATCH MISUSE NOLFS AUTH FORMAT RANGE NOTADB NOTICE WARNING")
	var code sqlite3.ErrorCode
	if errors.As(err, &code) && int(code) < len(names) {
		return said("SQLITE_" + names[code])
	}
	return said("SQLITE_ERROR")
}

// attach adds the table of an extension that registers. It waits for the
// statement that runs.
func (d *database) attach(name string, routes osquery.ExtensionPluginResponse) error {
	if len(routes) == 0 {
		return said("Invalid route info")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(name)
	return d.create(name, routes, nil)
}

func (d *database) detach(names ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		d.drop(name)
	}
}

func (d *database) drop(name string) {
	if _, ok := d.tables[name]; ok {
		d.conn.Exec("DROP TABLE IF EXISTS temp." + name)
		delete(d.tables, name)
		d.gone[name] = true
	}
}

// refresh attaches the tables of all extensions, and detaches those whose
// extension is gone; d.mu is held.
func (d *database) refresh(ctx context.Context, primary bool) {
	d.m.mu.Lock()
	routes, pending := make(map[string]osquery.ExtensionPluginResponse), maps.Clone(d.m.pending)
	for name, uuid := range d.m.routes {
		routes[name] = d.m.extensions[uuid].registry["table"][name]
	}
	d.m.mu.Unlock()
	for name, t := range d.tables {
		if t.core == nil && routes[name] == nil && !pending[name] {
			d.drop(name)
		}
	}
	for _, name := range sortedKeys(routes) {
		if d.tables[name] != nil {
			continue
		}
		asked := routes[name]
		if !primary {
			// Another database than the primary one asks the extension.
			asked, _ = d.m.call(ctx, "table", name, osquery.ExtensionPluginRequest{"action": "columns"})
		}
		if len(asked) > 0 {
			// A table that cannot be made is one that there is not.
			d.create(name, asked, nil)
		}
	}
}

// open returns the database for a statement, and a function that gives it back.
func (m *Manager) open(ctx context.Context) (d *database, done func(), err error) {
	m.mu.Lock()
	primary, running, alive := m.db, m.listener != nil, m.alive
	m.mu.Unlock()
	if !running {
		return nil, nil, errors.New("the manager is not running")
	}
	d = primary
	if !d.mu.TryLock() {
		if d, err = openDatabase(m); err != nil {
			return nil, nil, err
		}
		d.mu.Lock()
	}
	ctx, cancel := context.WithCancel(ctx)
	end := context.AfterFunc(alive, cancel)
	d.ctx = ctx
	old := d.conn.SetInterrupt(ctx)
	done = func() {
		d.conn.SetInterrupt(old)
		d.ctx, d.err = context.Background(), nil
		for _, t := range d.tables {
			clear(t.scans) // clearAffectedTables
		}
		end()
		cancel()
		if d != primary {
			d.close()
		}
		d.mu.Unlock()
	}
	d.refresh(ctx, d == primary)
	return d, done, nil
}

// Query runs SQL statements as osquery does and returns the rows of the last
// that has columns. [Manager.Calls] has the calls that they made.
func (m *Manager) Query(ctx context.Context, sql string) (*Answer, error) {
	m.mu.Lock()
	m.calls = nil
	m.mu.Unlock()
	answers, err := m.query(ctx, sql)
	if err != nil {
		return nil, err
	}
	if len(answers) == 0 {
		return &Answer{}, nil
	}
	return answers[len(answers)-1], nil
}

// query is queryInternal, osquery/sql/sqlite_util.cpp.
func (m *Manager) query(ctx context.Context, sql string) (answers []*Answer, err error) {
	d, done, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	for strings.TrimLeft(sql, cSpace) != "" {
		stmt, tail, err := d.conn.Prepare(sql)
		if err != nil {
			return answers, d.words(err)
		}
		sql = tail
		if stmt == nil {
			continue
		}
		answer, err := d.run(stmt)
		if closing := stmt.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return answers, d.words(err)
		}
		if len(answer.Columns) > 0 {
			answers = append(answers, answer)
		}
	}
	return answers, nil
}

func (d *database) run(stmt *sqlite3.Stmt) (*Answer, error) {
	a := &Answer{}
	for i := range stmt.ColumnCount() {
		a.Columns = append(a.Columns, stmt.ColumnName(i))
	}
	for stmt.Step() {
		row := make([]Cell, len(a.Columns))
		for i := range row {
			row[i] = cellOf(stmt, i)
		}
		a.Rows = append(a.Rows, row)
	}
	return a, stmt.Err()
}

// words returns an error of SQLite with the words of sqlite3_errmsg alone.
func (d *database) words(err error) error {
	if ctx := d.ctx; ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d.err != nil {
		return d.err
	}
	text := err.Error()
	var full *sqlite3.Error
	if errors.As(err, &full) {
		text = strings.TrimPrefix(text, full.ExtendedCode().Error()+": ")
	}
	text = strings.TrimPrefix(text, "sqlite3: ")
	if name, ok := strings.CutPrefix(text, "no such table: "); ok {
		// osquery's module outlives its table, and SQLite asks it for one.
		if name = strings.TrimPrefix(name, "temp."); d.gone[name] {
			text = "vtable constructor failed: " + name
		}
	}
	return errors.New(text)
}
