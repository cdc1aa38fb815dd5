// Package osquerycore declares osquery's own tables for hosts without osquery: those
// that published queries join with sockets, under osquery's names, columns, types and
// spellings. The command answers with them what would be pasted into osqueryi. They
// are never registered with osquery, which has them.
//
//	db, err := sqlite.Open(append(tables.All(h), osquerycore.All(h, osquerycore.Options{})...), nil)
//
// A table here differs from osquery's where osquery's answer is wrong, and says so in
// its description. The columns pid_with_namespace, mount_namespace_id and
// include_remote are not here: they ask osquery to enter a container, or to ask a
// directory server.
package osquerycore

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Options say what the tables show beside the host's proc filesystem.
type Options struct {
	// Root is the directory with etc and sys, / by default. The tables file and hash
	// show the paths of this process whatever it is.
	Root string
	// Version and Start are of the program, for osquery_info.
	Version string
	Start   time.Time
}

// machine is what the tables read.
type machine struct {
	*host.Host
	Options
}

// All returns every table, sorted by name. A table costs nothing until a statement
// names it.
func All(h *host.Host, o Options) []schema.Table {
	if o.Root == "" {
		o.Root = "/"
	}
	m := &machine{h, o}
	lazy := func(name string, table func(*machine) schema.Table) schema.Table {
		return schema.Lazy(name, func() schema.Table { return table(m) })
	}
	return []schema.Table{
		lazy("arp_cache", arpCache),
		lazy("dns_resolvers", dnsResolvers),
		lazy("etc_hosts", etcHosts),
		lazy("etc_protocols", etcProtocols),
		lazy("etc_services", etcServices),
		lazy("file", files),
		lazy("groups", groups),
		lazy("hash", hashes),
		lazy("interface_addresses", interfaceAddresses),
		lazy("interface_details", interfaceDetails),
		lazy("interface_ipv6", interfaceIPv6),
		lazy("kernel_info", kernelInfo),
		lazy("listening_ports", listeningPorts),
		lazy("os_version", osVersion),
		lazy("osquery_info", osqueryInfo),
		lazy("process_envs", processEnvs),
		lazy("process_memory_map", processMemoryMap),
		lazy("process_namespaces", processNamespaces),
		lazy("process_open_files", processOpenFiles),
		lazy("process_open_sockets", processOpenSockets),
		lazy("processes", processes),
		lazy("routes", routes),
		lazy("system_info", systemInfo),
		lazy("time", clock),
		lazy("uptime", uptime),
		lazy("user_groups", userGroups),
		lazy("users", users),
	}
}

// Absent returns why a table of osquery's is not here, in one sentence; "" of one that
// osquery does not have or that is here.
func Absent(table string) string {
	switch table = strings.ToLower(table); {
	case strings.HasSuffix(table, "_events"):
		return table + " holds events that osqueryd collects while it runs; without osqueryd there are none to show"
	case strings.HasPrefix(table, "docker_"):
		return table + " is what osqueryd asks the Docker daemon, which this program never talks to; container_id and container_name of the socket tables come from files"
	case table == "iptables":
		return "iptables is not answered here: rules are read through iptables' own kernel interface, which this program does not use"
	}
	return ""
}

// maxFile bounds what is read of a file that has no list in it.
const maxFile = 1 << 20

// text returns a small file without the white space at its ends, "" if it cannot be
// read.
func text(path ...string) string {
	b, err := regular.ReadFile(filepath.Join(path...), maxFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// open opens a file of etc. It is nil where there is none, as in small containers.
func (m *machine) open(name string) (*regular.File, error) {
	file, err := regular.Open(filepath.Join(m.Root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return file, err
}

// pids returns the processes that a query asks for, or all. A number that is asked for
// may be a thread's, as in osquery.
func (m *machine) pids(asked []int64) (fs procfs.FS, pids []int32, err error) {
	if fs, err = procfs.NewFS(m.Proc()); err != nil {
		return fs, nil, err
	}
	if asked != nil {
		for _, pid := range asked {
			if pid > 0 && pid < 1<<31 {
				pids = append(pids, int32(pid))
			}
		}
		return fs, pids, nil
	}
	pids, err = process.List(m.Proc())
	slices.Sort(pids)
	return fs, pids, err
}

// widened are the numbers of a column as int64.
func widened(numbers []int32) (all []int64) {
	if numbers == nil {
		return nil
	}
	all = []int64{}
	for _, n := range numbers {
		all = append(all, int64(n))
	}
	return all
}

// ours returns an error of this program's own. Others are of a process that has ended
// or may not be looked at.
func ours(err error) error {
	if process.BlameFor(err) == process.Ours {
		return err
	}
	return nil
}

func digits(n uint64) string { return strconv.FormatUint(n, 10) }
