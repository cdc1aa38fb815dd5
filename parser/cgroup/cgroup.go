// Package cgroup tells from the path of a process's control group
// (/proc/PID/cgroup, cgroups(7)) what started it: a container runtime, a unit
// of systemd.
package cgroup

import "strings"

// idLength is that of a container's identity, in hexadecimal digits.
const idLength = 64

// ContainerID returns the identity of the container that a group belongs to, as
// Docker, containerd, CRI-O and Podman write it, or the name of an LXC
// container; of nested ones that of the innermost. It is empty if there is none.
//
//	/docker/ID                                               Docker, cgroupfs driver
//	/system.slice/docker-ID.scope                            Docker, systemd driver
//	/kubepods.slice/…/cri-containerd-ID.scope                containerd in Kubernetes
//	/kubepods/burstable/podUID/ID                            Kubernetes, cgroupfs driver
//	/kubepods.slice/…/crio-ID.scope                          CRI-O
//	/machine.slice/libpod-ID.scope/container                 Podman
//	/lxc/NAME, /lxc.payload.NAME                             LXC
func ContainerID(path string) string {
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		part := strings.TrimSuffix(parts[i], ".scope")
		if name, ok := strings.CutPrefix(part, "lxc.payload."); ok {
			return name
		}
		if i > 0 && parts[i-1] == "lxc" && part != "" {
			return part
		}
		if id := part[strings.LastIndexAny(part, "-:")+1:]; isID(id) {
			return id
		}
	}
	return ""
}

func isID(s string) bool {
	if len(s) != idLength {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

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
