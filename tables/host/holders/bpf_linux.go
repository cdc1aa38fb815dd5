package holders

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// initialPIDNamespace is the one in which the kernel numbers processes for us
// (PROC_PID_INIT_INO, include/linux/proc_ns.h).
const initialPIDNamespace = "pid:[4026531836]"

// taskFiles calls visit for each socket among the files of all tasks, which the
// kernel's BPF iterator lists. It needs Linux 5.8 with BTF and CAP_BPF and
// CAP_PERFMON, as root has them, and leaves nothing behind in the kernel.
func taskFiles(ctx context.Context, visit func(Holder)) error {
	if ns, err := os.Readlink("/proc/self/ns/pid"); err != nil || ns != initialPIDNamespace {
		return fmt.Errorf("this process is in a PID namespace, and the iterator is not: %w", errors.ErrUnsupported)
	}
	if !mayLoad() {
		return unix.EPERM // without the work of loading
	}
	program, err := taskFilesProgram()
	if err != nil {
		return err
	}
	files, err := openIterator(program)
	if err != nil {
		return err
	}
	defer files.Close()
	return records(ctx, files, visit)
}

// records reads what the iterator's program writes for each socket.
func records(ctx context.Context, files io.Reader, visit func(Holder)) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := files.Read(buf)
		// After a million files without a socket among them the kernel wants to be
		// asked again, and goes on from there (bpf_seq_read, kernel/bpf/bpf_iter.c).
		if errors.Is(err, unix.EAGAIN) {
			err = nil
		}
		if n%recordSize != 0 {
			return fmt.Errorf("a read of %d bytes is no number of records", n)
		}
		for b := buf[:n]; len(b) > 0; b = b[recordSize:] {
			visit(Holder{
				Inode: binary.NativeEndian.Uint64(b),
				PID:   int32(binary.NativeEndian.Uint32(b[8:])),
				FD:    int32(binary.NativeEndian.Uint32(b[12:])),
			})
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
}

// withLockedMemory calls load and, if that is not permitted, once more with the
// largest limit of locked memory that is: kernels before 5.11 count programs as
// such.
func withLockedMemory(load func() error) error {
	err := load()
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) != nil || limit.Cur == unix.RLIM_INFINITY {
		return err
	}
	if unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}) != nil {
		if limit.Cur == limit.Max || unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit.Max, Max: limit.Max}) != nil {
			return err
		}
	}
	return load()
}

// mayLoad reports whether the kernel lets this thread load the iterator: with
// CAP_BPF and CAP_PERFMON, or with CAP_SYS_ADMIN alone.
func mayLoad() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // the second has the capabilities from 32 on
	if unix.Capget(&header, &data[0]) != nil {
		return true // the kernel decides
	}
	has := func(capability uint) bool { return data[capability/32].Effective>>(capability%32)&1 != 0 }
	return has(unix.CAP_SYS_ADMIN) || has(unix.CAP_BPF) && has(unix.CAP_PERFMON)
}
