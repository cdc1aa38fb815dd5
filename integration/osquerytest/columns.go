package osquerytest

import (
	"context"
	"errors"
)

// queryColumns is getQueryColumnsInternal, osquery/sql/sqlite_util.cpp: a map of
// one name to its type for each column of a statement.
func (m *Manager) queryColumns(ctx context.Context, sql string) (columns []map[string]string, err error) {
	d, done, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	stmt, _, err := d.conn.Prepare(sql)
	if err != nil {
		return nil, d.words(err)
	}
	if stmt == nil {
		return nil, errors.New("not an error") // as SQLite says of no statement
	}
	defer stmt.Close()
	var names []string
	var types []ColumnType
	expressions := false
	for i := range stmt.ColumnCount() {
		names = append(names, stmt.ColumnName(i))
		declared := stmt.ColumnDeclType(i)
		expressions = expressions || declared == ""
		types = append(types, columnType(declared))
	}
	if expressions {
		if err := d.guessTypes(sql, types); err != nil {
			return nil, d.words(err)
		}
	}
	for i, name := range names {
		columns = append(columns, map[string]string{name: string(types[i])})
	}
	return columns, nil
}

// resultOf says in which operand an instruction of SQLite's puts its result, and
// of which type osquery takes it to be.
var resultOf = map[string]struct {
	operand int
	kind    ColumnType
}{
	"Concat": {3, Text}, "AggStep": {3, BigInt}, "AggStep0": {3, BigInt}, "Integer": {2, Integer}, "Int64": {2, BigInt},
	"String": {2, Text}, "String8": {2, Text}, "Or": {3, Integer}, "And": {3, Integer},
	"BitAnd": {3, BigInt}, "BitOr": {3, BigInt}, "ShiftLeft": {3, BigInt}, "ShiftRight": {3, BigInt}, "Add": {3, BigInt},
	"Subtract": {3, BigInt}, "Multiply": {3, BigInt}, "Divide": {3, BigInt}, "Remainder": {3, BigInt},
	"Not": {2, Integer}, "IsNull": {2, Integer}, "NotNull": {2, Integer}, "Ne": {2, Integer}, "Eq": {2, Integer},
	"Gt": {2, Integer}, "Le": {2, Integer}, "Lt": {2, Integer}, "Ge": {2, Integer}, "IfNeg": {2, Integer}, "IfNotZero": {2, Integer},
}

// guessTypes is QueryPlanner::applyTypes: it follows the registers of a
// statement's instructions.
func (d *database) guessTypes(sql string, types []ColumnType) error {
	program, _, err := d.conn.Prepare("EXPLAIN " + sql)
	if err != nil {
		return err
	}
	defer program.Close()
	registers := make(map[int]ColumnType)
	for program.Step() {
		op := program.ColumnText(1)
		p := [4]int{0, program.ColumnInt(2), program.ColumnInt(3), program.ColumnInt(4)}
		switch op {
		case "ResultRow":
			for r, kind := range registers {
				if i := r - p[1]; i >= 0 && i < len(types) {
					types[i] = kind
				}
			}
		case "Copy":
			for i := 0; i <= p[3]; i++ {
				if kind, ok := registers[p[1]+i]; ok {
					registers[p[2]+i] = kind
					delete(registers, p[1]+i)
				}
			}
		case "Cast":
			kinds := map[int]ColumnType{'A': Blob, 'B': Text, 'D': BigInt, 'E': Double}
			if registers[p[1]] = kinds[p[2]]; registers[p[1]] == "" {
				registers[p[1]] = unknown
			}
		}
		if r, ok := resultOf[op]; ok {
			registers[p[r.operand]] = r.kind
		}
	}
	return program.Err()
}
