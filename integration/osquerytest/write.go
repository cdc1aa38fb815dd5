package osquerytest

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/osquery/osquery-go/gen/osquery"
)

// writableTable is an extension's table, which may take INSERT, UPDATE and DELETE.
type writableTable struct{ *virtualTable }

// Update is xUpdate, osquery/sql/virtual_table.cpp.
func (w writableTable) Update(args ...sqlite3.Value) (rowid int64, err error) {
	request := osquery.ExtensionPluginRequest{"context": `{"constraints":[]}`}
	switch {
	case len(args) == 1:
		request["action"], request["id"] = "delete", strconv.FormatInt(args[0].Int64(), 10)
	case args[0].Type() == sqlite3.NULL:
		request["action"], request["auto_rowid"] = "insert", "false"
		if args[1].Type() != sqlite3.NULL {
			request["auto_rowid"], request["id"] = "true", args[1].Text()
		}
	case args[0].Type() == sqlite3.INTEGER:
		request["action"], request["id"] = "update", args[0].Text()
		if args[1].Type() == sqlite3.INTEGER && args[1].Int64() != args[0].Int64() {
			request["new_id"] = args[1].Text()
		}
	default:
		return 0, sqlite3.ERROR
	}
	if len(args) > 1 {
		if request["json_value_array"], err = w.values(args[2:]); err != nil {
			return 0, err
		}
	}
	// The answer's status is that of its one row.
	response, err := w.d.m.call(w.d.ctx, "table", w.name, request)
	if err != nil || len(response) != 1 {
		return 0, sqlite3.ERROR
	}
	answer := response[0]
	switch message, explained := answer["message"]; answer["status"] {
	case "success":
	case "readonly":
		w.d.err = errors.New("table " + w.name + " may not be modified")
		return 0, sqlite3.READONLY
	case "constraint":
		return 0, sqlite3.CONSTRAINT
	case "failure":
		if explained {
			w.d.err = errors.New(message)
		}
		return 0, sqlite3.ERROR
	default:
		return 0, sqlite3.ERROR
	}
	if request["action"] != "insert" {
		return 0, nil
	}
	id := answer["id"]
	if request["auto_rowid"] == "true" {
		id = request["id"]
	}
	n, ok := strtoll(id, 10)
	if !ok {
		return 0, sqlite3.ERROR
	}
	return n, nil
}

// values is serializeUpdateParameters: the row as a JSON array, if the types are
// those of the columns.
func (w writableTable) values(args []sqlite3.Value) (string, error) {
	if len(args) != len(w.columns) {
		return "", sqlite3.RANGE
	}
	var b strings.Builder
	b.WriteByte('[')
	for i, arg := range args {
		separate(&b, i)
		column := w.columns[i]
		var fits bool
		switch arg.Type() {
		case sqlite3.INTEGER:
			fits = slices.Contains([]ColumnType{Integer, BigInt, UnsignedBigInt}, column.Type)
			b.WriteString(arg.Text())
		case sqlite3.FLOAT:
			fits = column.Type == Double
			text := strconv.FormatFloat(arg.Float(), 'g', -1, 64)
			if !strings.ContainsAny(text, ".e") {
				text += ".0"
			}
			b.WriteString(text)
		case sqlite3.TEXT, sqlite3.BLOB:
			fits = column.Type == map[sqlite3.Datatype]ColumnType{sqlite3.TEXT: Text, sqlite3.BLOB: Blob}[arg.Type()]
			quote(&b, string(arg.RawBlob()))
		default:
			fits = column.Options != Index && column.Options != Required
			b.WriteString("null")
		}
		if !fits {
			return "", sqlite3.MISMATCH
		}
	}
	b.WriteByte(']')
	return b.String(), nil
}
