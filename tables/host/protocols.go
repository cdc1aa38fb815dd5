package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// registration returns what /proc/net/protocols calls the protocol of a list
// that has no file of its own, and whether the sockets that it counts are all
// there are; name is empty if the list has a file.
func (l *list) registration() (name string, counts bool) {
	switch l.name {
	case "mptcp":
		return "MPTCP", true
	case "mptcp6":
		return "MPTCPv6", true
	case "vsock":
		return "AF_VSOCK", false // its count stays 0
	}
	return "", false
}

// maxProtocolsLine is more than any line of that file takes.
const maxProtocolsLine = 4096

// registered looks a protocol up in /proc/net/protocols (proto_seq_show,
// net/core/sock.c), which lists those that the kernel has at the moment:
//
//	protocol  size sockets  memory press maxhdr  slab module …
//	MPTCP     1936      4       0   no       0   yes  kernel …
//
// Sockets are those of the namespace.
func (h *Host) registered(p *place, name string) (sockets int64, ok bool, err error) {
	file, err := h.openIn(p, "protocols")
	if err != nil {
		return 0, false, err
	}
	defer file.Close()
	if sockets, ok, err = findProtocol(file, name); err != nil {
		err = fmt.Errorf("%s: %w", file.Name(), err)
	}
	return sockets, ok, err
}

func findProtocol(r io.Reader, name string) (sockets int64, ok bool, err error) {
	header := false
	for line, err := range parser.Lines(r, maxProtocolsLine) {
		if err != nil {
			return 0, false, err
		}
		fields := strings.Fields(string(line.Text))
		switch {
		case line.Cut || line.Long || len(fields) < 3:
			return 0, false, parser.NewLineError(line.Number, line.Text, "expected a whole line of protocol, size, sockets …")
		case !header:
			if header = fields[0] == "protocol" && fields[2] == "sockets"; !header {
				return 0, false, parser.NewLineError(line.Number, line.Text, "expected the header of /proc/net/protocols")
			}
		case fields[0] == name:
			if sockets, err = strconv.ParseInt(fields[2], 10, 64); err != nil {
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

// unlisted ends the reading of a list for which there is no way but sock_diag,
// and that does not answer. The list is empty if the protocol is not there or
// has no sockets, and else cannot be had.
func (h *Host) unlisted(p *place, list *list, reason string) error {
	name, counts := list.registration()
	sockets, ok, err := h.registered(p, name)
	reason += "; it takes the kernel's module " + list.module
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("only sock_diag lists %s sockets (%s), and whether there are any cannot be told: %w", list.name, reason, err)
	case err != nil:
		return err
	case !ok || counts && sockets == 0:
		return nil
	case counts:
		return fmt.Errorf("there are %d %s sockets, which only sock_diag lists: %s", sockets, list.name, reason)
	}
	return fmt.Errorf("there may be %s sockets, which only sock_diag lists: %s", list.name, reason)
}
