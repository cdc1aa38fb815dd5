package tables

import (
	"github.com/osquery-sockets/osquery-sockets/parser/container"
	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// processColumns are hidden columns that tell what a process is, in tables whose
// rows name one. realUser is the name of the column of its user: uid, unless that is
// the socket's. Each reads one file of the process when it is used.
func processColumns[R any](of func(*R) *process.Process, realUser string, options ...schema.Option) []schema.AnyColumn[R] {
	options = append([]schema.Option{schema.Hidden}, options...)
	id := func(get func(proc.Status) (uint32, bool)) func(*R) (uint32, bool) {
		return func(r *R) (uint32, bool) { return get(of(r).Status()) }
	}
	return []schema.AnyColumn[R]{
		schema.NotNull("comm", "Name of the process in the kernel: the first 15 bytes of its executable's name, unless the process has set another. osquery's table processes calls it name, ps calls it comm. Empty if there is no such process.",
			func(r *R) string { return of(r).Comm() }, options...),
		schema.Nullable("parent", "Parent of the process. NULL if /proc shows none, as for process 1, or if it is unknown.",
			func(r *R) (int32, bool) { s, ok := of(r).Stat(); return s.Parent, ok && s.Parent != 0 }, options...),
		schema.Nullable(realUser, "Real user of the process. NULL if unknown.",
			id(func(s proc.Status) (uint32, bool) { return s.UID, s.HasUsers }), options...),
		schema.Nullable("euid", "Effective user of the process, by which the kernel judges what it may do. NULL if unknown.",
			id(func(s proc.Status) (uint32, bool) { return s.EUID, s.HasUsers }), options...),
		schema.Nullable("gid", "Real group of the process. NULL if unknown.",
			id(func(s proc.Status) (uint32, bool) { return s.GID, s.HasGroups }), options...),
		schema.NotNull("cwd", "Working directory of the process; (deleted) follows the name of one that was removed. Empty if unknown, such as without root for the processes of other users.",
			func(r *R) string { return of(r).CWD() }, options...),
		schema.NotNull("root", "Root directory of the process: / unless chroot(2) has changed it. In a container it is mostly / too, because the container has a mount namespace of its own. Empty as for cwd.",
			func(r *R) string { return of(r).Root() }, options...),
		schema.Nullable("started", "When the process began, seconds since 1970. NULL if unknown.",
			func(r *R) (int64, bool) { return of(r).Started() }, options...),
		schema.Nullable("exe_deleted", "1 if no directory has the process's executable file any more: it was removed, replaced, or never had a name, as with memfd_create(2). Else 0. The number of its links decides, not its name. NULL if unknown, such as for a kernel thread and from a saved copy of /proc.",
			func(r *R) (bool, bool) { return of(r).ExeDeleted() }, options...),
		schema.Nullable("threads", "Number of the process's threads. NULL if unknown.",
			func(r *R) (int32, bool) { s, ok := of(r).Stat(); return s.Threads, ok }, options...),
		schema.Nullable("cap_effective", "Effective capabilities of the process as capsh --decode prints them, such as CAP_NET_ADMIN,CAP_NET_RAW. One that this program does not know is its number. Empty if the process has none, or if they are unknown.",
			func(r *R) (string, bool) {
				s := of(r).Status()
				return proc.Capabilities(s.Effective), s.HasEffective
			}, options...),
		schema.NotNull("security_context", "Label that a security module has given the process: SELinux's context, as ss -Z shows it, or AppArmor's profile. Empty without such a module.",
			func(r *R) string { return of(r).SecurityContext() }, options...),
		schema.NotNull("pod_uid", "Identity of the Kubernetes pod that the process's control group belongs to. Empty if there is none.",
			func(r *R) string { return of(r).PodUID() }, options...),
	}
}

// containerColumns are the hidden columns of what runtimes call a container; which
// says whose.
func containerColumns[R any](of func(*R) container.Container, which string, options ...schema.Option) []schema.AnyColumn[R] {
	options = append([]schema.Option{schema.Hidden}, options...)
	return []schema.AnyColumn[R]{
		schema.NotNull("container_name", "Name of "+which+"; in Kubernetes, its name in the pod. It comes from files that only root can read: those of Docker, of containerd's CRI plugin, and of root's Podman and CRI-O, in their default directories. Empty if there is none, and with --proc.",
			func(r *R) string { return of(r).Name }, options...),
		schema.NotNull("image", "Image of that container, such as docker.io/library/nginx:1.27. Empty as for container_name.",
			func(r *R) string { return of(r).Image }, options...),
	}
}
