package host

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
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

// registered looks a protocol up in /proc/net/protocols; the sockets are those of
// the namespace.
func registered(in *netns.Handle, name string) (sockets int64, ok bool, err error) {
	file, err := in.Open("protocols")
	if err != nil {
		return 0, false, err
	}
	defer file.Close()
	if sockets, ok, err = procnet.Protocol(file, name); err != nil {
		err = fmt.Errorf("%s: %w", file.Name(), err)
	}
	return sockets, ok, err
}

// unlisted ends the reading of a list for which there is no way but sock_diag,
// and that does not answer. The list is empty if the protocol is not there or
// has no sockets, and else cannot be had.
func unlisted(in *netns.Handle, list *list, reason string) error {
	name, counts := list.registration()
	sockets, ok, err := registered(in, name)
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
