package schema

import "math"

// Cells holds many values in two pieces of memory: a list of numbers and places,
// and the texts, one behind the other.
type Cells struct {
	cells []stored
	text  []byte
}

// stored is a cell: a number, the bits of a float, or the place of a text.
type stored struct {
	value  int64
	length int32
	kind   Kind
}

// storedSize is that of a stored cell, in bytes.
const storedSize = 16

// Append adds a value at the end.
func (s *Cells) Append(c *Cell) {
	to := stored{kind: c.Kind}
	switch c.Kind {
	case Int:
		to.value = c.Int
	case Float:
		to.value = int64(math.Float64bits(c.Float))
	case Bytes:
		to.value, to.length = int64(len(s.text)), int32(len(c.Bytes))
		s.text = append(s.text, c.Bytes...)
	}
	s.cells = append(s.cells, to)
}

// Get writes the value at position i into c. A text shares the memory of s.
func (s *Cells) Get(i int, c *Cell) {
	from := &s.cells[i]
	c.Kind = from.kind
	switch from.kind {
	case Int:
		c.Int = from.value
	case Float:
		c.Float = math.Float64frombits(uint64(from.value))
	case Bytes:
		c.Bytes = s.text[from.value : from.value+int64(from.length)]
	}
}

// Size returns what the values take, in bytes.
func (s *Cells) Size() int { return storedSize*len(s.cells) + len(s.text) }

// Reset removes all values and keeps the memory for others.
func (s *Cells) Reset() { s.cells, s.text = s.cells[:0], s.text[:0] }
