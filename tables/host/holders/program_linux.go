package holders

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/parser/btf"
)

// program is a BPF program that lists files, before it is loaded.
type program struct {
	attach uint32 // number in the kernel's BTF of what it is called by
	code   []byte
}

// recordSize is what the program writes for each socket: inode uint64, pid and fd
// uint32.
const recordSize = 16

// taskFilesProgram returns the program that the kernel runs for each file of each
// task (Linux 5.8). Of files that threads share the kernel shows those of the first
// one of their process; others, which a thread keeps apart (unshare(CLONE_FILES)), are
// its process's too. It reads, and writes a record for each socket:
//
//	int holders(struct bpf_iter__task_file *ctx)
//	{
//		if (!ctx->task || !ctx->file)
//			return 0;
//		struct inode *inode = ctx->file->f_inode;
//		if ((inode->i_mode & S_IFMT) != S_IFSOCK)
//			return 0;
//		struct record r = { inode->i_ino, ctx->task->tgid, ctx->fd };
//		bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
//		return 0;
//	}
//
// It is put together here, and not compiled before, since where members are differs
// from kernel to kernel: to find the few that are used takes 2 ms, to load an object
// file by github.com/cilium/ebpf 25.
func taskFilesProgram() (program, error) {
	const (
		context = "bpf_iter__task_file"
		called  = "bpf_iter_task_file"
	)
	raw, release, err := kernelTypes()
	if err != nil {
		return program{}, err
	}
	defer release()
	types, err := btf.Parse(raw, binary.NativeEndian, called, context, "bpf_iter_meta", "task_struct", "file", "inode")
	if err != nil {
		return program{}, err
	}
	attach, failed := types.Func(called)
	member := func(structure, name string) btf.Member {
		m, err := types.Member(structure, name)
		if _, ok := sizes[m.Size]; err == nil && (!ok || m.Offset > math.MaxInt16) {
			err = fmt.Errorf("%s of struct %s, %d bytes at %d, is out of reach: %w", name, structure, m.Size, m.Offset, errors.ErrUnsupported)
		}
		failed = cmp.Or(failed, err)
		return m
	}
	const inode, pid, fd = -recordSize, -recordSize + 8, -recordSize + 12 // in the stack
	code := []instruction{
		move(r6, r1),
		load(r7, r6, member(context, "task")),
		endIf(r7, 0),
		load(r8, r6, member(context, "file")),
		endIf(r8, 0),
		load(r1, r8, member("file", "f_inode")),
		load(r2, r1, member("inode", "i_mode")),
		and(r2, unix.S_IFMT),
		endUnless(r2, unix.S_IFSOCK),
		load(r2, r1, member("inode", "i_ino")),
		store(inode, r2, 8),
		load(r2, r7, member("task_struct", "tgid")),
		store(pid, r2, 4),
		load(r2, r6, member(context, "fd")),
		store(fd, r2, 4),
		load(r1, r6, member(context, "meta")),
		load(r1, r1, member("bpf_iter_meta", "seq")),
		move(r2, r10),
		add(r2, inode),
		set(r3, recordSize),
		call(seqWrite),
	}
	if failed != nil {
		return program{}, failed
	}
	return program{attach, assemble(code)}, nil
}

// kernelTypes returns the BTF of the kernel that runs, which is valid until release.
func kernelTypes() (b []byte, release func(), err error) {
	const path = "/sys/kernel/btf/vmlinux"
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		// Linux 6.16 and later map it.
		if b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE); err == nil {
			return b, func() { unix.Munmap(b) }, nil
		}
	}
	b, err = os.ReadFile(path)
	return b, func() {}, err
}

// openIterator loads the program and opens what it writes. Nothing stays when the
// file is closed.
func openIterator(p program) (*os.File, error) {
	var loaded int
	if err := withLockedMemory(func() (err error) {
		loaded, err = p.load()
		return err
	}); err != nil {
		return nil, fmt.Errorf("load the BPF program: %w", err)
	}
	defer unix.Close(loaded)
	link, err := bpf(unix.BPF_LINK_CREATE, &struct{ program, target, kind, flags uint32 }{program: uint32(loaded), kind: unix.BPF_TRACE_ITER})
	if err != nil {
		return nil, fmt.Errorf("link the BPF iterator: %w", err)
	}
	defer unix.Close(link)
	iterator, err := bpf(unix.BPF_ITER_CREATE, &struct{ link, flags uint32 }{link: uint32(link)})
	if err != nil {
		return nil, fmt.Errorf("make the BPF iterator: %w", err)
	}
	return os.NewFile(uintptr(iterator), "bpf_iter"), nil
}

// load loads the program and returns its file descriptor.
func (p *program) load() (fd int, err error) {
	// Only GPL-compatible programs may call bpf_seq_write.
	license := []byte("Dual MIT/GPL\x00")
	var pins runtime.Pinner
	defer pins.Unpin()
	address := func(b []byte) uint64 {
		pins.Pin(&b[0])
		return uint64(uintptr(unsafe.Pointer(&b[0])))
	}
	attributes := loadAttributes{
		kind: unix.BPF_PROG_TYPE_TRACING, attachKind: unix.BPF_TRACE_ITER, attachID: p.attach,
		count: uint32(len(p.code) / instructionSize), code: address(p.code), license: address(license),
	}
	copy(attributes.name[:], "holders")
	return bpf(unix.BPF_PROG_LOAD, &attributes)
}

// loadAttributes is what union bpf_attr has for BPF_PROG_LOAD,
// include/uapi/linux/bpf.h.
type loadAttributes struct {
	kind, count   uint32
	code, license uint64
	_             [4]uint32 // of the verifier's log
	_             [2]uint32
	name          [16]byte
	_             uint32
	attachKind    uint32
	_             [9]uint32 // of debug information
	attachID      uint32
}

// maxTries bounds how often a call is made again after a signal.
const maxTries = 10

// bpf calls bpf(2), which returns a file descriptor that is closed on exec.
func bpf[T any](command int, attributes *T) (fd int, err error) {
	for try := 1; ; try++ {
		n, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(unsafe.Pointer(attributes)), unsafe.Sizeof(*attributes))
		if errno == 0 {
			return int(n), nil
		}
		// The kernel gives a verification up when a signal comes, as Go's own do.
		if errno != unix.EAGAIN && errno != unix.EINTR || try == maxTries {
			return -1, errno
		}
	}
}
