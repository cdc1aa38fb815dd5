// Package etc decodes small files that describe a host: /etc/hosts, hosts(5),
// /etc/resolv.conf, resolv.conf(5), and os-release(5).
package etc

import (
	"io"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// Host is one line of /etc/hosts.
type Host struct {
	Address string // as the file has it
	Names   []string
}

// Hosts streams the lines of /etc/hosts in the file's order:
//
//	127.0.0.1  localhost alias  # comment
func Hosts(r io.Reader, skipped func(*parser.LineError)) iter.Seq2[Host, error] {
	return parser.Entries(r, skipped, func(h *Host, _ int, line string) string {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		h.Address, h.Names = fields[0], fields[1:]
		return ""
	})
}

// The bits of the resolver's options, RES_* of resolv/resolv.h of the GNU C library.
const (
	resInit = 1 << 0
	// DefaultOptions are those of a resolver without options: RES_DEFAULT, and that
	// it is ready.
	DefaultOptions = 1<<6 | 1<<7 | 1<<9 | resInit
)

// resolverOptions are the options of resolv.conf(5) that are bits.
var resolverOptions = map[string]int64{
	"debug": 1 << 1, "use-vc": 1 << 3, "rotate": 1 << 14, "no-check-names": 1 << 15, "edns0": 1 << 20, "single-request": 1 << 21,
	"single-request-reopen": 1 << 22, "no-tld-query": 1 << 24, "no-reload": 1 << 25, "trust-ad": 1 << 26, "no-aaaa": 1 << 27,
}

// Sort is an address and netmask of a resolver's sortlist.
type Sort struct{ Address, Netmask string }

// Resolver is what /etc/resolv.conf says. A resolver uses the first MaxServers
// servers.
type Resolver struct {
	Servers []netip.Addr
	Search  []string
	Sort    []Sort
	Options int64
}

// MaxServers is how many servers a resolver uses, MAXNS of resolv/resolv.h, and
// maxSort how much it sorts by, MAXRESOLVSORT.
const (
	MaxServers = 3
	maxSort    = 10
)

// DecodeResolver reads /etc/resolv.conf as res_init(3) of the GNU C library does
// (resolv/res_init.c): the last search or domain counts, and a word that is not
// known is passed by. The error is the reader's.
func DecodeResolver(r io.Reader) (Resolver, error) {
	to := Resolver{Options: DefaultOptions}
	for line, err := range parser.Lines(r, parser.MaxLine) {
		if err != nil {
			return Resolver{}, err
		}
		if len(line.Text) > 0 && (line.Text[0] == '#' || line.Text[0] == ';') {
			continue
		}
		fields := strings.Fields(string(line.Text))
		if len(fields) < 2 {
			continue
		}
		switch values := fields[1:]; fields[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(values[0]); err == nil && len(to.Servers) < MaxServers {
				to.Servers = append(to.Servers, a)
			}
		case "domain":
			to.Search = values[:1]
		case "search":
			to.Search = values
		case "sortlist":
			for _, v := range values {
				if a, mask, _ := strings.Cut(v, "/"); len(to.Sort) < maxSort {
					to.Sort = append(to.Sort, Sort{a, mask})
				}
			}
		case "options":
			for _, v := range values {
				to.Options |= resolverOptions[v]
			}
		}
	}
	return to, nil
}

// Release is what os-release(5) says, by its words in capital letters.
type Release map[string]string

// DecodeRelease reads an os-release file. A value in quotes is without them. The error
// is the reader's.
//
//	PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
//	VERSION_ID="12"
func DecodeRelease(r io.Reader) (Release, error) {
	to := make(Release)
	for line, err := range parser.Lines(r, parser.MaxLine) {
		if err != nil {
			return nil, err
		}
		name, value, ok := strings.Cut(strings.TrimSpace(string(line.Text)), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n > 1 && slices.Contains([]byte{'"', '\''}, value[0]) && value[n-1] == value[0] {
			quote := value[0]
			if value = value[1 : n-1]; quote == '"' {
				value = unescape.Replace(value)
			}
		}
		to[name] = value
	}
	return to, nil
}

// unescape undoes the escapes of a shell's double quotes.
var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\$`, `$`, "\\`", "`")
