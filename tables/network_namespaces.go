package tables

import (
	"context"
	"iter"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type namespaceRow struct {
	host.NetNamespace
	host      *host.Host
	processes *process.Cache
}

// process returns the process that stands for the namespace.
func (r *namespaceRow) process() *process.Process { return r.processes.Get(r.PID) }

// named are the directories where ip-netns(8) mounts namespaces.
var named = []string{"/run/netns", "/var/run/netns"}

// name returns the first name that ip-netns(8) has for the namespace.
func (r *namespaceRow) name() string {
	for _, file := range r.Files {
		if dir, name := filepath.Split(file); slices.Contains(named, filepath.Clean(dir)) {
			return name
		}
	}
	return ""
}

// keptBy returns what keeps the namespace.
func (r *namespaceRow) keptBy() string {
	var all []string
	for _, by := range []struct {
		name string
		does bool
	}{
		{"process", r.PID != 0 && !r.ByThread},
		{"thread", r.ByThread},
		{"mount", len(r.Files) > 0},
		{"descriptor", r.Descriptor != ""},
	} {
		if by.does {
			all = append(all, by.name)
		}
	}
	return strings.Join(all, ",")
}

// NetworkNamespaces is the table network_namespaces.
func NetworkNamespaces(h *host.Host) schema.Table {
	keptBy := schema.NotNull("kept_by", "What keeps the namespace, with commas between: process; thread, if no first thread of a process is in it; mount; descriptor, an open one of a process other than this program. A statement that uses this column sees the namespaces too that only a descriptor keeps, and reads the descriptors of every process for it; the tables of sockets do not look into those namespaces.",
		(*namespaceRow).keptBy, schema.Hidden, schema.Scope)
	descriptor := schema.NotNull("descriptor", "Descriptor that refers to the namespace, as /proc/PID/fd/NUMBER; if there are several, that of the process with the lowest number. Empty if there is none. A statement that uses this column sees the same namespaces as with kept_by.",
		func(r *namespaceRow) string { return r.Descriptor }, schema.Hidden, schema.Scope)
	return schema.Bind(schema.TableDef[namespaceRow]{
		Name: "network_namespaces",
		Doc:  "Network namespaces that have a process or a mounted name, such as those of containers: what lsns -t net shows. Without root the table has only the namespaces of this user's processes and mounted ones.",
		Examples: []string{
			"SELECT inode, name, pid, program, container_runtime, container_id FROM network_namespaces WHERE own = 0",
			"SELECT n.container_id, t.proto, t.local_address, t.local_port, t.program FROM network_namespaces n JOIN tcp_sockets t ON t.net_namespace = n.inode WHERE t.state = 'LISTEN'",
			"SELECT net_namespace, count(*) AS sockets FROM udp_sockets GROUP BY 1",
		},
		Columns: []schema.AnyColumn[namespaceRow]{
			schema.NotNull("inode", "Inode number of the network namespace, as in the links /proc/PID/ns/net: the net_namespace of the other tables.",
				func(r *namespaceRow) string { return strconv.FormatUint(uint64(r.Inode), 10) }, namespaceNumber()),
			schema.NotNull("name", "Name that ip netns shows: the name of its file in /run/netns; if there are several, of the one that was mounted first. Empty if there is none.",
				(*namespaceRow).name),
			schema.Nullable("pid", "Process in the namespace; if there are several, the one with the lowest number. NULL if this program sees none.",
				func(r *namespaceRow) (int32, bool) { return r.PID, r.PID != 0 }),
			schema.NotNull("processes", "Number of processes in the namespace that this program sees. A process counts where its first thread is; a namespace that has only other threads counts their processes.",
				func(r *namespaceRow) int32 { return r.Processes }),
			schema.NotNull("program", "Name of that process as netstat shows it: argv[0] without the directories of an absolute path, or the kernel's name if there is no argv[0]. Empty if there is no such process.",
				func(r *namespaceRow) string { return r.process().Program() }),
			schema.NotNull("container_id", "Container that the control group of that process belongs to, in a Kubernetes pod often its sandbox: the identity that Docker, containerd, CRI-O and Podman give it, or the name that LXC and systemd-nspawn give it. Empty if there is none; a container that uses the host's network has no namespace of its own.",
				func(r *namespaceRow) string { return r.process().ContainerID() }),
			schema.NotNull("container_runtime", "Runtime of that container, by the control group: docker, containerd, cri-o, podman, lxc, systemd-nspawn. Empty if there is no container or the group does not name its runtime.",
				func(r *namespaceRow) string { return r.process().Runtime() }, words("docker", "containerd", "cri-o", "podman", "lxc", "systemd-nspawn")),
			schema.NotNull("pod_uid", "Identity of the Kubernetes pod that the control group of that process belongs to. Empty if there is none.",
				func(r *namespaceRow) string { return r.process().PodUID() }),
			schema.NotNull("own", "1 for the program's own namespace, or with --proc that of process 1: the other tables show it to a statement that does not use net_namespace. Else 0.",
				func(r *namespaceRow) bool { return r.Own }),
			schema.NotNull("enterable", "1 if this program may enter the namespace, which a thread tries: every list then comes from the fastest source. Else 0, such as with --proc and without CAP_SYS_ADMIN: only the lists in /proc of a visible process are read.",
				func(r *namespaceRow) bool { return r.host.MayEnter(&r.NetNamespace) }, schema.Hidden),
			schema.NotNull("files", "Files that the namespace is mounted on, which keep it without a process, separated by blanks. Empty if there are none.",
				func(r *namespaceRow) string { return strings.Join(r.Files, " ") }, schema.Hidden),
			keptBy, descriptor,
		},
		RowID: func(r *namespaceRow) int64 { return int64(r.Inode) },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[namespaceRow, error] {
			return func(yield func(namespaceRow, error) bool) {
				list := h.NetNamespaces
				if keptBy.Uses(q) || descriptor.Uses(q) {
					list = h.KeptNetNamespaces
				}
				all, err := list(ctx)
				if err != nil {
					yield(namespaceRow{}, err)
					return
				}
				processes := h.Processes()
				for _, ns := range all {
					if !yield(namespaceRow{ns, h, processes}, nil) {
						return
					}
					if err := processes.Err(); err != nil {
						yield(namespaceRow{}, err)
						return
					}
				}
			}
		},
	})
}
