package names

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/iproute"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// DefaultIPRoute are the directories in which iproute2 looks for its files: the
// administrator's, and those of distributions, which newer and older versions of
// iproute2 have in different places.
var DefaultIPRoute = []string{"/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"}

// Tables maps numbers of routing tables to their names.
type Tables map[uint32]string

// Name returns the table's name as ip-route(8) prints it: that of the last line with
// its number, else the one that it has everywhere, else "".
func (t Tables) Name(table uint32) string {
	if name, ok := t[table]; ok && table != 0 { // which is no table
		return name
	}
	return network.TableName(table)
}

// TableNames returns the names of the files rt_tables and rt_tables.d/*.conf of
// iproute2. A file in an earlier directory takes the place of its namesakes in later
// ones. A file that may not be read names nothing, as for ip-route(8), and is logged.
func (f *Files) TableNames(ctx context.Context) (Tables, error) {
	var paths []string
	dropIns := make(map[string]string) // by their names
	for _, dir := range f.iproute {
		path := filepath.Join(dir, "rt_tables")
		if _, err := os.Stat(path); err == nil && paths == nil {
			paths = []string{path}
		}
		entries, err := os.ReadDir(path + ".d")
		if process.BlameFor(err) == process.Ours {
			return nil, fmt.Errorf("the names of routing tables: %w", err)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.log.Warn("a directory of names of routing tables cannot be read", "error", err)
		}
		for _, e := range entries {
			if name := e.Name(); strings.HasSuffix(name, ".conf") && !strings.HasPrefix(name, ".") && dropIns[name] == "" {
				dropIns[name] = filepath.Join(path+".d", name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(dropIns)) {
		paths = append(paths, dropIns[name])
	}
	names := make(Tables)
	for _, path := range paths {
		if err := names.read(path, f.log); process.BlameFor(err) == process.Ours {
			return nil, fmt.Errorf("the names of routing tables: %w", err)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.log.Warn("a file of names of routing tables cannot be read", "file", path, "error", err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// read adds the names of a file.
func (t Tables) read(path string, log hclog.Logger) error {
	file, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for e, err := range iproute.Decode(file, func(e *parser.LineError) {
		log.Debug("names of routing tables: a malformed line was skipped", "file", path, "error", e)
	}) {
		if err != nil {
			return err
		}
		t[e.Number] = e.Name
	}
	return nil
}
