package proc

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// ParsePortRange decodes /proc/sys/net/ipv4/ip_local_port_range
// (Documentation/networking/ip-sysctl.rst), both ends included:
//
//	32768	60999
func ParsePortRange(text []byte) (sock.PortRange, error) {
	low, high, ok := strings.Cut(strings.TrimSuffix(string(text), "\n"), "\t")
	r, err := portRange(low, high)
	if !ok || err != nil {
		return sock.PortRange{}, fmt.Errorf("expected two ports: %q", text[:min(len(text), 80)])
	}
	return r, nil
}

// ParsePorts decodes /proc/sys/net/ipv4/ip_local_reserved_ports
// (Documentation/networking/ip-sysctl.rst), which may be empty:
//
//	8080,9148-9150
func ParsePorts(text []byte) (ranges []sock.PortRange, err error) {
	list := strings.TrimSuffix(string(text), "\n")
	if list == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		low, high, ok := strings.Cut(part, "-")
		if !ok {
			high = low
		}
		r, err := portRange(low, high)
		if err != nil {
			return nil, fmt.Errorf("expected ports and ranges of ports with commas between: %q", text[:min(len(text), 80)])
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func portRange(low, high string) (r sock.PortRange, err error) {
	first, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return r, err
	}
	last, err := strconv.ParseUint(high, 10, 16)
	return sock.PortRange{Low: uint16(first), High: uint16(last)}, err
}
