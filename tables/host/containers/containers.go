// Package containers names the containers of a host by the files that their runtimes
// keep. It asks no daemon.
//
//	names := containers.New("/")
//	c, err := names.Of("4b1f0c0d…")
//
// The files are those of the runtimes' default directories:
//
//	/var/lib/docker/containers/ID/config.v2.json                      Docker
//	/run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json   containerd in Kubernetes
//	/var/lib/containers/storage/overlay-containers/containers.json    Podman of root, CRI-O
//
// Containers of a user without root, and those of other directories, have no name
// here.
package containers

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/osquery-sockets/osquery-sockets/parser/container"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// Names finds containers by their identities, and reads each file once. It is for
// one query in one goroutine.
type Names struct {
	root   string
	stored map[string]container.Container // nil until it is read
	at     map[netip.Addr]string          // containers of Docker by address, nil until they are read
}

// New returns the containers of the host whose root directory is root.
func New(root string) *Names { return &Names{root: root} }

// maxFile bounds a file of a runtime.
const maxFile = 64 << 20

// read reads a file of a runtime, nothing if it is missing.
func (n *Names) read(elements ...string) ([]byte, error) {
	path := filepath.Join(append([]string{n.root}, elements...)...)
	file, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err == nil && len(text) == maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return text, err
}

// dockerDir is where Docker keeps a directory for each container.
const dockerDir = "var/lib/docker/containers"

// At returns the running container of Docker that has an address in its networks,
// "" if there is none, or more than one. The error is as that of Of, of any
// container.
func (n *Names) At(a netip.Addr) (id string, c container.Container, err error) {
	if n.at == nil {
		n.at = make(map[netip.Addr]string)
		entries, err := os.ReadDir(filepath.Join(n.root, dockerDir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", c, err
		}
		for _, e := range entries {
			_, addresses, err := n.docker(e.Name())
			if err != nil {
				return "", c, err
			}
			for _, a := range addresses {
				if _, known := n.at[a]; known {
					n.at[a] = "" // whose it is, cannot be told
				} else {
					n.at[a] = e.Name()
				}
			}
		}
	}
	if id = n.at[a]; id == "" {
		return "", c, nil
	}
	c, err = n.Of(id)
	return id, c, err
}

// docker reads the file of a container of Docker, nothing if it is missing.
func (n *Names) docker(id string) (c container.Container, addresses []netip.Addr, err error) {
	text, err := n.read(dockerDir, id, "config.v2.json")
	if err != nil || text == nil {
		return c, nil, err
	}
	if c, addresses, err = container.Docker(text); err != nil {
		err = fmt.Errorf("the file of Docker's container %s: %w", id, err)
	}
	return c, addresses, err
}

// Of returns the container with that identity, of 64 hexadecimal digits; nothing if
// no runtime's file names it. The error is of a file that is there and cannot be
// read or decoded.
func (n *Names) Of(id string) (c container.Container, err error) {
	if b, err := hex.DecodeString(id); err != nil || len(b) != 32 {
		return c, nil // such as the name of an LXC container, which may be any
	}
	if c, _, err := n.docker(id); err != nil || c != (container.Container{}) {
		return c, err
	}
	text, err := n.read("run/containerd/io.containerd.runtime.v2.task/k8s.io", id, "config.json")
	if err == nil && text != nil {
		if c, err = container.Bundle(text); err != nil {
			err = fmt.Errorf("the file of containerd's container %s: %w", id, err)
		}
	}
	if err != nil || text != nil {
		return c, err
	}
	if n.stored == nil {
		n.stored = make(map[string]container.Container)
		const path = "var/lib/containers/storage/overlay-containers/containers.json"
		text, err = n.read(path)
		if err == nil && text != nil {
			stored, failed := container.Storage(text)
			if failed != nil {
				return c, fmt.Errorf("/%s: %w", path, failed)
			}
			n.stored = stored
		}
	}
	return n.stored[id], err
}
