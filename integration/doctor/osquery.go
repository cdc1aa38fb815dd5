package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

const (
	osqueryFlags  = "/etc/osquery/osquery.flags"
	defaultList   = "/etc/osquery/extensions.load"
	defaultSocket = "/var/osquery/osquery.em"
	extensionName = "sockets.ext"

	// maxFile bounds the files of osquery that are read, in bytes.
	maxFile = 1 << 20
)

// daemons are where osqueryd is installed by osquery's and others' packages.
var daemons = []string{"/opt/osquery/bin/osqueryd", "/usr/bin/osqueryd", "/usr/local/bin/osqueryd", "/opt/orbit/bin/osqueryd/linux/stable/osqueryd"}

// core is what is known of the osquery of the host.
type core struct {
	present bool // its program is there, or runs
	running int  // osqueryd's process, 0 if none
	flags   map[string]string
	loads   bool // its list has this extension
}

// osquery looks for osqueryd and its flags.
func (e *examination) osquery(running int) core {
	c := core{running: running, flags: make(map[string]string)}
	installed := ""
	for _, path := range daemons {
		if _, err := os.Stat(e.at(path)); err == nil {
			installed = path
			break
		}
	}
	c.present = installed != "" || running != 0
	switch {
	case running != 0:
		e.add("osquery", OK, fmt.Sprintf("osqueryd runs as process %d", running), "")
	case installed != "":
		e.add("osquery", Warning, installed+" is installed and does not run", "start it: sudo systemctl start osqueryd")
	default:
		e.add("osquery", Warning, "osqueryd is in none of "+strings.Join(daemons, ", ")+"; the commands of this program work without it", "install osquery (https://osquery.io/downloads) to have the tables there")
	}
	b, err := regular.ReadFile(e.at(osqueryFlags), maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.add("osquery", Warning, "osquery's flags cannot be read: "+err.Error(), "run the doctor as root")
	}
	for line := range strings.Lines(string(b)) {
		if flag, ok := strings.CutPrefix(strings.TrimSpace(line), "--"); ok {
			name, value, given := strings.Cut(flag, "=")
			if !given {
				value = "true"
			}
			c.flags[name] = value
		}
	}
	if c.is("disable_extensions") {
		e.add("osquery", Broken, osqueryFlags+" has --disable_extensions", "take that line out and restart osqueryd")
	}
	return c
}

// is reports whether a switch of osquery is on.
func (c core) is(name string) bool {
	return c.flags[name] == "true" || c.flags[name] == "1"
}

// extensions looks at the list of what osqueryd loads, and at our lines in it.
func (e *examination) extensions(c *core) {
	list := c.flags["extensions_autoload"]
	if list == "" {
		list = defaultList
	}
	b, err := regular.ReadFile(e.at(list), maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.add("extensions", Broken, "osqueryd's list of extensions cannot be read: "+err.Error(), "make it a file that osqueryd can read: sudo chmod 0644 "+list)
		return
	}
	var ours []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if filepath.Base(line) == extensionName || e.isProgram(e.at(line)) {
			ours = append(ours, line)
		}
	}
	c.loads = len(ours) > 0
	unsafe := c.is("allow_unsafe")
	if !c.loads {
		state := Warning
		if c.present {
			state = Broken
		}
		e.add("extensions", state, "osqueryd does not load the extension: "+list+" has no line of it", "echo "+e.Program+" | sudo tee -a "+list+", and restart osqueryd")
		if refused(e.Program, unsafe, func(found, cure string) { e.add("extension", Warning, found, cure) }) == 0 {
			e.add("extension", OK, e.Program+" is as osqueryd wants it", "")
		}
		return
	}
	if len(ours) > 1 {
		e.add("extensions", Broken, fmt.Sprintf("%s has the extension %d times: %s; osquery takes the first that registers", list, len(ours), strings.Join(ours, ", ")), "take all but one of these lines out and restart osqueryd")
	} else {
		e.add("extensions", OK, list+" has "+ours[0], "")
	}
	for _, path := range ours {
		if refused(e.at(path), unsafe, func(found, cure string) { e.add("extension", Broken, found, cure) }) == 0 {
			e.add("extension", OK, path+" is as osqueryd wants it", "")
		}
	}
}

func (e *examination) isProgram(path string) bool {
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := os.Stat(e.Program)
	return err == nil && os.SameFile(a, b)
}

// refused reports each condition of osquery for an extension that a file does not
// meet, and returns their number (isFileSafe in osquery/extensions/extensions.cpp,
// safePermissions in osquery/filesystem/filesystem.cpp). Unsafe is osquery's
// --allow_unsafe, with which it wants less.
func refused(path string, unsafe bool, report func(found, cure string)) (n int) {
	fail := func(found, cure string) {
		n++
		report("osqueryd refuses "+path+": "+found, cure)
	}
	info, err := os.Stat(path)
	if err != nil {
		fail(err.Error(), "install the extension there, or correct the path in the list of extensions")
		return n
	}
	if info.IsDir() {
		fail("it is a directory", "name the file in it")
		return n
	}
	if filepath.Ext(path) != ".ext" {
		fail("its name does not end in .ext", "rename it to "+extensionName)
	}
	if unsafe {
		return n
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || dir.Mode()&fs.ModeSticky != 0 {
		fail("its directory has the sticky bit, as /tmp has", "move it to /usr/lib/osquery-sockets")
	}
	if file, err := os.Open(path); err != nil {
		fail(err.Error(), "run the doctor as osqueryd's user, root, to see whether that may read it")
	} else {
		file.Close()
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 && owner != uint32(os.Geteuid()) {
		fail(fmt.Sprintf("it belongs to user %d", owner), "sudo chown root:root "+path)
	}
	mode := info.Mode().Perm()
	if mode&0o100 == 0 {
		fail(fmt.Sprintf("its owner may not execute it: its mode is %04o", mode), "sudo chmod 0755 "+path)
	}
	if mode&0o002 != 0 {
		fail(fmt.Sprintf("everybody may write to it: its mode is %04o", mode), "sudo chmod 0755 "+path)
	}
	return n
}

// socket asks osquery.
func (e *examination) socket(ctx context.Context, c core) {
	path, given := e.Socket, e.Socket != ""
	if !given {
		if path = c.flags["extensions_socket"]; path == "" {
			path = defaultSocket
		}
		path = e.at(path)
	}
	found, err := osquery.Look(ctx, path, Timeout)
	if err != nil {
		state, cure := Broken, "look into osqueryd's log, and restart it: sudo systemctl restart osqueryd"
		what := err.Error()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			what, cure = "there is no socket "+path, "start osqueryd, or give the path of its --extensions_socket by --socket"
			if !given && c.running == 0 {
				state = Warning
			}
		case errors.Is(err, fs.ErrPermission):
			what, cure = path+" is not for this user: "+err.Error(), "run the doctor as root"
			state = Warning
		case errors.Is(err, syscall.ECONNREFUSED):
			what, cure = "nobody listens at "+path+": the osquery that made it has ended", "restart osqueryd: sudo systemctl restart osqueryd"
		}
		e.add("socket", state, what, cure)
		return
	}
	version := found.Version
	if version == "" {
		version = "of unknown version"
	}
	e.add("socket", OK, fmt.Sprintf("osquery %s answers at %s", version, path), "")
	for name, version := range found.Extensions {
		if !strings.HasSuffix(name, "sockets") { // behind a --table-prefix
			continue
		}
		if version != e.Version {
			e.add("registration", Warning, fmt.Sprintf("osquery has the extension %s of version %s, and this is version %s", name, version, e.Version), "restart osqueryd to have the installed version")
		} else {
			e.add("registration", OK, "osquery has the extension "+name+" "+version, "")
		}
		return
	}
	state := Warning
	if c.loads {
		state = Broken
	}
	e.add("registration", state, "osquery does not have the extension, and so none of its tables", "see why by starting it: sudo "+e.Program+" --verbose --socket "+path)
}
