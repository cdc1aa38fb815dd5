package proc

import (
	"io"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// CPU is one thread of a processor, a paragraph of /proc/cpuinfo. What an
// architecture's kernel does not print is empty.
type CPU struct {
	Model, Name, Microcode string
	Package, Core          string // "physical id" and "core id"
	Siblings               int    // threads of its package
}

// CPUs reads /proc/cpuinfo (proc_cpuinfo(5)):
//
//	processor	: 0
//	model		: 17
//	model name	: AMD EPYC
//
// The error is the reader's.
func CPUs(r io.Reader) (all []CPU, err error) {
	for line, err := range parser.Lines(r, parser.MaxLine) {
		if err != nil {
			return nil, err
		}
		name, value, _ := strings.Cut(string(line.Text), ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if name == "processor" {
			all = append(all, CPU{})
		}
		if len(all) == 0 {
			continue
		}
		switch c := &all[len(all)-1]; name {
		case "model":
			c.Model = value
		case "model name":
			c.Name = value
		case "microcode":
			c.Microcode = value
		case "physical id":
			c.Package = value
		case "core id":
			c.Core = value
		case "siblings":
			if n, err := strconv.ParseUint(value, 10, 16); err == nil {
				c.Siblings = int(n)
			}
		}
	}
	return all, nil
}
