//go:build !linux

package netns

import (
	"errors"
	"os"
)

func fileInode(string) uint32 { return 0 }

// thread is there on Linux only, as network namespaces are.
type thread struct{ calls chan func() }

func (t *thread) do(func()) {}

func (h *Handle) enter() (*thread, error) { return nil, ErrClosed }

// File fails: there is no such file.
func (h *Handle) File() (*os.File, error) { return nil, errors.ErrUnsupported }
