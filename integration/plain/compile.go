package plain

import (
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Op is an instruction as EXPLAIN lists it.
type Op struct {
	Name       string
	P1, P2, P3 int
	P4         string
	P5         int
}

// Program is a program that [Compile] took.
type Program struct {
	code      []instruction
	registers int
	cursors   int
}

// instruction is an Op with its P4 translated.
type instruction struct {
	run        opcode
	p1, p2, p3 int
	p4         string
	constant   schema.Cell // of Integer, Int64 and String8
	compare    comparison  // of Eq and its siblings
	keys       keys        // of SorterOpen, Compare and MakeRecord
	aggregate  aggregate   // of AggStep and AggFinal
	alone      bool        // only VColumn writes its register, whose memory it may use again
}

type opcode uint8

const (
	opGoto opcode = iota
	opHalt
	opNothing
	opConstant
	opNull
	opFilter
	opColumn
	opRowID
	opNext
	opResult
	opCompare
	opIsNull
	opNotNull
	opIf
	opIfNot
	opIfPos
	opDecrJumpZero
	opOffsetLimit
	opCopy
	opMove
	opStep
	opFinal
	opGosub
	opReturn
	opOnce
	opSorterOpen
	opRecord
	opInsert
	opSort
	opSorterNext
	opSorterData
	opField
	opKeys
	opJump
	opList
	opBitAnd
)

// opcodes are the instructions that this package runs, by SQLite's names. What
// MustBeInt, CollSeq and the like demand is certain when a program was taken.
var opcodes = map[string]opcode{
	"Init": opGoto, "Goto": opGoto, "Halt": opHalt,
	"Transaction": opNothing, "Noop": opNothing, "VOpen": opNothing, "OpenPseudo": opNothing,
	"CollSeq": opNothing, "NullRow": opNothing, "MustBeInt": opNothing,
	"Integer": opConstant, "Int64": opConstant, "String8": opConstant,
	"Null": opNull, "BeginSubrtn": opNull,
	"VFilter": opFilter, "VColumn": opColumn, "Rowid": opRowID, "VNext": opNext, "ResultRow": opResult,
	"Eq": opCompare, "Ne": opCompare, "Lt": opCompare, "Le": opCompare, "Gt": opCompare, "Ge": opCompare,
	"IsNull": opIsNull, "NotNull": opNotNull, "If": opIf, "IfNot": opIfNot, "IfPos": opIfPos,
	"DecrJumpZero": opDecrJumpZero, "OffsetLimit": opOffsetLimit,
	"Copy": opCopy, "SCopy": opCopy, "Move": opMove,
	"AggStep": opStep, "AggFinal": opFinal, "Gosub": opGosub, "Return": opReturn, "Once": opOnce,
	"SorterOpen": opSorterOpen, "OpenEphemeral": opSorterOpen, "MakeRecord": opRecord,
	"SorterInsert": opInsert, "IdxInsert": opInsert,
	"SorterSort": opSort, "SorterNext": opSorterNext, "SorterData": opSorterData, "Column": opField,
	"Compare": opKeys, "Jump": opJump, "VInitIn": opList, "BitAnd": opBitAnd,
}

// Columns returns the types of the columns of the table that the plan of a
// VFilter is of.
type Columns func(plan string) ([]schema.ColumnInfo, bool)

// Compile translates a program; ok is false for one that SQLite has to run.
func Compile(ops []Op, columns Columns) (_ *Program, ok bool) {
	if len(ops) == 0 || ops[len(ops)-1].Name != "Goto" {
		return nil, false // it could end without a Halt
	}
	p := &Program{code: make([]instruction, len(ops))}
	for i, op := range ops {
		run, known := opcodes[op.Name]
		if !known {
			return nil, false
		}
		in := &p.code[i]
		*in = instruction{run: run, p1: op.P1, p2: op.P2, p3: op.P3, p4: op.P4}
		if !in.translate(op) {
			return nil, false
		}
	}
	c := checker{program: p, ops: ops, columns: columns}
	if !c.check() {
		return nil, false
	}
	p.registers, p.cursors = len(c.holds), c.cursors
	return p, true
}

// translate reads the operands that are texts. It is false for a variant of the
// instruction that this package does not run.
func (in *instruction) translate(op Op) (ok bool) {
	plain := op.P5 == 0
	switch op.Name {
	case "Halt":
		return op.P1 == 0
	case "Integer":
		in.constant = schema.Cell{Kind: schema.Int, Int: int64(op.P1)}
	case "Int64":
		n, err := strconv.ParseInt(op.P4, 10, 64)
		in.constant = schema.Cell{Kind: schema.Int, Int: n}
		return err == nil
	case "String8":
		in.constant = schema.Cell{Kind: schema.Bytes, Bytes: []byte(op.P4)}
	case "Null":
		return op.P1 == 0
	case "BeginSubrtn":
		in.p3 = 0
	case "Eq", "Ne", "Lt", "Le", "Gt", "Ge":
		in.compare, ok = newComparison(op)
		return ok
	case "CollSeq":
		return op.P1 == 0 && op.P4 == binaryCollation
	case "SCopy":
		in.p3 = 0
	case "AggStep", "AggFinal":
		in.aggregate, ok = aggregates[op.P4]
		return ok && (op.Name == "AggFinal" || op.P1 == 0)
	case "SorterOpen":
		in.keys, ok = parseKeys(op.P4)
		if in.keys.count = len(in.keys.descending); op.P3 != 0 {
			in.keys.count = min(in.keys.count, op.P3)
		}
		return ok
	case "OpenEphemeral":
		in.keys, ok = parseKeys(op.P4)
		return ok && op.P2 == 1 // a list of values
	case "Compare":
		in.keys, ok = parseKeys(op.P4)
		return ok && plain && op.P3 <= len(in.keys.descending)
	case "VColumn", "Column":
		return plain && op.P4 == ""
	}
	return true
}

// binaryCollation is the one that compares bytes, as EXPLAIN names it.
const binaryCollation = "BINARY-8"

// keys is how the first fields of records are compared.
type keys struct {
	descending []bool
	count      int // of fields that sort
}

// parseKeys reads a KeyInfo such as k(2,-B,B): two fields that compare bytes, the
// first in descending order.
func parseKeys(text string) (k keys, ok bool) {
	text, ok = strings.CutPrefix(text, "k(")
	if !ok {
		return k, false
	}
	fields := strings.Split(strings.TrimSuffix(text, ")"), ",")
	for _, f := range fields[1:] {
		f, descending := strings.CutPrefix(f, "-")
		if f != "B" {
			return k, false
		}
		k.descending = append(k.descending, descending)
	}
	return k, fields[0] == strconv.Itoa(len(fields)-1)
}

// The kinds of values that a register may hold, bits.
const (
	holdsNull = 1 << iota
	holdsInt
	holdsFloat
	holdsText
	holdsRecord
	holdsList

	holdsNumber = holdsInt | holdsFloat
	holdsValue  = holdsNull | holdsNumber | holdsText
)

// checker finds out which kinds of values the registers may hold, wherever the
// program goes, and refuses an instruction whose result SQLite decides by rules
// that this package has not.
type checker struct {
	program *Program
	ops     []Op
	columns Columns

	cursors int
	holds   []int            // by register
	texts   map[int][]string // the constants among the texts of a register
	varied  map[int]bool     // registers with texts that are no constants
	records map[int][]int    // the kinds of the fields of the record in a register
	sorters map[int][]int    // the kinds of the fields of a sorter's records
	pseudo  map[int]int      // sorters by the pseudo cursor that shows their records
	tables  map[int][]schema.ColumnInfo
	shared  map[int]bool // registers that more than VColumn writes
	changed bool
}

func (c *checker) register(r int) bool {
	const most = 1 << 12
	if r < 0 || r >= most {
		return false
	}
	for len(c.holds) <= r {
		c.holds = append(c.holds, 0)
	}
	return true
}

// add says that a register may hold kinds of values, which more than a VColumn
// writes.
func (c *checker) add(r, kinds int) bool {
	c.shared[r] = true
	return c.addColumn(r, kinds)
}

// addColumn says that a VColumn writes a register.
func (c *checker) addColumn(r, kinds int) bool {
	if !c.register(r) {
		return false
	}
	if c.holds[r]|kinds != c.holds[r] {
		c.holds[r] |= kinds
		c.changed = true
	}
	return true
}

func (c *checker) kinds(r int) int {
	if !c.register(r) {
		return 0
	}
	return c.holds[r]
}

func merge(to *[]int, kinds []int) (changed bool) {
	for len(*to) < len(kinds) {
		*to = append(*to, 0)
		changed = true
	}
	for i, k := range kinds {
		if (*to)[i]|k != (*to)[i] {
			(*to)[i] |= k
			changed = true
		}
	}
	return changed
}

func (c *checker) check() bool {
	c.texts, c.varied = make(map[int][]string), make(map[int]bool)
	c.records, c.sorters, c.pseudo = make(map[int][]int), make(map[int][]int), make(map[int]int)
	c.tables, c.shared = make(map[int][]schema.ColumnInfo), make(map[int]bool)
	for i := range c.program.code {
		in, name := &c.program.code[i], c.ops[i].Name
		if in.p1 > 1<<12 && in.run != opConstant || in.jumps() && !c.address(in.p2) {
			return false
		}
		switch name {
		case "VFilter":
			columns, ok := c.columns(in.p4)
			if _, again := c.tables[in.p1]; !ok || again || in.p1 < 0 {
				return false
			}
			c.tables[in.p1] = columns
		case "SorterData":
			if other, again := c.pseudo[in.p3]; again && other != in.p1 {
				return false
			}
			c.pseudo[in.p3] = in.p1
		case "String8":
			c.texts[in.p2] = append(c.texts[in.p2], in.p4)
		}
		switch in.run {
		case opFilter, opColumn, opRowID, opNext, opSorterOpen, opInsert, opSort, opSorterNext, opSorterData, opField, opList:
			c.cursors = max(c.cursors, in.p1+1)
		}
	}
	for c.changed = true; c.changed; {
		c.changed = false
		for i := range c.program.code {
			if !c.effect(&c.program.code[i]) {
				return false
			}
		}
	}
	for i := range c.program.code {
		if !c.exact(i) {
			return false
		}
	}
	for i := range c.program.code {
		if in := &c.program.code[i]; in.run == opColumn {
			in.alone = !c.shared[in.p3]
		}
	}
	return true
}

// address reports whether the program has an instruction there.
func (c *checker) address(at int) bool { return at >= 0 && at < len(c.ops) }

// jumps reports whether p2 is where an instruction may go on.
func (in *instruction) jumps() bool {
	switch in.run {
	case opGoto, opFilter, opNext, opCompare, opIsNull, opNotNull, opIf, opIfNot, opIfPos, opDecrJumpZero, opGosub, opOnce, opSort, opSorterNext, opJump:
		return true
	}
	return false
}

// reads reports whether an instruction may read a register.
func (in *instruction) reads(r int) bool {
	between := func(from, n int) bool { return from <= r && r < from+n }
	switch in.run {
	case opResult, opRecord:
		return between(in.p1, in.p2)
	case opCompare, opOffsetLimit:
		return r == in.p1 || r == in.p3
	case opCopy:
		return between(in.p1, in.p3+1)
	case opMove:
		return between(in.p1, in.p3)
	case opKeys:
		return between(in.p1, in.p3) || between(in.p2, in.p3)
	case opBitAnd:
		return r == in.p1 || r == in.p2
	case opStep, opInsert:
		return r == in.p2
	case opIsNull, opNotNull, opIf, opIfNot, opIfPos, opDecrJumpZero, opReturn, opFinal:
		return r == in.p1
	}
	return false
}

// effect adds what an instruction writes.
func (c *checker) effect(in *instruction) bool {
	switch in.run {
	case opConstant:
		kind := holdsInt
		if in.constant.Kind == schema.Bytes {
			kind = holdsText
		}
		return c.add(in.p2, kind)
	case opNull:
		for r := in.p2; r <= max(in.p2, in.p3); r++ {
			if !c.add(r, holdsNull) {
				return false
			}
		}
	case opColumn:
		columns, ok := c.tables[in.p1]
		if !ok || in.p2 < 0 || in.p2 >= len(columns) {
			return false
		}
		switch columns[in.p2].Type {
		case schema.Text:
			c.varied[in.p3] = true
			return c.addColumn(in.p3, holdsText)
		case schema.Double:
			return c.addColumn(in.p3, holdsNull|holdsFloat)
		}
		return c.addColumn(in.p3, holdsNull|holdsInt)
	case opRowID:
		if _, ok := c.tables[in.p1]; !ok {
			return false
		}
		return c.add(in.p2, holdsInt)
	case opOffsetLimit:
		return c.add(in.p2, holdsInt)
	case opCopy:
		for i := range in.p3 + 1 {
			if !c.copied(in.p1+i, in.p2+i) {
				return false
			}
		}
	case opMove:
		for i := range in.p3 {
			if !c.copied(in.p1+i, in.p2+i) || !c.add(in.p1+i, holdsNull) {
				return false
			}
		}
	case opFinal:
		kinds := holdsInt | holdsNull
		if in.aggregate == aggregateMin || in.aggregate == aggregateMax {
			kinds = c.kinds(in.p1) | holdsNull
		}
		return c.add(in.p1, kinds)
	case opStep:
		if in.aggregate == aggregateMin || in.aggregate == aggregateMax {
			return c.copied(in.p2, in.p3)
		}
		return c.register(in.p3)
	case opGosub:
		return c.add(in.p1, holdsInt)
	case opBitAnd:
		return c.add(in.p3, holdsNull|holdsInt)
	case opList:
		return c.add(in.p2, holdsList)
	case opRecord:
		fields := make([]int, in.p2)
		for i := range fields {
			fields[i] = c.kinds(in.p1 + i)
		}
		record := c.records[in.p3]
		c.changed = merge(&record, fields) || c.changed
		c.records[in.p3] = record
		return c.add(in.p3, holdsRecord)
	case opInsert:
		sorter := c.sorters[in.p1]
		c.changed = merge(&sorter, c.records[in.p2]) || c.changed
		c.sorters[in.p1] = sorter
	case opField:
		// The register that SorterData fills is read by this instruction alone.
		sorter, ok := c.pseudo[in.p1]
		if !ok {
			return false
		}
		if fields := c.sorters[sorter]; in.p2 >= 0 && in.p2 < len(fields) {
			c.varied[in.p3] = true
			return c.add(in.p3, fields[in.p2])
		}
		return c.register(in.p3)
	}
	return true
}

func (c *checker) copied(from, to int) bool {
	if c.varied[from] && !c.varied[to] {
		c.varied[to], c.changed = true, true
	}
	if texts := c.texts[from]; len(texts) > 0 {
		c.varied[to] = true // which constant it is need not be known
	}
	return c.add(to, c.kinds(from))
}

// exact reports whether an instruction has one result for all values that its
// registers may hold, the one that SQLite comes to.
func (c *checker) exact(at int) bool {
	in := &c.program.code[at]
	only := func(r, kinds int) bool { return c.kinds(r)&^kinds == 0 }
	switch in.run {
	case opCompare:
		return c.comparable(in)
	case opIf, opIfNot, opIfPos, opDecrJumpZero:
		return only(in.p1, holdsNull|holdsNumber)
	case opOffsetLimit:
		return only(in.p1, holdsInt) && only(in.p3, holdsInt)
	case opNothing:
		_, isTable := c.tables[in.p1]
		return (c.ops[at].Name != "MustBeInt" || only(in.p1, holdsInt)) && (c.ops[at].Name != "NullRow" || !isTable)
	case opResult:
		for i := range in.p2 {
			if !only(in.p1+i, holdsValue) {
				return false
			}
		}
		return in.p2 > 0
	case opFilter:
		// The inner side of a join is scanned again and again: see snapshot.Calls.
		for end := range c.program.code {
			if loop := &c.program.code[end]; (loop.run == opNext || loop.run == opSorterNext) && loop.p2 <= at && at < end {
				return false
			}
		}
		for i := range c.arguments(in) {
			if !only(in.p3+2+i, holdsValue|holdsList) {
				return false
			}
		}
	case opStep:
		switch in.aggregate {
		case aggregateSum:
			return only(in.p2, holdsNull|holdsInt)
		case aggregateCount, aggregateMin, aggregateMax:
			return only(in.p2, holdsValue)
		}
	case opBitAnd:
		// In x NOT IN (…) it finds out whether x is NULL.
		return !slices.ContainsFunc(c.program.code, func(k instruction) bool {
			argument := k.run == opFilter && k.p3 <= in.p3 && in.p3 < k.p3+2+c.arguments(&k)
			return argument || k.reads(in.p3) && k.run != opIsNull
		})
	case opJump:
		return c.address(in.p1) && c.address(in.p3)
	case opReturn:
		// A constant would be an address as SQLite counts them.
		return !slices.ContainsFunc(c.program.code, func(k instruction) bool { return k.run == opConstant && k.p2 == in.p1 })
	case opRecord:
		// The record shows the registers until the next instruction copies them.
		if !c.address(at+1) || c.program.code[at+1].run != opInsert || c.program.code[at+1].p2 != in.p3 {
			return false
		}
		// An affinity converts what is not of its type already.
		for i, affinity := range in.p4 {
			if i >= in.p2 || !only(in.p1+i, holdsNull|affinityTakes(affinity)) {
				return false
			}
		}
		for i := range in.p2 {
			if !only(in.p1+i, holdsValue) {
				return false
			}
		}
	case opInsert:
		return only(in.p2, holdsRecord)
	case opKeys:
		for i := range in.p3 {
			if !only(in.p1+i, holdsValue) || !only(in.p2+i, holdsValue) {
				return false
			}
		}
	}
	return true
}

// arguments returns how many values a VFilter takes: the constants that are
// written into the register before them.
func (c *checker) arguments(in *instruction) int {
	most := 0
	for i := range c.program.code {
		if k := &c.program.code[i]; k.run == opConstant && k.p2 == in.p3+1 {
			most = max(most, int(k.constant.Int))
		}
	}
	return most
}

// affinityTakes returns the kinds of values that an affinity leaves as they are.
func affinityTakes(affinity rune) int {
	switch affinity {
	case 'A':
		return holdsValue
	case 'B':
		return holdsText
	case 'C', 'D':
		return holdsInt
	}
	return 0
}

// comparable reports whether two registers hold numbers alone, or texts alone, or
// a number and a constant that is one beyond doubt.
func (c *checker) comparable(in *instruction) bool {
	a, b := c.kinds(in.p1)&^holdsNull, c.kinds(in.p3)&^holdsNull
	if (a|b)&^(holdsNumber|holdsText) != 0 {
		return false
	}
	mixed := (a|b)&holdsText != 0 && (a|b)&holdsNumber != 0
	if !mixed {
		// Of two texts a numeric comparison may make numbers.
		return (a|b)&holdsText == 0 || !in.compare.numeric
	}
	if !in.compare.numeric {
		return false
	}
	for _, r := range []int{in.p1, in.p3} {
		if c.kinds(r)&holdsText == 0 {
			continue
		}
		if c.varied[r] || c.kinds(r)&^holdsText != 0 {
			return false
		}
		for _, text := range c.texts[r] {
			if _, ok := number([]byte(text)); !ok {
				return false
			}
		}
	}
	return c.kinds(in.p1)&c.kinds(in.p3)&holdsText == 0
}
