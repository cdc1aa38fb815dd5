package procnet

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// RouteCounts are the numbers of routes that the kernel counts, by table.
type RouteCounts struct {
	// Other is the number in all tables but main and local; of IPv6 in all.
	Other int
	// Main and Local share one table until the first policy rule is added: both
	// numbers are then that of both together.
	Main, Local int
}

// Are reports whether so many routes are all of them.
func (c RouteCounts) Are(routes int) bool {
	return routes == c.Other+c.Main+c.Local || c.Main == c.Local && routes == c.Other+c.Main
}

// CountRoutes decodes /proc/net/fib_triestat (fib_triestat_seq_show,
// net/ipv4/fib_trie.c), for IPv4:
//
//	Main:
//		Prefixes:       7
func CountRoutes(r io.Reader) (counts RouteCounts, err error) {
	to := &counts.Other
	lines := parser.List[struct{}]{Line: func(line parser.Line) (none struct{}, ok bool, err error) {
		text := string(line.Text)
		switch number, found := strings.CutPrefix(text, "\tPrefixes:"); {
		case text == "Main:":
			to = &counts.Main
		case text == "Local:":
			to = &counts.Local
		case strings.HasPrefix(text, "Id "), text == "Default:":
			to = &counts.Other
		case found:
			n, err := strconv.ParseUint(strings.TrimLeft(number, " "), 10, 31)
			if err != nil || line.Cut { // which may have cut the number
				return none, false, line.Error("expected a number of prefixes")
			}
			*to += int(n)
		}
		return none, false, nil
	}}
	for _, err := range lines.Decode(r) {
		return RouteCounts{}, err
	}
	return counts, nil
}

// CountRoutes6 decodes /proc/net/rt6_stats (rt6_stats_seq_show, net/ipv6/route.c):
// its fourth number is that of IPv6 routes in all tables, where each next hop of a
// route counts as one unless it is a nexthop object's.
//
//	0010 000a 0001 000b 0000 0000 0000
func CountRoutes6(r io.Reader) (counts RouteCounts, err error) {
	lines := parser.List[int]{Line: func(line parser.Line) (routes int, ok bool, err error) {
		fields := strings.SplitN(string(line.Text), " ", 5)
		if len(fields) == 5 {
			if n, err := strconv.ParseUint(fields[3], 16, 31); err == nil {
				return int(n), true, nil
			}
		}
		return 0, false, line.Error("expected seven hexadecimal numbers")
	}}
	for routes, err := range lines.Decode(r) {
		return RouteCounts{Other: routes}, err
	}
	return counts, errors.New("the file is empty")
}
