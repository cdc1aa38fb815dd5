// Package units finds the socket units of systemd by what they listen on, in its unit
// files. It asks no daemon.
//
//	u := units.New("/")
//	unit, err := u.At(units.Address{Protocol: "tcp", IP: netip.IPv6Unspecified(), Port: 22}) // ssh.socket
package units

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/systemd"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// dirs are where the system's systemd looks for units, systemd.unit(5): the first that
// has a unit's file wins.
var dirs = []string{
	"etc/systemd/system", "run/systemd/system", "run/systemd/generator", "usr/local/lib/systemd/system",
	"usr/lib/systemd/system", "lib/systemd/system", "run/systemd/generator.late",
}

// Address is what a socket listens on.
type Address struct {
	Protocol string     // tcp, udp, udplite, sctp, vsock or unix
	IP       netip.Addr // invalid for others
	Port     uint32     // of IP and vsock
	CID      uint32     // of vsock
	Path     string     // of unix: a path, or @ and an abstract name
}

// Units reads the unit files once. It is for one query in one goroutine.
type Units struct {
	root string
	all  []socketUnit
	read bool
}

// socketUnit is a unit that may have sockets.
type socketUnit struct {
	name      string
	enabled   bool // another unit wants it
	listeners []systemd.Listener
}

// New returns the units of the host whose root directory is root.
func New(root string) *Units { return &Units{root: root} }

// File returns the path of a unit's file, "" if there is none.
func (u *Units) File(unit string) string {
	for _, dir := range dirs {
		path := filepath.Join(u.root, dir, filepath.Base(unit))
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// At returns the socket unit whose file has an address; "" if none has, or if several
// have it of which not one alone is enabled. The error is of files that are there and
// cannot be read or decoded; it is returned once.
func (u *Units) At(a Address) (unit string, err error) {
	if !u.read {
		u.read = true
		err = u.load()
	}
	var all, enabled []string
	for _, s := range u.all {
		if !slices.ContainsFunc(s.listeners, func(l systemd.Listener) bool { return a.is(l) }) {
			continue
		}
		all = append(all, s.name)
		if s.enabled {
			enabled = append(enabled, s.name)
		}
	}
	switch {
	case len(enabled) == 1:
		return enabled[0], err
	case len(all) == 1:
		return all[0], err
	}
	return "", err
}

// is reports whether a unit listens there.
func (a Address) is(l systemd.Listener) bool {
	switch {
	case l.Path != "" || a.Protocol == "unix":
		return a.Protocol == "unix" && a.Path == l.Path
	case l.Vsock || a.Protocol == "vsock":
		return l.Vsock && a.Protocol == "vsock" && a.Port == l.Port && a.CID == l.CID
	}
	protocol := "tcp" // with mptcp
	switch {
	case l.Protocol == "udplite" || l.Protocol == "sctp":
		protocol = l.Protocol
	case l.Type == sock.Datagram:
		protocol = "udp"
	}
	if a.Protocol != protocol || a.Port != l.Port {
		return false
	}
	if !l.Address.IsValid() {
		return a.IP.IsUnspecified()
	}
	return a.IP.WithZone("") == l.Address.Unmap()
}

// files are those of one unit.
type files struct {
	unit    string            // its path
	dropIns map[string]string // paths by their names, which are also their order
}

// load reads all socket units.
func (u *Units) load() error {
	var failed []error
	found := make(map[string]*files)
	enabled := make(map[string]bool)
	of := func(name string) *files {
		if found[name] == nil {
			found[name] = &files{dropIns: make(map[string]string)}
		}
		return found[name]
	}
	list := func(dir string) []fs.DirEntry {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
		return entries
	}
	for _, dir := range dirs {
		dir = filepath.Join(u.root, dir)
		for _, e := range list(dir) {
			path := filepath.Join(dir, e.Name())
			unit, isDropIns := strings.CutSuffix(e.Name(), ".d")
			switch {
			case filepath.Ext(e.Name()) == ".socket":
				if f := of(e.Name()); f.unit == "" {
					f.unit = path
				}
			case isDropIns && filepath.Ext(unit) == ".socket":
				for _, d := range list(path) {
					if f := of(unit); filepath.Ext(d.Name()) == ".conf" && f.dropIns[d.Name()] == "" {
						f.dropIns[d.Name()] = filepath.Join(path, d.Name())
					}
				}
			case strings.HasSuffix(e.Name(), ".wants"), strings.HasSuffix(e.Name(), ".requires"):
				for _, w := range list(path) {
					if filepath.Ext(w.Name()) == ".socket" {
						enabled[w.Name()] = true
					}
				}
			}
		}
	}
	names := slices.Collect(maps.Keys(found))
	for name := range enabled {
		if strings.Contains(name, "@") && found[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		listeners, err := u.listeners(name, found)
		if err != nil {
			failed = append(failed, err)
		} else if listeners != nil {
			u.all = append(u.all, socketUnit{name, enabled[name], listeners})
		}
	}
	return errors.Join(failed...)
}

// listeners reads what a unit listens on: nothing if it is a template, another unit's
// second name, or masked, as a link to /dev/null.
func (u *Units) listeners(name string, found map[string]*files) ([]systemd.Listener, error) {
	prefix, instance, isInstance := strings.Cut(strings.TrimSuffix(name, ".socket"), "@")
	var paths []string
	add := func(f *files) {
		if f == nil {
			return
		}
		if len(paths) == 0 && f.unit != "" {
			paths = append(paths, f.unit)
		}
		for _, d := range slices.Sorted(maps.Keys(f.dropIns)) {
			paths = append(paths, f.dropIns[d])
		}
	}
	if isInstance {
		if instance == "" {
			return nil, nil
		}
		if f := found[name]; f != nil && f.unit != "" {
			paths = append(paths, f.unit)
		}
		add(found[prefix+"@.socket"])
	}
	add(found[name])
	if len(paths) == 0 || filepath.Ext(paths[0]) != ".socket" {
		return nil, nil // drop-ins alone
	}
	if to, err := os.Readlink(paths[0]); err == nil {
		if to == os.DevNull || filepath.Ext(to) == ".socket" && filepath.Base(to) != filepath.Base(paths[0]) {
			return nil, nil
		}
	}
	var texts [][]byte
	for _, path := range paths {
		text, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) && filepath.Ext(path) == ".socket" {
			return nil, nil // its package was removed, the link was not
		}
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	all, err := systemd.Listeners(instance, texts...)
	if err != nil {
		return nil, fmt.Errorf("the unit %s: %w", name, err)
	}
	return all, nil
}

// maxFile bounds a unit's file.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err == nil && len(text) == maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return text, err
}
