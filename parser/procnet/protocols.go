package procnet

import (
	"bytes"
	"io"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// Protocol returns how many sockets of a protocol /proc/net/protocols counts
// (proto_seq_show, net/core/sock.c). It is not ok if the protocol is not in the
// list, which has those that the kernel has at the moment:
//
//	protocol  size sockets  memory press maxhdr  slab module …
//	MPTCP     1936      4       0   no       0   yes  kernel …
//
// Errors are as of [TCP]; lines beneath the protocol's are not read.
func Protocol(r io.Reader, name string) (sockets int64, ok bool, err error) {
	header := false
	for line, err := range parser.Lines(r, maxLine) {
		if err != nil {
			return 0, false, err
		}
		fields := bytes.Fields(line.Text)
		switch {
		case line.Cut || line.Long || len(fields) < 3:
			return 0, false, parser.NewLineError(line.Number, line.Text, "expected a whole line of protocol, size, sockets …")
		case !header:
			if header = string(fields[0]) == "protocol" && string(fields[2]) == "sockets"; !header {
				return 0, false, parser.NewLineError(line.Number, line.Text, "expected the header of /proc/net/protocols")
			}
		case string(fields[0]) == name:
			if sockets, err = strconv.ParseInt(string(fields[2]), 10, 64); err != nil {
				return 0, false, parser.NewLineError(line.Number, line.Text, "sockets: expected a decimal number")
			}
			return sockets, true, nil
		}
	}
	if !header {
		return 0, false, parser.NewLineError(1, nil, "the file is empty, even its header is missing")
	}
	return 0, false, nil
}
