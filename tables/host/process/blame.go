package process

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"
)

// Blame says whose an error is that came of reading a file of a process, a thread
// or a network namespace that is somebody else's.
type Blame int

// The blames.
const (
	// Nobody is to blame: there is no error.
	Nobody Blame = iota
	// Gone means that what was read has ended meanwhile. Nothing is missing.
	Gone
	// Theirs means that this one file cannot be read, whoever made it so: what it
	// would tell is absent, and the rest of the answer is right.
	Theirs
	// Ours means that this program lacks something, or that the query has ended.
	// More than this one file may be missing, so that the query fails.
	Ours
)

// ours are the errors of a program that lacks files, memory or a disk.
var ours = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EIO,
	context.Canceled, context.DeadlineExceeded,
}

// BlameFor returns whose an error is.
func BlameFor(err error) Blame {
	switch {
	case err == nil:
		return Nobody
	case slices.ContainsFunc(ours, func(e error) bool { return errors.Is(err, e) }):
		return Ours
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH):
		return Gone
	}
	return Theirs
}
