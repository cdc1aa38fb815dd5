// Package cgroup tells from the path of a process's control group
// (/proc/PID/cgroup, cgroups(7)) what started it: a container runtime, a unit
// of systemd.
package cgroup

import (
	"strconv"
	"strings"
)

// idLength is that of a container's identity, in hexadecimal digits.
const idLength = 64

// The runtimes of containers that a path tells.
const (
	Docker     = "docker"
	Containerd = "containerd"
	CRIO       = "cri-o"
	Podman     = "podman"
	LXC        = "lxc"
	Nspawn     = "systemd-nspawn"
)

// before are the runtimes that write their name before the identity, and within
// those that keep the groups in a directory of their own.
var (
	before = map[string]string{
		"docker": Docker, "cri-containerd": Containerd, "nerdctl": Containerd, "crio": CRIO, "libpod": Podman, "libpod-payload": Podman,
	}
	within = map[string]string{"docker": Docker, "default": Containerd, "k8s.io": Containerd}
)

// ContainerID returns the identity of the container that a group belongs to, as
// Docker, containerd, CRI-O and Podman write it, or the name of an LXC or
// systemd-nspawn container; of nested ones that of the innermost. It is empty if
// there is none, as of the programs that watch over one from outside.
//
//	/docker/ID                                               Docker, cgroupfs driver
//	/system.slice/docker-ID.scope                            Docker, systemd driver
//	/kubepods.slice/…/cri-containerd-ID.scope                containerd in Kubernetes
//	/system.slice/nerdctl-ID.scope, /default/ID              containerd by itself
//	/kubepods/burstable/podUID/ID                            Kubernetes, cgroupfs driver
//	/kubepods.slice/…/crio-ID.scope                          CRI-O
//	/machine.slice/libpod-ID.scope/container                 Podman
//	/system.slice/web.service/libpod-payload-ID              Podman in a unit
//	/lxc/NAME, /lxc.payload.NAME, /lxc.payload/NAME          LXC
//	/machine.slice/machine-NAME.scope/payload                systemd-nspawn
//	/machine.slice/systemd-nspawn@NAME.service/payload       its unit
func ContainerID(path string) string {
	id, _ := container(path)
	return id
}

// Runtime returns what runs the container of [ContainerID]: one of the
// constants. It is empty if there is no container or the path does not tell, as
// with Kubernetes' cgroupfs driver, whose paths are the same for several.
func Runtime(path string) string {
	_, runtime := container(path)
	return runtime
}

func container(path string) (id, runtime string) {
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i > 0; i-- {
		part, parent := strings.TrimSuffix(parts[i], ".scope"), parts[i-1]
		if name, ok := strings.CutPrefix(part, "lxc.payload."); ok && name != "" {
			return name, LXC
		}
		if (parent == "lxc" || parent == "lxc.payload") && part != "" {
			return part, LXC
		}
		if part == "payload" && i > 1 && parts[i-2] == "machine.slice" {
			if name := machine(parent); name != "" {
				return name, Nspawn
			}
		}
		at := strings.LastIndexAny(part, "-:") + 1
		if !isID(part[at:]) {
			continue
		}
		if at == 0 {
			return part, within[parent]
		}
		prefix := part[:at-1]
		prefix = prefix[strings.LastIndexByte(prefix, ':')+1:]
		if strings.HasSuffix(prefix, "conmon") {
			continue // it watches over a container, and is not in it
		}
		return part[at:], before[prefix]
	}
	return "", ""
}

// machine returns the name of the machine that a unit of systemd-nspawn(1) is
// for; nothing if it is none.
func machine(unit string) string {
	name, isScope := strings.CutSuffix(unit, ".scope")
	prefix := "machine-"
	if !isScope {
		name, prefix = strings.TrimSuffix(unit, ".service"), "systemd-nspawn@"
	}
	name, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return ""
	}
	var b strings.Builder
	for name != "" {
		c, size := name[0], 1
		if strings.HasPrefix(name, `\x`) && len(name) >= 4 {
			if n, err := strconv.ParseUint(name[2:4], 16, 8); err == nil {
				c, size = byte(n), 4
			}
		}
		// Machines have the names of hosts, and others we do not know.
		if !isHex(c) && (c < 'g' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '.' && c != '_' {
			return ""
		}
		b.WriteByte(c)
		name = name[size:]
	}
	return b.String()
}

// PodUID returns the uid of the Kubernetes pod that a group belongs to, as the
// API server writes it; of nested ones that of the innermost. It is empty if
// there is none.
//
//	/kubepods/burstable/podUID/ID                            cgroupfs driver
//	/kubepods.slice/kubepods-podUID.slice/crio-ID.scope      systemd driver, with _ for -
func PodUID(path string) string {
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		part, _, _ := strings.Cut(parts[i], ":")
		if uid, ok := strings.CutPrefix(part, "pod"); ok && isUID(uid) && inKubepods(parts[:i]) {
			return uid
		}
		slice, ok := strings.CutSuffix(part, ".slice")
		if at := strings.LastIndex(slice, "-pod"); ok && at >= 0 && inKubepods([]string{slice[:at]}) {
			if uid := strings.ReplaceAll(slice[at+len("-pod"):], "_", "-"); isUID(uid) {
				return uid
			}
		}
	}
	return ""
}

// inKubepods reports whether one of the parts of a path is the group of all
// pods, or of all of a class of service.
func inKubepods(parts []string) bool {
	for _, part := range parts {
		for word := range strings.SplitSeq(part, "-") {
			if word == "kubepods" || word == "kubepods.slice" {
				return true
			}
		}
	}
	return false
}

// isUID reports whether s is a UUID or, of a pod that comes from a file of its
// node, 32 hexadecimal digits.
func isUID(s string) bool {
	const dashes = 4
	if len(s) != 32 && len(s) != 32+dashes {
		return false
	}
	for i := range len(s) {
		if dash := len(s) == 32+dashes && (i == 8 || i == 13 || i == 18 || i == 23); dash != (s[i] == '-') || !dash && !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isID(s string) bool {
	if len(s) != idLength {
		return false
	}
	for i := range len(s) {
		if !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// unitTypes are the types of units that have processes, systemd.unit(5).
var unitTypes = []string{".service", ".scope", ".socket", ".mount", ".swap"}

// Unit returns the unit of the system's systemd that a group belongs to, as
// sd_pid_get_unit(3) does: the first part of the path that is no slice. Of a
// user's own units that is user@UID.service. It is empty if there is none.
func Unit(path string) string {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || strings.HasSuffix(part, ".slice") {
			continue
		}
		part = strings.TrimPrefix(part, "_") // keeps apart from the kernel's own files
		for _, kind := range unitTypes {
			if strings.HasSuffix(part, kind) && part != kind {
				return part
			}
		}
		return ""
	}
	return ""
}
