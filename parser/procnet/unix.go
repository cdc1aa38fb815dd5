package procnet

import (
	"bytes"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// maxUnixPath is how long a path is at most, struct sockaddr_un of unix(7).
const maxUnixPath = 108

// Unix streams the sockets of /proc/net/unix, which unix_seq_show of
// net/unix/af_unix.c prints:
//
//	Num       RefCount Protocol Flags    Type St Inode Path
//	000000007e2b9d41: 00000002 00000000 00010000 0001 01 21877 /run/dbus socket
//
// The path is the rest of the line, and of the next ones where it has newlines:
// the kernel writes them as they are. So a line that has not the form of the first
// continues the path of the one before, within the length that a path can have. One
// that cannot is passed to strange, as no socket. A path that imitates a whole line
// is taken for a socket that is Uncertain, as is any other socket whose line may be a
// part of the path before: nothing in the file tells them apart.
//
// Netlink tells them apart: known are the paths with newlines that it told of, by
// inode, whose lines are then taken for what they are. A socket without an inode has
// the path of its listener, which may be known.
//
// The kernel prints the list in pieces, so that a socket may be in it twice when
// others came meanwhile; it is handed over once.
//
// Errors are of type [*parser.LineError], or the reader's own.
func Unix(r io.Reader, known map[uint64]string, strange func(*parser.LineError)) iter.Seq2[sock.Unix, error] {
	d := unixDecoder{known: known, strange: strange, listeners: make(map[string][]string), seen: make(map[unixKey]unixIdentity)}
	for _, path := range known {
		first, _, _ := strings.Cut(path, "\n")
		d.listeners[first] = append(d.listeners[first], path)
	}
	return parser.List[sock.Unix]{
		Header: parser.Words("Num RefCount Protocol Flags Type St Inode Path"),
		Line: func(line parser.Line) (s sock.Unix, ok bool, err error) {
			if d.goesOn(line.Text) {
				if line.Cut {
					return s, false, line.Error("expected a whole socket") // it may be the beginning of one
				}
				d.more(line)
				return s, false, nil
			}
			s, ok = d.last()
			return s, ok, d.begin(line)
		},
		End: func() (sock.Unix, bool, error) {
			s, ok := d.last()
			return s, ok, nil
		},
	}.Decode(r)
}

// unixDecoder has the socket whose path may go on in the next line.
type unixDecoder struct {
	known     map[uint64]string
	strange   func(*parser.LineError)
	listeners map[string][]string // the same paths by their first lines
	seen      map[unixKey]unixIdentity
	hidden    uint64 // sockets without an inode, and with an address that is hidden

	sock.Unix // the last one
	ok        bool
	named     bool
	imitated  bool // its path has lines in the form of a socket's
	path      []byte
	number    int // of its first line
}

// unixKey is what no two sockets have in common.
type unixKey struct{ inode, address uint64 }

// unixIdentity is what a socket that is listed twice has in common with itself.
type unixIdentity struct {
	address uint64
	kind    sock.Type
	state   sock.UnixState
	path    string
}

// paths are those that the last socket's may turn out to be.
func (d *unixDecoder) paths() []string {
	if d.Inode != 0 {
		if path, ok := d.known[d.Inode]; ok {
			return []string{path}
		}
		return nil
	}
	first, _, _ := bytes.Cut(d.path, []byte("\n"))
	return d.listeners[string(first)]
}

// goesOn reports whether a line belongs to the path of the last socket.
func (d *unixDecoder) goesOn(line []byte) bool {
	if !isUnixLine(line) {
		return true
	}
	if !d.named || len(d.known) == 0 {
		return false
	}
	next := string(d.path) + "\n" + string(line)
	return slices.ContainsFunc(d.paths(), func(path string) bool { return path == next || strings.HasPrefix(path, next+"\n") })
}

// more takes a line of the last socket's path.
func (d *unixDecoder) more(line parser.Line) {
	if !d.fits(line.Text) {
		d.strange(line.Error("expected a socket, or more of a path with a newline").(*parser.LineError))
		return
	}
	d.path = append(append(d.path, '\n'), line.Text...)
	d.imitated = d.imitated || isUnixLine(line.Text)
}

// fits reports whether a line may be more of the last socket's path.
func (d *unixDecoder) fits(line []byte) bool {
	return d.named && len(d.path)+1+len(line) <= maxUnixPath
}

// last returns the last socket. It is not ok if there is none, or if that was
// returned before.
func (d *unixDecoder) last() (s sock.Unix, ok bool) {
	if !d.ok {
		return s, false
	}
	d.ok = false
	s = d.Unix
	s.Path = string(d.path)
	key := unixKey{inode: s.Inode}
	if s.Inode == 0 {
		key.address = s.Key
	}
	is := unixIdentity{s.Key, s.Type, s.State, s.Path}
	before, twice := d.seen[key]
	if twice && before == is {
		return s, false
	}
	if path, ok := d.known[s.Inode]; twice || ok && path != s.Path {
		s.Uncertain = true // or it has changed meanwhile
	}
	if d.imitated && !slices.Contains(d.paths(), s.Path) {
		s.Uncertain = true
		d.strange(parser.NewLineError(d.number, d.path, "the socket has another path than netlink told, in which sockets may be"))
	}
	d.seen[key] = is
	return s, true
}

// begin takes the line of a socket.
func (d *unixDecoder) begin(line parser.Line) error {
	uncertain := d.fits(line.Text)
	f := fields{rest: line.Text}
	d.decode(&f)
	d.ok, d.number, d.Uncertain = true, line.Number, uncertain
	if d.Inode == 0 && d.Key == 0 {
		// There is only its place.
		d.hidden++
		d.Key = d.hidden
	}
	if len(d.path) > maxUnixPath {
		f.fail("the path is too long")
	}
	if f.reason == "" {
		return nil
	}
	err := line.Error(f.reason)
	if !uncertain {
		return err
	}
	d.ok, d.named = false, false
	d.strange(err.(*parser.LineError)) // no socket of the kernel is like that
	return nil
}

// CountUnix counts the lines of /proc/net/unix that have the form of a socket's,
// including those that are a part of a name.
func CountUnix(r io.Reader) (n int, err error) {
	for line, err := range parser.Lines(r, parser.MaxLine) {
		if err != nil {
			return 0, err
		}
		if isUnixLine(line.Text) {
			n++
		}
	}
	return n, nil
}

// isUnixLine reports whether a line begins as that of a socket does: the address
// of the kernel's structure, which it may hide, and numbers of fixed width.
func isUnixLine(b []byte) bool {
	address, rest, ok := bytes.Cut(b, []byte(": "))
	if !ok || len(address) != 16 && len(address) != 8 || bytes.ContainsAny(address, " \n") {
		return false
	}
	for _, width := range [...]int{8, 8, 8, 4, 2} {
		if len(rest) <= width || rest[width] != ' ' {
			return false
		}
		for _, c := range rest[:width] {
			if hexDigits[c] == 0xff {
				return false
			}
		}
		rest = rest[width+1:]
	}
	rest = bytes.TrimLeft(rest, " ")
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	return digits > 0 && (digits == len(rest) || rest[digits] == ' ')
}

// decode takes a line apart that isUnixLine.
func (d *unixDecoder) decode(f *fields) {
	d.Unix, d.named, d.imitated, d.path = sock.Unix{KnownUnix: sock.KnowsRefCount}, false, false, d.path[:0]
	address := f.next()
	for _, c := range address[:len(address)-1] {
		digit := hexDigits[c]
		if digit == 0xff { // such as (____ptrval____)
			d.Key = 0
			break
		}
		d.Key = d.Key<<4 | uint64(digit)
	}
	d.RefCount = uint32(f.hex(f.next(), 32, "RefCount"))
	if f.hex(f.next(), 32, "Protocol") != 0 {
		f.fail("Protocol: unix sockets have none")
	}
	d.Flags = uint32(f.hex(f.next(), 32, "Flags"))
	d.Type = sock.Type(f.hex(f.next(), 8, "Type"))
	d.State = sock.UnixState(f.hex(f.next(), 8, "St"))
	if d.State == sock.UnixUnconnected && d.Flags&sock.AcceptsConnections != 0 {
		d.State = sock.UnixListening
	} else if d.State == sock.UnixListening {
		f.fail("St: the state is not known")
	}
	d.Inode = f.dec("Inode", 64)
	if len(f.rest) > 0 {
		d.named = true
		d.path = append(d.path, f.rest[1:]...)
	}
}
