package tables

import (
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/container"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// needDetails is what sock_diag sends without being asked.
const needDetails = schema.Cheap

// What a column may need besides the socket itself.
const (
	needServices schema.Need = 1 << iota
	needUsers
	needAttempts // retransmits, probes and peers with a key, which come with tcp_info
	needCongestion
	needControl // what the congestion control algorithm tells
	needMemory  // what the socket takes of the kernel's memory
	needTypeOfService
	needInterfaces // names of network interfaces
	needProtocols  // names of IP protocols
	needMembers    // what packet sockets have asked of interfaces
	needFilter     // programs of packet sockets
	needHolders    // the process that has the socket open
	needAllHolders
	needSCTPPaths
	needUnixPath
	needUnixQueues
	needUnixPeer
	needRefCount
	needPeerHolders // with needHolders and needUnixPeer: the process at the other end of a unix socket
	needKinds       // family and protocol of sockets that are known by their inode
	needRouteLines  // what only /proc reports of IPv6 routes
	needTableNames  // names of routing tables
	needVRFs        // names of VRFs, by their routing tables
	needSpeed       // of interfaces
	needLower       // the namespaces of the other ends of interfaces
	needUse         // the listeners that an entry of the register approves
)

// ownerColumns are the columns of a socket's owner, which the tables of all kinds of
// sockets share.
type ownerColumns[S any, P socket[S]] struct {
	uid                             *schema.Column[row[S], uint32]
	inode                           *schema.Column[row[S], int64]
	pid                             *schema.Column[row[S], int32]
	username, program, netNamespace *schema.Column[row[S], string]
	containerID, systemdUnit        *schema.Column[row[S], string]
	// hidden are the columns of the process, and net_namespace.
	hidden []schema.AnyColumn[row[S]]
}

// newOwnerColumns makes them; noUID says when uid is NULL.
func newOwnerColumns[S any, P socket[S]](noUID string) ownerColumns[S, P] {
	inode := func(r *row[S]) uint64 { return common[S, P](r).Inode }
	uid := func(r *row[S]) (uint32, bool) { s := common[S, P](r); return s.UID, s.HasUID }
	c := ownerColumns[S, P]{
		uid: schema.Nullable("uid", "User who owns the socket.", uid, schema.Shared, schema.Note(noUID)),
		username: schema.Nullable("username", "Name of that user in this machine's /etc/passwd. Empty if there is no user or no name.",
			func(r *row[S]) (string, bool) {
				number, ok := uid(r)
				if !ok {
					return "", false
				}
				return r.lookups.users.Name(number), true
			}, schema.Needs(needUsers), schema.Shared),
		inode: schema.Nullable("inode", "Inode of the socket, as in the links /proc/PID/fd/N. NULL if no file refers to it, such as a TCP connection that waits to be accepted, or that its program has closed.",
			func(r *row[S]) (int64, bool) { return int64(inode(r)), inode(r)-1 < 1<<63-1 }, schema.Synonym("socket"), schema.Pushed, schema.Shared),
		pid: schema.Nullable("pid", "Process that has the socket open; if several have, the one with the lowest number. socket_processes lists all. NULL if no process has it, or if this program may not see it: without root it sees only this user's processes.",
			func(r *row[S]) (int32, bool) { h, ok := r.lookups.holder(inode(r)); return h.PID, ok }, schema.Needs(needHolders), schema.Shared),
		program: schema.NotNull("program", "Name of that process as netstat shows it: argv[0] without the directories of an absolute path, or the kernel's name if there is no argv[0]. Empty if there is no such process.",
			func(r *row[S]) string { return r.lookups.process(inode(r)).Program() }, schema.Needs(needHolders), schema.Shared),
		netNamespace: netNamespaceColumn(func(r *row[S]) uint32 { return common[S, P](r).Namespace }),
		containerID: schema.NotNull("container_id", "Container that the control group belongs to: the identity that Docker, containerd, CRI-O and Podman give it, or the name that LXC and systemd-nspawn give it. Empty if there is none.",
			func(r *row[S]) string { return r.lookups.process(inode(r)).ContainerID() }, schema.Hidden, schema.Needs(needHolders), schema.Shared),
		systemdUnit: schema.NotNull("systemd_unit", "Unit of the system's systemd that the control group belongs to, such as ssh.service. Empty if there is none.",
			func(r *row[S]) string { return r.lookups.process(inode(r)).Unit() }, schema.Hidden, schema.Needs(needHolders), schema.Shared),
	}
	c.hidden = []schema.AnyColumn[row[S]]{
		schema.Nullable("fd", "Lowest file descriptor by which that process has the socket open. NULL as for pid.",
			func(r *row[S]) (int32, bool) { h, ok := r.lookups.holder(inode(r)); return h.FD, ok }, schema.Hidden, schema.Needs(needHolders), schema.Shared),
		schema.NotNull("holders", "All processes that have the socket open, as PID/program with commas between. Empty if this program sees none.",
			func(r *row[S]) string { return r.lookups.all(inode(r)) }, schema.Hidden, schema.Needs(needHolders|needAllHolders), schema.Shared),
		schema.NotNull("exe", "Path of that process's executable file. Empty if unknown.",
			func(r *row[S]) string { return r.lookups.process(inode(r)).Exe() }, schema.Hidden, schema.Needs(needHolders), schema.Shared),
		schema.NotNull("cmdline", "That process's command line, its arguments separated by blanks. Empty if unknown.",
			func(r *row[S]) string { return strings.Join(r.lookups.process(inode(r)).Args(), " ") }, schema.Hidden, schema.Needs(needHolders), schema.Shared),
		schema.NotNull("cgroup", "Path of that process's control group. With several hierarchies it is the one that names a container or a unit, else systemd's, else that of version 2. Empty if unknown.",
			func(r *row[S]) string { return r.lookups.process(inode(r)).Groups().Path }, schema.Hidden, schema.Needs(needHolders), schema.Shared),
		c.containerID, c.systemdUnit,
		c.netNamespace,
	}
	c.hidden = append(c.hidden, processColumns(func(r *row[S]) *process.Process { return r.lookups.process(inode(r)) }, "process_uid", schema.Needs(needHolders), schema.Shared)...)
	c.hidden = append(c.hidden, containerColumns(func(r *row[S]) container.Container { return r.lookups.process(inode(r)).Container() }, "the process's container", schema.Needs(needHolders), schema.Shared)...)
	return c
}

// cookieColumn is the column of the kernel's identity of a socket, NULL if it is 0;
// note adds what holds for one table.
func (*ownerColumns[S, P]) cookieColumn(note string) *schema.Column[row[S], int64] {
	cookie := func(r *row[S]) uint64 { return common[S, P](r).Cookie }
	return schema.Nullable("cookie", "The kernel's identity of the socket, which no other socket has had since the host started. NULL from /proc.",
		func(r *row[S]) (int64, bool) { return int64(cookie(r)), cookie(r)-1 < 1<<63-1 }, schema.Hidden, schema.Pushed, schema.Shared, schema.Note(note))
}

// namespaces selects the network namespaces that a query sees.
func namespaces[R any](netNamespace *schema.Column[R, string], q schema.Query) host.Namespaces {
	return host.Namespaces{All: netNamespace.Uses(q), In: netNamespace.Values(q)}
}

// netNamespaceColumn is the column by which a query reaches other network
// namespaces.
func netNamespaceColumn[R any](namespace func(*R) uint32) *schema.Column[R, string] {
	return schema.Nullable("net_namespace", "Inode number of the network namespace, as in network_namespaces. A statement that uses this column sees the network namespaces of the whole host; one that does not sees the program's own, as netstat does. Empty if the number is not known.",
		func(r *R) (string, bool) { return namespaceText(namespace(r)), namespace(r) != 0 }, schema.Hidden, schema.Scope, schema.Shared, namespaceNumber())
}

// namespaceText spells a network namespace; it is empty if that is not known.
func namespaceText(inode uint32) string {
	if inode == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(inode), 10)
}
