package osquery

import (
	"context"
	"encoding/binary"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// answer is the rows of a table as Thrift's binary protocol writes a
// list<map<string,string>>, but for its head. Rows in maps would take several
// times the memory, and most of the time of an answer.
type answer struct {
	rows int
	size int      // bytes
	full [][]byte // of at least bufferSize each
	last []byte
}

// mapHead is the types of a map<string,string> and room for its length.
var mapHead = string([]byte{thrift.STRING, thrift.STRING, 0, 0, 0, 0})

// column is a column whose values are sent: its position, and its name as it is
// encoded.
type column struct {
	position int
	name     string
}

// encodedName returns a column's name behind its length.
func encodedName(name string) string {
	return string(append(binary.BigEndian.AppendUint32(nil, uint32(len(name))), name...))
}

var encodedRowID = encodedName("rowid")

// add adds the current row of a scan. What is NULL or an empty text has no cell:
// osquery makes a NULL or an empty text of it again, by the column's type
// (DynamicTableRow::get_column, osquery/sql/dynamic_table_row.cpp).
//
// Each row has its rowid. Without one osquery takes the row's position, which is
// another in each answer, and SQLite compares the rows of several scans by it:
// those of the arms of an OR, of which one may come without its constraint as
// an inequality does, and those of a RIGHT JOIN.
func (a *answer) add(scan schema.Scan, columns []column, cell *schema.Cell) {
	if len(a.last) >= bufferSize {
		a.full = append(a.full, a.last)
		a.last = make([]byte, 0, len(a.last)+len(a.last)/8)
	}
	b := a.last
	start := len(b)
	b = append(append(b, mapHead...), encodedRowID...)
	b = appendValue(b, &schema.Cell{Kind: schema.Int, Int: scan.RowID()})
	cells := uint32(1)
	for i := range columns {
		scan.Cell(columns[i].position, cell)
		if cell.Kind == schema.Null || cell.Kind == schema.Bytes && len(cell.Bytes) == 0 {
			continue
		}
		b = appendValue(append(b, columns[i].name...), cell)
		cells++
	}
	binary.BigEndian.PutUint32(b[start+2:], cells)
	a.size += len(b) - start
	a.rows++
	a.last = b
}

// appendValue appends a value behind its length.
func appendValue(b []byte, cell *schema.Cell) []byte {
	start := len(b)
	b = cell.AppendText(append(b, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// maps returns the rows as osquery-go has them.
func (a *answer) maps() osquery.ExtensionPluginResponse {
	rows := make(osquery.ExtensionPluginResponse, 0, a.rows)
	for _, b := range append(a.full, a.last) {
		text := string(b)
		next := func() (n int) {
			n = int(binary.BigEndian.Uint32([]byte(text[:4])))
			text = text[4:]
			return n
		}
		value := func() (s string) {
			n := next()
			s, text = text[:n], text[n:]
			return s
		}
		for text != "" {
			text = text[2:]
			cells := next()
			row := make(map[string]string, cells)
			for range cells {
				name := value()
				row[name] = value()
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// write writes a response whose rows these are.
func (a *answer) write(ctx context.Context, out thrift.TProtocol) error {
	if err := out.WriteFieldBegin(ctx, "response", thrift.LIST, 2); err != nil {
		return err
	}
	if err := out.WriteListBegin(ctx, thrift.MAP, a.rows); err != nil {
		return err
	}
	for _, b := range append(a.full, a.last) {
		if _, err := out.Transport().Write(b); err != nil {
			return err
		}
	}
	return out.WriteFieldEnd(ctx)
}

// caller answers "call" of osquery.thrift in place of the generated code: with
// the rows as they are encoded, and without a goroutine and a ticker for each
// call.
type caller struct{ *handler }

// Process reads a call, answers it and writes the answer.
func (c caller) Process(ctx context.Context, seqID int32, in, out thrift.TProtocol) (bool, thrift.TException) {
	var args osquery.ExtensionCallArgs
	if err := args.Read(ctx, in); err != nil {
		x := thrift.NewTApplicationException(thrift.PROTOCOL_ERROR, err.Error())
		_ = out.WriteMessageBegin(ctx, "call", thrift.EXCEPTION, seqID)
		_ = x.Write(ctx, out)
		_ = out.WriteMessageEnd(ctx)
		_ = out.Flush(ctx)
		return false, thrift.WrapTException(err)
	}
	_ = in.ReadMessageEnd(ctx)

	ctx, cancel := context.WithCancel(ctx)
	watch := watch(in.Transport(), cancel)
	response, rows := c.call(ctx, args.Registry, args.Item, args.Request)
	watch.stop()
	cancel()

	ctx = context.WithoutCancel(ctx)
	err := out.WriteMessageBegin(ctx, "call", thrift.REPLY, seqID)
	if err == nil {
		err = writeResult(ctx, out, response, rows)
	}
	if err == nil {
		err = out.WriteMessageEnd(ctx)
	}
	if err == nil {
		err = out.Flush(ctx)
	}
	return err == nil, thrift.WrapTException(err)
}

// writeResult writes the result of a call.
func writeResult(ctx context.Context, out thrift.TProtocol, response *osquery.ExtensionResponse, rows *answer) error {
	if rows == nil {
		return (&osquery.ExtensionCallResult{Success: response}).Write(ctx, out)
	}
	for _, write := range []func() error{
		func() error { return out.WriteFieldBegin(ctx, "success", thrift.STRUCT, 0) },
		func() error { return out.WriteFieldBegin(ctx, "status", thrift.STRUCT, 1) },
		func() error { return response.Status.Write(ctx, out) },
		func() error { return out.WriteFieldEnd(ctx) },
		func() error { return rows.write(ctx, out) },
		func() error { return out.WriteFieldStop(ctx) }, // of the response
		func() error { return out.WriteFieldEnd(ctx) },
		func() error { return out.WriteFieldStop(ctx) }, // of the result
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}
