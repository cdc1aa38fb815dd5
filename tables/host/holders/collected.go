package holders

import "encoding/binary"

// collected are holders as they come, in a few bytes each: how they differ from the
// one before. So the array of all is made once, of their number; one that grows
// would for a moment be there twice.
type collected struct {
	chunks [][]byte
	number int
	last   Holder
}

// collectedChunk is the size of a chunk in bytes.
const collectedChunk = 64 << 10

func (c *collected) add(h Holder) {
	i := len(c.chunks) - 1
	if i < 0 || len(c.chunks[i])+3*binary.MaxVarintLen64 > collectedChunk {
		c.chunks = append(c.chunks, make([]byte, 0, collectedChunk))
		i++
	}
	b := binary.AppendVarint(c.chunks[i], int64(h.Inode-c.last.Inode))
	b = binary.AppendVarint(b, int64(h.PID)-int64(c.last.PID))
	c.chunks[i] = binary.AppendVarint(b, int64(h.FD)-int64(c.last.FD))
	c.number++
	c.last = h
}

// all returns the holders.
func (c *collected) all() []Holder {
	holders := make([]Holder, 0, c.number)
	var h Holder
	for _, b := range c.chunks {
		next := func() int64 {
			v, n := binary.Varint(b)
			b = b[n:]
			return v
		}
		for len(b) > 0 {
			h.Inode += uint64(next())
			h.PID += int32(next())
			h.FD += int32(next())
			holders = append(holders, h)
		}
	}
	return holders
}
