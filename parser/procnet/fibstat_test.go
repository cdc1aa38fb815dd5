package procnet

import (
	"strings"
	"testing"
)

// Both are of one host, before and after its first policy rule.
const (
	oneTable = "Basic info: size of leaf: 48 bytes, size of tnode: 40 bytes.\nId 77:\n\tAver depth:     0.00\n\tLeaves:         1\n\tPrefixes:       1\n\t\n\tPointers: 0\n" +
		"Main:\n\tLeaves:         7\n\tPrefixes:       7\n\tInternal nodes: 6\n\t  1: 2  2: 4\nLocal:\n\tLeaves:         7\n\tPrefixes:       7\n"
	twoTables = "Basic info: size of leaf: 48 bytes, size of tnode: 40 bytes.\nId 77:\n\tPrefixes:       1\nMain:\n\tPrefixes:       2\nLocal:\n\tPrefixes:       5\n"
)

func TestCountRoutes(t *testing.T) {
	for _, c := range []struct {
		name, text string
		all, less  int
		fail       string
	}{
		{"main and local are one", oneTable, 8, 7, ""},
		{"two tables", twoTables, 8, 3, ""},
		{"no routes", "Basic info\n", 0, 1, ""},
		{"no number", "Main:\n\tPrefixes:   x\n", 0, 0, "line 2: expected a number of prefixes"},
		{"cut off", "Main:\n\tPrefixes:   1", 0, 0, "in the middle of a line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			counts, err := CountRoutes(strings.NewReader(c.text))
			if c.fail != "" {
				if err == nil || !strings.Contains(err.Error(), c.fail) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || !counts.Are(c.all) || counts.Are(c.less) {
				t.Errorf("%+v, %v", counts, err)
			}
		})
	}
}

func TestCountRoutes6(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
		fail bool
	}{
		{"0010 000a 0001 000b 0000 0000 0000\n", 11, false},
		{"0010 000a 0001 1000b 0000 0000 0000\n", 65547, false},
		{"0010 000a 0001\n", 0, true},
		{"0010 000a 0001 x 0000 0000 0000\n", 0, true},
		{"", 0, true},
	} {
		t.Run(c.text, func(t *testing.T) {
			counts, err := CountRoutes6(strings.NewReader(c.text))
			if (err != nil) != c.fail || err == nil && !counts.Are(c.want) {
				t.Errorf("%+v, %v", counts, err)
			}
		})
	}
}

func FuzzCountRoutes(f *testing.F) {
	f.Add(oneTable)
	f.Add(twoTables)
	f.Add("0010 000a 0001 000b 0000 0000 0000\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := CountRoutes(strings.NewReader(text)); err == nil && !c.Are(c.Other+c.Main+c.Local) {
			t.Errorf("%+v", c)
		}
		if c, err := CountRoutes6(strings.NewReader(text)); err == nil && (c.Main != 0 || c.Local != 0) {
			t.Errorf("%+v", c)
		}
	})
}
