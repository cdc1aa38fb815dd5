package osquerytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// request collects what osquery sends for one scan: a list of constraints for
// each column name.
type request struct {
	affinity    map[string]ColumnType
	constraints map[string][]Constraint
	used        []string // sorted
	bits        uint64
}

// call returns the request as a [Call], its JSON as TablePlugin::setRequestFromContext
// writes it. There colsUsed is in the order of a hash table; here it is sorted.
func (r *request) call(table string) Call {
	c := Call{Table: table, Used: r.used}
	var b strings.Builder
	b.WriteString(`{"constraints":[`)
	for i, column := range sortedKeys(r.affinity) {
		separate(&b, i)
		b.WriteString(`{"name":`)
		quote(&b, column)
		b.WriteString(`,"list":[`)
		for i, k := range r.constraints[column] {
			separate(&b, i)
			fmt.Fprintf(&b, `{"op":%d,"expr":`, int(k.Op))
			quote(&b, k.Value)
			b.WriteByte('}')
			c.Constraints = append(c.Constraints, k)
		}
		b.WriteString(`],"affinity":`)
		quote(&b, string(r.affinity[column]))
		b.WriteByte('}')
	}
	b.WriteString(`],"colsUsed":[`)
	for i, column := range r.used {
		separate(&b, i)
		quote(&b, column)
	}
	b.WriteString(`],"colsUsedBitset":`)
	b.WriteString(strconv.FormatUint(r.bits, 10))
	b.WriteByte('}')
	c.Context = b.String()
	return c
}

func separate(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}

// quote writes a text as rapidjson does: bytes that are not UTF-8 stay as they
// are, and of control characters five have a letter.
func quote(b *strings.Builder, text string) {
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20:
			if at := strings.IndexByte("\b\f\n\r\t", c); at >= 0 {
				b.WriteByte('\\')
				b.WriteByte("bfnrt"[at])
			} else {
				fmt.Fprintf(b, `\u%04X`, c)
			}
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

// parseContext reads what [request.call] wrote.
func parseContext(table, text string) (Call, error) {
	c := Call{Table: table, Context: text}
	if text == "" {
		return c, nil
	}
	var parsed struct {
		Constraints []struct {
			Name string
			List []struct {
				Op   Op
				Expr string
			}
		}
		ColsUsed []string
	}
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		return c, err
	}
	c.Used = parsed.ColsUsed
	slices.Sort(c.Used)
	for _, column := range parsed.Constraints {
		for _, k := range column.List {
			c.Constraints = append(c.Constraints, Constraint{column.Name, k.Op, k.Expr})
		}
	}
	return c, nil
}
