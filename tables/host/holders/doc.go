// Package holders finds who has sockets open: the inode of each socket, the
// process and the file descriptor.
//
//	finder := holders.New("/proc", uses, log)
//	all, err := finder.Find(ctx, holders.Filter{})
//	one, err := finder.Find(ctx, holders.Filter{Inodes: []uint64{4242}, Lowest: true})
//
// There are two ways, which find the same:
//
//	Find -> walk      goroutines that read the links /proc/PID/fd/N     walk.go, files_linux.go
//	     -> iterate   the kernel's BPF iterator over all tasks' files   bpf_linux.go, program_linux.go
//
// The walk works everywhere. The iterator takes about 5 ms to load and is then the
// faster one; it needs Linux 5.8 with BTF and root, and does not run in a PID
// namespace. Find walks where few files are open on the host or only some
// processes are asked about, else it iterates. Where the walk is denied some
// processes it iterates as well, and the next time at once. An iterator that the
// kernel refuses is not tried again; one that fails for want of memory or files is.
//
// Holders of a whole host may be many. Both ways collect them in a few bytes each
// (collected.go) and make the sorted answer once.
package holders
