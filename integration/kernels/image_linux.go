package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// suites are the releases of Debian that have the kernels, the newest first.
var suites = []string{"trixie", "bookworm"}

// debian gets Debian's kernels from its archive, with lists of packages of its
// own: the machine's apt is not changed. They stay unpacked in a directory.
type debian struct {
	dir     string
	updated bool
}

// image is an unpacked package linux-image-*.
type image struct {
	root    string // with boot and lib/modules
	release string // as uname -r prints it
}

func (i image) kernel() string  { return filepath.Join(i.root, "boot", "vmlinuz-"+i.release) }
func (i image) modules() string { return filepath.Join(i.root, "lib", "modules", i.release) }

// get returns the newest kernel of a release such as 6.12. One that is in the
// directory is taken as it is.
func (d *debian) get(ctx context.Context, release string) (image, error) {
	root := filepath.Join(d.dir, release)
	if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
		if err := d.unpack(ctx, release, root); err != nil {
			return image{}, err
		}
	}
	kernels, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return image{}, fmt.Errorf("%s has kernels %q, %w: remove it", root, kernels, err)
	}
	_, name, _ := strings.Cut(filepath.Base(kernels[0]), "-")
	return image{root: root, release: name}, nil
}

// unpack makes the directory root of a kernel of that release, whole or not at
// all.
func (d *debian) unpack(ctx context.Context, release, root string) error {
	if err := d.update(ctx); err != nil {
		return err
	}
	name, err := d.find(ctx, release)
	if err != nil {
		return err
	}
	fmt.Printf("%s: get %s\n", release, name)
	temp, err := os.MkdirTemp(d.dir, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if _, err := d.apt(ctx, temp, "apt-get", "download", name); err != nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(temp, "*.deb"))
	if err != nil || len(packages) != 1 {
		return fmt.Errorf("apt-get download %s: %q, %w", name, packages, err)
	}
	unpacked := filepath.Join(temp, "root")
	if _, err := output(exec.CommandContext(ctx, "dpkg-deb", "-x", packages[0], unpacked)); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(unpacked, "lib")); errors.Is(err, os.ErrNotExist) { // since trixie
		if err := os.Symlink("usr/lib", filepath.Join(unpacked, "lib")); err != nil {
			return err
		}
	}
	releases, err := os.ReadDir(filepath.Join(unpacked, "lib", "modules"))
	if err != nil || len(releases) != 1 {
		return fmt.Errorf("%s has modules of %v, %w", name, releases, err)
	}
	if _, err := output(exec.CommandContext(ctx, "depmod", "-b", unpacked, releases[0].Name())); err != nil {
		return err
	}
	return os.Rename(unpacked, root)
}

// update reads the lists of packages once.
func (d *debian) update(ctx context.Context) error {
	if d.updated {
		return nil
	}
	for _, dir := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(d.dir, "apt", dir), 0o755); err != nil {
			return err
		}
	}
	var sources []byte
	for _, suite := range suites {
		sources = fmt.Appendf(sources, "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian %s main\n", suite)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "apt", "sources.list"), sources, 0o644); err != nil {
		return err
	}
	if _, err := d.apt(ctx, d.dir, "apt-get", "update"); err != nil {
		return err
	}
	d.updated = true
	return nil
}

// find returns the name of the package that linux-image-amd64 means by that
// release.
func (d *debian) find(ctx context.Context, release string) (string, error) {
	out, err := d.apt(ctx, d.dir, "apt-cache", "show", "-a", "linux-image-amd64")
	if err != nil {
		return "", err
	}
	var versions []string
	for paragraph := range strings.SplitSeq(string(out), "\n\n") {
		fields := make(map[string]string)
		for line := range strings.Lines(paragraph) {
			if name, value, ok := strings.Cut(line, ":"); ok {
				fields[name] = strings.TrimSpace(value)
			}
		}
		if strings.HasPrefix(fields["Version"], release+".") {
			name, _, _ := strings.Cut(fields["Depends"], " ")
			return name, nil
		}
		versions = append(versions, fields["Version"])
	}
	return "", fmt.Errorf("no linux-image-amd64 of %[2]q in %[1]v of Debian", suites, versions)
}

// apt runs a program of apt in a directory.
func (d *debian) apt(ctx context.Context, dir, program string, args ...string) ([]byte, error) {
	own := filepath.Join(d.dir, "apt")
	cmd := exec.CommandContext(ctx, program, append([]string{"-q",
		"-o", "Dir::Etc::sourcelist=" + filepath.Join(own, "sources.list"), "-o", "Dir::Etc::sourceparts=/dev/null",
		"-o", "Dir::State::lists=" + filepath.Join(own, "lists"), "-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache=" + own,
		"-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-o", "APT::Update::Error-Mode=any"}, args...)...)
	cmd.Dir = dir
	return output(cmd)
}

// output runs a program and returns what it prints; an error has what it
// complains about.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	return out, nil
}

// bootModules are what the guest needs to reach its root.
var bootModules = []string{"virtio_pci", "9pnet_virtio", "9p", "overlay"}

// initrd writes the initial RAM disk: a program as /init, and modules in the
// order in which it loads them.
func (i image) initrd(ctx context.Context, init, path string) error {
	program, err := os.ReadFile(init)
	if err != nil {
		return err
	}
	files := []archived{{name: "init", mode: 0o100755, data: program}, {name: "modules", mode: 0o040755}}
	var modules []string
	for _, name := range bootModules {
		out, err := output(exec.CommandContext(ctx, "modprobe", "-d", i.root, "-S", i.release, "--show-depends", name))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(out)) {
			// "insmod PATH", or "builtin NAME".
			if f := strings.Fields(line); f[0] == "insmod" && !slices.Contains(modules, f[1]) {
				modules = append(modules, f[1])
			}
		}
	}
	for n, module := range modules {
		data, err := os.ReadFile(module)
		if filepath.Ext(module) == ".xz" {
			data, err = output(exec.CommandContext(ctx, "xz", "-dc", module))
		}
		if err != nil {
			return err
		}
		files = append(files, archived{name: fmt.Sprintf("modules/%02d", n), mode: 0o100644, data: data})
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return cmp.Or(archive(f, files), f.Close())
}

// archived is a file of an archive.
type archived struct {
	name string
	mode uint32 // with the type of file
	data []byte
}

// archive writes files in cpio's format "newc", see
// Documentation/driver-api/early-userspace/buffer-format.rst.
func archive(w io.Writer, files []archived) error {
	for n, f := range append(files, archived{name: "TRAILER!!!"}) {
		name := f.name + "\x00"
		var b bytes.Buffer
		// inode, mode, uid, gid, links, mtime, size, four of devices, the name's
		// length, no checksum.
		b.WriteString("070701")
		for _, field := range []uint32{uint32(n + 1), f.mode, 0, 0, 1, 0, uint32(len(f.data)), 0, 0, 0, 0, uint32(len(name)), 0} {
			fmt.Fprintf(&b, "%08X", field)
		}
		b.WriteString(name)
		b.Write(make([]byte, -b.Len()&3))
		b.Write(f.data)
		b.Write(make([]byte, -b.Len()&3))
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
