// Package netstat prints what netstat(8) of net-tools 2.10 prints, from SQL over
// the tables.
//
// A [View] is one statement and the layout of its rows. What netstat gets wrong
// the views show right, unless they are told to imitate: see [Options.Strict].
package netstat

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Options are those of netstat(8).
type Options struct {
	TCP, UDP, UDPLite, SCTP, Raw, Unix bool // protocols; none means all
	IPv4, IPv6                         bool // families; none means both
	All, Listening                     bool // none means connected sockets only
	NumericHosts, NumericPorts         bool
	NumericUsers                       bool
	Extend                             int // how often -e was given
	Timers, Programs, Wide             bool
	// Strict imitates what netstat does not know, cuts off or gets wrong: the
	// maximum backlog of listeners, paths with blanks, names of programs beyond 19
	// characters with the PID, processes but the first, users above 2^31, those of
	// sockets without one and the name of UDP-Lite.
	Strict bool
	// Hosts resolves addresses that are not shown as numbers.
	Hosts *Hosts
}

// View is a part of netstat's output: lines that go before, and a statement whose
// rows follow.
type View struct {
	Header string
	SQL    string
	// Row appends the line of a row. A nil cell is NULL.
	Row func(line []byte, cells [][]byte) []byte

	parts []part // statements that give the rows of SQL in its order; none for SQL itself
}

// part is a statement of a view.
type part struct {
	sql string
	// ipv6 is "", or the statement for those rows of sql that come after all others:
	// TCP's of IPv6. The kernel lists both families in one walk through its table.
	ipv6 string
}

// Views returns what netstat prints of sockets with these options.
func (o *Options) Views() []View {
	inet := o.TCP || o.UDP || o.UDPLite || o.SCTP || o.Raw
	every := !inet && !o.Unix && !o.IPv4 && !o.IPv6
	all := every || !inet && (o.IPv4 || o.IPv6)
	var views []View
	if every || inet || o.IPv4 || o.IPv6 {
		header := "Active Internet connections " + o.which() + "\nProto Recv-Q Send-Q Local Address           Foreign Address         State      "
		if o.Extend > 0 {
			header += " User       Inode     "
		}
		header += o.programHeader()
		if o.Timers {
			header += " Timer"
		}
		columns := o.inetColumns(true)
		parts := o.inetSQL(all)
		views = append(views, View{Header: header + "\n", SQL: joined(parts), parts: together(parts), Row: func(line []byte, cells [][]byte) []byte {
			var c [inetCells][]byte
			for i := range columns {
				if columns[i] != "" {
					c[i], cells = cells[0], cells[1:]
				}
			}
			return o.inetRow(line, &c)
		}})
	}
	if every || o.Unix {
		header := "Active UNIX domain sockets " + o.which() + "\nProto RefCnt Flags       Type       State         I-Node  "
		views = append(views, View{Header: header + o.programHeader() + " Path\n", SQL: o.unixSQL(), Row: o.unixRow})
	}
	return views
}

func (o *Options) which() string {
	switch {
	case o.All:
		return "(servers and established)"
	case o.Listening:
		return "(only servers)"
	}
	return "(w/o servers)"
}

func (o *Options) programHeader() string {
	if o.Programs {
		return fmt.Sprintf(" %-*s", programWidth, "PID/Program name")
	}
	return ""
}

// programWidth is that of the column PID/Program name.
const programWidth = 20

// The columns of inetSQL, of which only those that are printed are asked for.
const (
	cellProto = iota
	cellRecvQ
	cellSendQ
	cellLocalAddress
	cellLocalPort
	cellRemoteAddress
	cellRemotePort
	cellState
	cellLocalService
	cellRemoteService
	cellUID
	cellUsername
	cellInode
	cellHolders
	cellTimer
	cellExpires
	cellRetransmits
	cellProbes
	inetCells
)

// inetColumns returns the expressions of the columns for a table; "" for those
// that are not printed.
func (o *Options) inetColumns(tcp bool) [inetCells]string {
	c := [inetCells]string{
		cellProto: "proto", cellRecvQ: "recv_q", cellSendQ: "send_q",
		cellLocalAddress: "local_address", cellLocalPort: "local_port",
		cellRemoteAddress: "remote_address", cellRemotePort: "remote_port", cellState: "state",
	}
	if !o.NumericPorts {
		c[cellLocalService], c[cellRemoteService] = "local_service", "remote_service"
	}
	if o.Extend > 0 {
		c[cellUID], c[cellInode] = "uid", "inode"
		if !o.NumericUsers {
			c[cellUsername] = "username"
		}
	}
	if o.Programs {
		c[cellHolders] = o.holders()
	}
	if o.Timers {
		c[cellTimer], c[cellExpires], c[cellRetransmits], c[cellProbes] = "timer", "timer_expires_ms", "retransmits", "probes"
	}
	switch {
	case !tcp && o.Timers:
		c[cellTimer], c[cellExpires], c[cellRetransmits], c[cellProbes] = "'off'", "0", "0", "0"
	case tcp && o.Strict:
		c[cellSendQ] = "iif(state = 'LISTEN', 0, send_q)"
	}
	if tcp && o.Extend > 0 {
		c[cellUID] = ofListener("uid")
		if !o.NumericUsers {
			c[cellUsername] = ofListener("username")
		}
	}
	return c
}

// joined returns the SELECTs as one statement.
func joined(selects []string) string { return strings.Join(selects, "\nUNION ALL ") }

// together returns the SELECTs as statements, of which the first reads TCP's sockets
// of both families, if both are wanted.
func together(selects []string) (parts []part) {
	const four, six = "WHERE proto = 'tcp'", "WHERE proto = 'tcp6'"
	if len(selects) < 2 || !strings.Contains(selects[0], four) || !strings.Contains(selects[1], six) {
		return nil
	}
	parts = []part{{strings.Replace(selects[0], four, "WHERE proto IN ('tcp', 'tcp6')", 1), selects[1]}}
	if rest := selects[2:]; len(rest) > 0 {
		parts = append(parts, part{sql: joined(rest)})
	}
	return parts
}

// inetSQL is one SELECT for each list, in netstat's order.
func (o *Options) inetSQL(all bool) []string {
	// A socket has a peer if it has the peer's port, or for netstat, of protocols
	// without connections, its address.
	tcp, sctp, other := "remote_port <> 0", "remote_port <> 0", "remote_address NOT IN ('0.0.0.0', '::')"
	if o.Listening {
		tcp, sctp, other = "state = 'LISTEN'", "remote_port = 0", "remote_address IN ('0.0.0.0', '::')"
	}
	var selects []string
	add := func(wanted, ipv6 bool, from, peers string, columns [inetCells]string) {
		if !wanted && !all || ipv6 && o.IPv4 && !o.IPv6 || !ipv6 && o.IPv6 && !o.IPv4 {
			return
		}
		var printed []string
		for _, c := range columns {
			if c != "" {
				printed = append(printed, c)
			}
		}
		s := "SELECT " + strings.Join(printed, ", ") + " FROM " + from
		if !o.All {
			s += " AND " + peers
		}
		selects = append(selects, s)
	}
	columns := o.inetColumns(false)
	raw := columns
	raw[cellLocalPort], raw[cellRemotePort] = "ip_protocol", "0"
	if !o.NumericPorts {
		raw[cellLocalService], raw[cellRemoteService] = "ip_protocol_name", "''"
	}
	if o.Strict {
		raw[cellState] = "iif(state = '', 7, 1)"
	}
	for _, ipv6 := range []bool{false, true} {
		add(o.TCP, ipv6, "tcp_sockets WHERE proto = '"+proto("tcp", ipv6)+"'", tcp, o.inetColumns(true))
	}
	// Here the families are in one list, with the endpoints first.
	// netstat takes all of them for IPv4's.
	either := ""
	if o.IPv4 != o.IPv6 && !o.Strict {
		either = " AND local_address " + map[bool]string{true: "NOT LIKE '%:%'", false: "LIKE '%:%'"}[o.IPv4]
	}
	several := columns
	several[cellLocalAddress], several[cellRemoteAddress] = "local_addresses", "remote_addresses"
	add(o.SCTP, o.IPv6 && !o.IPv4 && !o.Strict, "sctp_sockets WHERE proto = 'sctp'"+either, sctp, several)
	for _, ipv6 := range []bool{false, true} {
		add(o.UDP, ipv6, "udp_sockets WHERE proto = '"+proto("udp", ipv6)+"'", other, columns)
	}
	for _, ipv6 := range []bool{false, true} {
		add(o.UDPLite, ipv6, "udp_sockets WHERE proto = '"+proto("udplite", ipv6)+"'", other, columns)
	}
	for _, ipv6 := range []bool{false, true} {
		add(o.Raw, ipv6, "raw_sockets WHERE proto = '"+proto("raw", ipv6)+"'", other, raw)
	}
	return selects
}

// proto is netstat's word for the sockets of a protocol and family.
func proto(protocol string, ipv6 bool) string {
	if ipv6 {
		return protocol + "6"
	}
	return protocol
}

// ofListener makes the expression for a column of the owner that netstat takes, in
// SYN_RECV, from the listener.
func ofListener(column string) string {
	return "CASE state WHEN 'SYN_RECV' THEN (SELECT " + column + " FROM tcp_sockets AS l WHERE l.state = 'LISTEN' AND l.proto = tcp_sockets.proto" +
		" AND l.local_port = tcp_sockets.local_port AND l.local_address IN (tcp_sockets.local_address, '0.0.0.0', '::') LIMIT 1) ELSE " + column + " END"
}

// holders is the expression of who has a socket open.
func (o *Options) holders() string {
	if o.Strict {
		return "pid || '/' || program"
	}
	return "holders"
}

// addressWidth is what netstat gives an address and a port without the colon.
const addressWidth = 22

func (o *Options) inetRow(b []byte, c *[inetCells][]byte) []byte {
	proto := c[cellProto]
	if string(proto) == "sctp" {
		return o.owner(o.sctpRow(b, c), c, false)
	}
	if o.Strict && bytes.HasPrefix(proto, []byte("udplite")) {
		proto = append([]byte("udpl"), proto[len("udplite"):]...)
	}
	b = left(b, 5, proto)
	b = right(append(b, ' '), 6, number(c[cellRecvQ]))
	b = right(append(b, ' '), 6, number(c[cellSendQ]))
	b = append(b, ' ')
	b = pad(b, 23, func(b []byte) []byte { return o.end(b, c[cellLocalAddress], c[cellLocalPort], c[cellLocalService]) })
	b = append(b, ' ')
	b = pad(b, 23, func(b []byte) []byte { return o.end(b, c[cellRemoteAddress], c[cellRemotePort], c[cellRemoteService]) })
	b = append(b, ' ')
	b = left(b, 11, c[cellState])
	return o.owner(b, c, true)
}

// sctpRow appends what precedes the owner: a line for each address of an endpoint,
// which has no queues and no peer, or for each pair of addresses of an association.
func (o *Options) sctpRow(b []byte, c *[inetCells][]byte) []byte {
	endpoint := len(c[cellRemoteAddress]) == 0
	if endpoint && len(c[cellLocalAddress]) == 0 && o.Strict {
		return b
	}
	local, remote := bytes.Split(c[cellLocalAddress], []byte{','}), bytes.Split(c[cellRemoteAddress], []byte{','})
	for i := range max(len(local), len(remote)) {
		switch {
		case i > 0:
			b = append(b, "\n                    "...)
		case endpoint:
			b = append(b, "sctp                "...)
		default:
			b = right(append(b, "sctp  "...), 6, number(c[cellRecvQ]))
			b = append(right(append(b, ' '), 6, number(c[cellSendQ])), ' ')
		}
		// Behind the first address of an association there is no port.
		at := func(all [][]byte, port []byte) func([]byte) []byte {
			return func(b []byte) []byte {
				if i >= len(all) {
					return b
				}
				b = append(b, o.address(all[i])...)
				if i > 0 && !endpoint {
					return b
				}
				return append(append(b, ':'), port...)
			}
		}
		named := func(port, service []byte) []byte {
			switch {
			case len(service) > 0:
				return service
			case string(port) == "0":
				return []byte{'*'}
			}
			return port
		}
		localEnd := at(local, named(c[cellLocalPort], c[cellLocalService]))
		if endpoint {
			b = pad(b, 47, localEnd)
		} else {
			b = append(pad(b, 23, localEnd), ' ')
			b = pad(b, 23, at(remote, named(c[cellRemotePort], c[cellRemoteService])))
		}
		state := c[cellState]
		if i > 0 {
			state = nil
		}
		b = left(append(b, ' '), 11, state)
	}
	return b
}

// owner appends the user, the inode, the processes and, of what has them, the
// timers.
func (o *Options) owner(b []byte, c *[inetCells][]byte, timers bool) []byte {
	if o.Extend > 0 {
		user := c[cellUsername]
		switch {
		case c[cellUID] == nil && !o.Strict:
			user = []byte{'-'}
		case c[cellUID] == nil && !o.NumericUsers:
			user = []byte("root")
		case len(user) == 0:
			user = number(c[cellUID])
			if uid, err := strconv.ParseUint(string(user), 10, 32); err == nil && o.Strict {
				user = strconv.AppendInt(nil, int64(int32(uid)), 10)
			}
		}
		b = left(append(b, ' '), 10, user)
		b = left(append(b, ' '), 10, number(c[cellInode]))
	}
	b = o.program(b, c[cellHolders])
	switch {
	case o.Timers && !timers:
		b = append(b, ' ')
	case o.Timers:
		seconds := 0.
		if ms, err := strconv.ParseFloat(string(c[cellExpires]), 64); err == nil {
			seconds = ms / 1000
		}
		b = fmt.Appendf(b, " %s (%.2f/%s/%s)", c[cellTimer], seconds, number(c[cellRetransmits]), number(c[cellProbes]))
	}
	return append(b, '\n')
}

// number is a cell's text, of NULL that of netstat: 0.
func number(cell []byte) []byte {
	if len(cell) == 0 {
		return []byte{'0'}
	}
	return cell
}

// left appends a cell and blanks up to a width, right blanks before.
func left(b []byte, width int, cell []byte) []byte {
	return pad(b, width, func(b []byte) []byte { return append(b, cell...) })
}

func right(b []byte, width int, cell []byte) []byte {
	for i := len(cell); i < width; i++ {
		b = append(b, ' ')
	}
	return append(b, cell...)
}

// pad appends what add does, filled up with blanks to a width.
func pad(b []byte, width int, add func([]byte) []byte) []byte {
	start := len(b)
	b = add(b)
	for len(b)-start < width {
		b = append(b, ' ')
	}
	return b
}

// end appends an address and a port as netstat writes and cuts them.
func (o *Options) end(b, address, port, service []byte) []byte {
	name := o.address(address)
	switch {
	case string(port) == "0":
		port = []byte{'*'}
	case len(service) > 0:
		port = service
	}
	if !o.Wide && len(name)+len(port) > addressWidth {
		port = cutName(port, addressWidth-4)
		name = name[:min(len(name), max(addressWidth-len(port), 0))]
	}
	b = append(b, name...)
	b = append(b, ':')
	return append(b, port...)
}

// address returns the name of an address, or the address as netstat writes it.
func (o *Options) address(a []byte) []byte {
	if !o.NumericHosts {
		switch string(a) {
		case "0.0.0.0":
			return a
		case "::":
			return []byte("[::]")
		}
		if name := o.Hosts.Name(string(a)); name != "" {
			return []byte(name)
		}
	}
	if v4, mapped := bytes.CutPrefix(a, []byte("::ffff:")); mapped && bytes.IndexByte(v4, '.') >= 0 {
		return v4
	}
	return a
}

// program appends the column PID/Program name.
func (o *Options) program(b, holders []byte) []byte {
	if !o.Programs {
		return b
	}
	if len(holders) == 0 {
		holders = []byte{'-'}
	}
	if o.Strict {
		holders = cutName(holders, programWidth-1)
	}
	return left(append(b, ' '), programWidth, holders)
}

// The columns of unixSQL.
const (
	unixProto = iota
	unixRefCount
	unixFlags
	unixType
	unixState
	unixInode
	unixPath
	unixHolders // with Programs only
)

func (o *Options) unixSQL() string {
	columns := []string{"proto", "ref_count", "flags", "type", "state", "inode", "path"}
	if o.Programs {
		columns = append(columns, o.holders())
	}
	s := "SELECT " + strings.Join(columns, ", ") + " FROM unix_sockets"
	if !o.All {
		s += fmt.Sprintf(" WHERE listening = %d", map[bool]int{true: 1}[o.Listening])
	}
	return s
}

func (o *Options) unixRow(b []byte, c [][]byte) []byte {
	flags := "[ "
	if len(c[unixFlags]) > 0 {
		flags += string(c[unixFlags]) + " "
	}
	path := c[unixPath]
	if o.Strict {
		if i := strings.IndexAny(text.Unescape(string(path)), " \t\n\v\f\r"); i >= 0 {
			path = cutName(path, i)
		}
	}
	b = fmt.Appendf(b, "%-5s %-6s %-11s %-10s %-13s %-8s", c[unixProto], number(c[unixRefCount]), flags+"]", c[unixType], c[unixState], number(c[unixInode]))
	if o.Programs {
		b = o.program(b, c[unixHolders])
	}
	b = append(b, ' ')
	b = append(b, path...)
	return append(b, '\n')
}

// cutName returns the first bytes of a name as netstat cuts it: the cell holds it
// escaped, and so does the result, since a terminal must not obey a name.
func cutName(cell []byte, bytes int) []byte {
	name := text.Unescape(string(cell))
	if len(name) <= bytes {
		return cell
	}
	return []byte(text.Escape(name[:bytes]))
}

// Print runs the views and prints what they show.
func Print(ctx context.Context, db *sqlite.DB, w io.Writer, views []View) error {
	out := bufio.NewWriterSize(w, 1<<16)
	for i := range views {
		v := &views[i]
		out.WriteString(v.Header)
		parts := v.parts
		if parts == nil {
			parts = []part{{sql: v.SQL}}
		}
		for _, p := range parts {
			if err := p.print(ctx, db, v, out); err != nil {
				out.Flush()
				return err
			}
		}
	}
	return out.Flush()
}

// maxHeld bounds the lines that wait for others, in bytes.
const maxHeld = 32 << 20

func (p *part) print(ctx context.Context, db *sqlite.DB, v *View, out *bufio.Writer) error {
	run := func(sql string, hold bool) (*result, error) {
		r := &result{view: v, out: out, hold: hold}
		return r, db.Run(ctx, sql, func() (sqlite.Result, error) { return r, nil })
	}
	r, err := run(p.sql, p.ipv6 != "")
	if err == nil && r.tooMany {
		_, err = run(p.ipv6, false)
	} else if err == nil {
		_, err = out.Write(r.held)
	}
	return err
}

// result prints the rows of a view's statement.
type result struct {
	view *View
	out  *bufio.Writer
	line []byte
	rowfmt.Texts

	hold    bool   // rows of tcp6
	held    []byte // their lines
	tooMany bool   // they were dropped
}

func (r *result) Columns([]string) error { return nil }

func (r *result) Row(cells []schema.Cell) error {
	texts := r.Of(cells)
	if r.hold && string(texts[cellProto]) == "tcp6" {
		if r.tooMany = r.tooMany || len(r.held) > maxHeld; r.tooMany {
			r.held = nil
		} else {
			r.held = r.view.Row(r.held, texts)
		}
		return nil
	}
	r.line = r.view.Row(r.line[:0], texts)
	_, err := r.out.Write(r.line)
	return err
}

func (r *result) Close() error { return nil }
