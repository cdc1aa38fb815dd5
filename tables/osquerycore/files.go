package osquerycore

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// place is a path that a statement asks for, and the directory that it has in its row:
// where the statement names a directory, that as it is written.
type place struct{ path, directory string }

func (p *place) id() int64 { return sock.Hash(0).Text(p.path).Text(p.directory).ID() }

// filename is the last part of the path; . behind a slash, as in osquery.
func (p *place) filename() string {
	switch {
	case p.path == "/":
		return "/"
	case strings.HasSuffix(p.path, "/"):
		return "."
	}
	return p.path[strings.LastIndexByte(p.path, '/')+1:]
}

// parent is the path of the directory, as osquery cuts a path.
func parent(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i == 0 && path != "/" {
		return "/"
	}
	return path[:max(i, 0)]
}

// maxDepth bounds the directories in one another that %% goes through.
const maxDepth = 64

// where are the columns that say which files a table shows.
type where[R any] struct {
	table           string
	path, directory *schema.Column[R, string]
}

func newWhere[R any](table string, of func(*R) *place) where[R] {
	return where[R]{
		table:     table,
		path:      schema.NotNull("path", "Path of the file, absolute. With LIKE % stands for a part of one name that does not begin with a dot, and %% at the end also for all that is below; a directory then ends with a slash.", func(r *R) string { return of(r).path }, schema.Required),
		directory: schema.NotNull("directory", "Directory of the file, as the statement has it. A statement has to compare path or directory with =, IN or LIKE.", func(r *R) string { return of(r).directory }, schema.Required),
	}
}

// places streams the places that a query asks for, each once.
func (w where[R]) places(ctx context.Context, q schema.Query) iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		paths, patterns := w.path.Asked(q)
		directories, parents := w.directory.Asked(q)
		if len(paths)+len(patterns)+len(directories)+len(parents) == 0 {
			yield(place{}, fmt.Errorf("it shows the files that a statement asks for: compare path or directory with =, IN or LIKE, such as SELECT * FROM %s WHERE path LIKE '/etc/%%'", w.table))
			return
		}
		seen := make(map[place]bool)
		stopped := false
		visit := func(p place) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !seen[p] {
				seen[p] = true
				stopped = !yield(p, nil)
			}
			if stopped {
				return errStopped
			}
			return nil
		}
		byPath := func(path string) error { return visit(place{path, parent(path)}) }
		inside := func(directory string) error {
			names, err := list(directory)
			if err != nil {
				return err
			}
			for _, name := range names {
				if err := visit(place{strings.TrimSuffix(directory, "/") + "/" + name, directory}); err != nil {
					return err
				}
			}
			return nil
		}
		err := func() error {
			for _, path := range paths {
				if err := byPath(path); err != nil {
					return err
				}
			}
			for _, pattern := range patterns {
				if err := expand(pattern, byPath); err != nil {
					return err
				}
			}
			for _, directory := range directories {
				if err := inside(directory); err != nil {
					return err
				}
			}
			for _, pattern := range parents {
				err := expand(pattern, func(path string) error {
					if !strings.HasSuffix(path, "/") {
						return nil
					}
					return inside(path)
				})
				if err != nil {
					return err
				}
			}
			return nil
		}()
		if err != nil && !stopped {
			yield(place{}, err)
		}
	}
}

// errStopped ends a walk whose rows nobody wants any more.
var errStopped = errors.New("stopped")

// list returns the names in a directory, sorted; none of one that cannot be read.
func list(directory string) ([]string, error) {
	if !strings.HasPrefix(directory, "/") {
		return nil, nil
	}
	d, err := regular.OpenDir(directory)
	if err != nil {
		return nil, ours(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, ours(err)
}

// expand visits the paths that a pattern of LIKE stands for. A directory has a slash
// behind it.
func expand(pattern string, visit func(path string) error) error {
	if !strings.HasPrefix(pattern, "/") {
		return nil // as osquery, but for its working directory
	}
	below := strings.HasSuffix(pattern, "%%")
	parts := strings.Split(strings.TrimLeft(pattern, "/"), "/")
	visited := make(map[[2]uint64]bool) // by %%
	return expandParts("/", parts, func(path string) error {
		if isDir(path) && !strings.HasSuffix(path, "/") {
			path += "/"
		}
		if err := visit(path); err != nil || !below || !strings.HasSuffix(path, "/") {
			return err
		}
		return descend(path, maxDepth, visited, visit)
	})
}

// expandParts visits what the parts of a pattern stand for in a directory.
func expandParts(directory string, parts []string, visit func(path string) error) error {
	part, rest := parts[0], parts[1:]
	next := func(name string) error {
		path := directory + name
		if len(rest) == 0 {
			if _, err := os.Lstat(path); err != nil {
				return ours(err)
			}
			return visit(path)
		}
		return expandParts(path+"/", rest, visit)
	}
	if !strings.ContainsAny(part, "%_") {
		return next(part)
	}
	names, err := list(directory)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, ".") != strings.HasPrefix(part, ".") || !schema.Like(part, name) {
			continue
		}
		if err := next(name); err != nil {
			return err
		}
	}
	return nil
}

// descend visits all that is below a directory. Links to directories are followed, and
// each directory is visited once.
func descend(directory string, depth int, visited map[[2]uint64]bool, visit func(path string) error) error {
	var s unix.Stat_t
	if err := unix.Stat(directory, &s); err != nil || depth == 0 {
		return ours(err)
	}
	if id := [2]uint64{uint64(s.Dev), s.Ino}; !visited[id] {
		visited[id] = true
	} else {
		return nil
	}
	names, err := list(directory)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := directory + name
		if isDir(path) {
			path += "/"
		}
		if err := visit(path); err != nil {
			return err
		}
		if strings.HasSuffix(path, "/") {
			if err := descend(path, depth-1, visited, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// fileRow is a row of file.
type fileRow struct {
	place
	stat      unix.Stat_t
	reachable bool // a file is at the end of the links
	link      bool
	target    string
}

// fileTypes are osquery's words.
var fileTypes = map[uint32]string{
	unix.S_IFREG: "regular", unix.S_IFDIR: "directory", unix.S_IFBLK: "block", unix.S_IFCHR: "character", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket",
}

// read looks at the file. It is not ok if there is none.
func (r *fileRow) read() (ok bool, err error) {
	if err := unix.Lstat(r.path, &r.stat); err != nil {
		return false, ours(err)
	}
	if r.reachable = true; uint32(r.stat.Mode)&unix.S_IFMT == unix.S_IFLNK {
		r.link = true
		if r.target, err = os.Readlink(r.path); err != nil {
			return false, ours(err)
		}
		var at unix.Stat_t
		if err := unix.Stat(r.path, &at); err != nil {
			r.reachable = false
		} else {
			r.stat = at
		}
	}
	return true, nil
}

func files(*machine) schema.Table {
	w := newWhere("file", func(r *fileRow) *place { return &r.place })
	number := func(name, doc string, get func(*unix.Stat_t) int64) schema.AnyColumn[fileRow] {
		return schema.NotNull(name, doc, func(r *fileRow) int64 { return get(&r.stat) })
	}
	return schema.Bind(schema.TableDef[fileRow]{
		Name: "file",
		Doc:  "osquery's table of files of this host. Of a symbolic link it shows the file at its end, if there is one. Names are matched with case, and * ? [ and { are no wildcards; the names . and .. match no pattern.",
		Examples: []string{
			"SELECT path, mode, uid FROM file WHERE path = '/etc/passwd'",
			"SELECT path, size FROM file WHERE path LIKE '/etc/%' AND type = 'regular'",
		},
		Columns: []schema.AnyColumn[fileRow]{
			w.path, w.directory,
			schema.NotNull("filename", "Name of the file; . if the path ends with a slash.", func(r *fileRow) string { return r.filename() }),
			number("inode", "Inode.", func(s *unix.Stat_t) int64 { return int64(s.Ino) }),
			number("uid", "Owner.", func(s *unix.Stat_t) int64 { return int64(s.Uid) }),
			number("gid", "Group.", func(s *unix.Stat_t) int64 { return int64(s.Gid) }),
			schema.NotNull("mode", "Permissions, four octal digits.", func(r *fileRow) string { return fmt.Sprintf("%04o", uint32(r.stat.Mode)&0o7777) }),
			number("device", "Number of the device that the file is; 0 of others.", func(s *unix.Stat_t) int64 { return int64(s.Rdev) }),
			number("size", "Size, bytes.", func(s *unix.Stat_t) int64 { return s.Size }),
			schema.NotNull("block_size", "Block size of the filesystem, bytes.", func(r *fileRow) int32 { return int32(r.stat.Blksize) }),
			number("atime", "Last access, seconds since 1970.", func(s *unix.Stat_t) int64 { return int64(s.Atim.Sec) }),
			number("mtime", "Last change of the content, seconds since 1970.", func(s *unix.Stat_t) int64 { return int64(s.Mtim.Sec) }),
			number("ctime", "Last change of the inode, seconds since 1970.", func(s *unix.Stat_t) int64 { return int64(s.Ctim.Sec) }),
			number("btime", "0, as in osquery on Linux.", func(*unix.Stat_t) int64 { return 0 }),
			schema.NotNull("hard_links", "Number of hard links.", func(r *fileRow) int32 { return int32(r.stat.Nlink) }),
			schema.NotNull("symlink", "1 if the path is a symbolic link, else 0.", func(r *fileRow) bool { return r.link }),
			schema.NotNull("type", "regular, directory, block, character, fifo, socket; unknown of a link to nothing.", func(r *fileRow) string {
				if word := fileTypes[uint32(r.stat.Mode)&unix.S_IFMT]; word != "" && r.reachable {
					return word
				}
				return "unknown"
			}),
			schema.NotNull("symlink_target_path", "What the link leads to. Empty if the path is no link.", func(r *fileRow) string { return r.target }),
		},
		RowID: func(r *fileRow) int64 { return r.id() },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[fileRow, error] {
			return func(yield func(fileRow, error) bool) {
				for p, err := range w.places(ctx, q) {
					r, ok := fileRow{place: p}, false
					if err == nil {
						ok, err = r.read()
					}
					if err == nil && !ok {
						continue
					}
					if !yield(r, err) || err != nil {
						return
					}
				}
			}
		},
	})
}

// hashRow is a row of hash: the sums are empty if the file cannot be read.
type hashRow struct {
	place
	md5, sha1, sha256 string
}

// needSums are the sums of a file.
const needSums schema.Need = 1

func hashes(*machine) schema.Table {
	w := newWhere("hash", func(r *hashRow) *place { return &r.place })
	sum := func(name, doc string, get func(*hashRow) string) schema.AnyColumn[hashRow] {
		return schema.NotNull(name, doc+" Empty if the file cannot be read.", get, schema.Needs(needSums))
	}
	return schema.Bind(schema.TableDef[hashRow]{
		Name: "hash",
		Doc:  "osquery's table of the sums of regular files of this host, and of those to which links lead.",
		Examples: []string{
			"SELECT path, sha256 FROM hash WHERE path = '/etc/passwd'",
			"SELECT DISTINCT p.pid, p.path, h.sha256 FROM listening_ports l JOIN processes p USING (pid) JOIN hash h ON h.path = p.path",
		},
		Columns: []schema.AnyColumn[hashRow]{
			w.path, w.directory,
			sum("md5", "MD5 in hexadecimal.", func(r *hashRow) string { return r.md5 }),
			sum("sha1", "SHA-1 in hexadecimal.", func(r *hashRow) string { return r.sha1 }),
			sum("sha256", "SHA-256 in hexadecimal.", func(r *hashRow) string { return r.sha256 }),
		},
		RowID: func(r *hashRow) int64 { return r.id() },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[hashRow, error] {
			return func(yield func(hashRow, error) bool) {
				for p, err := range w.places(ctx, q) {
					r := hashRow{place: p}
					if err == nil {
						if info, e := os.Stat(p.path); e != nil || !info.Mode().IsRegular() || !filepath.IsAbs(p.path) {
							continue
						}
						if q.Needs(needSums) {
							err = r.sum(ctx)
						}
					}
					if !yield(r, err) || err != nil {
						return
					}
				}
			}
		},
	})
}

// sum reads the file.
func (r *hashRow) sum(ctx context.Context) error {
	file, err := regular.Open(r.path)
	if err != nil {
		return ours(err)
	}
	defer file.Close()
	sums := []hash.Hash{md5.New(), sha1.New(), sha256.New()}
	to := io.MultiWriter(sums[0], sums[1], sums[2])
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(to, file, 1<<20); err == io.EOF {
			break
		} else if err != nil {
			return ours(err)
		}
	}
	for i, word := range []*string{&r.md5, &r.sha1, &r.sha256} {
		*word = hex.EncodeToString(sums[i].Sum(nil))
	}
	return nil
}
