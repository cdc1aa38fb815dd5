package cgroup

import (
	"strings"
	"testing"
)

func TestPaths(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for path, want := range map[string][2]string{
		"/":                          {"", ""},
		"":                           {"", ""},
		"/init.scope":                {"", "init.scope"},
		"/system.slice/ssh.service":  {"", "ssh.service"},
		"/system.slice/_cpu.service": {"", "cpu.service"},
		"/system.slice/system-getty.slice/getty@tty1.service":                                        {"", "getty@tty1.service"},
		"/user.slice/user-1000.slice/session-3.scope":                                                {"", "session-3.scope"},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope":                  {"", "user@1000.service"},
		"/system.slice/docker-" + id + ".scope":                                                      {id, "docker-" + id + ".scope"},
		"/docker/" + id:                                                                              {id, ""},
		"/docker/" + id + "/system.slice/cron.service":                                               {id, ""},
		"/docker/" + id + "/docker/" + strings.Repeat("f", 64):                                       {strings.Repeat("f", 64), ""},
		"/kubepods/burstable/pod4e0c8f26-1d2e-4c5a-9a53-b2a3c4d5e6f7/" + id:                          {id, ""},
		"/kubepods.slice/kubepods-pod4e0c8f26_1d2e.slice/cri-containerd-" + id + ".scope":            {id, "cri-containerd-" + id + ".scope"},
		"/system.slice/containerd.service/kubepods-besteffort-pod1.slice:cri-containerd:" + id:       {id, "containerd.service"},
		"/kubepods.slice/kubepods-pod1.slice/crio-" + id + ".scope":                                  {id, "crio-" + id + ".scope"},
		"/machine.slice/libpod-" + id + ".scope/container":                                           {id, "libpod-" + id + ".scope"},
		"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope/container": {id, "user@1000.service"},
		"/lxc/web1":                                  {"web1", ""},
		"/lxc.payload.web1/init.scope":               {"web1", ""},
		"/lxc.monitor.web1":                          {"", ""},
		"/system.slice/docker-" + id[:63] + ".scope": {"", "docker-" + id[:63] + ".scope"},
		"/docker/" + strings.ToUpper(id):             {"", ""},
		"/system.slice/.service":                     {"", ""},
		"/custom/thing":                              {"", ""},
	} {
		t.Run(path, func(t *testing.T) {
			if got := [2]string{ContainerID(path), Unit(path)}; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Paths as the runtimes and the kubelet make them, on hosts with either driver.
func TestContainers(t *testing.T) {
	id, other := strings.Repeat("0123456789abcdef", 4), strings.Repeat("f", 64)
	const uid, underscores = "4e0c8f26-1d2e-4c5a-9a53-b2a3c4d5e6f7", "4e0c8f26_1d2e_4c5a_9a53_b2a3c4d5e6f7"
	const static = "0b6f7ab0e8a7a4ad2c4a3d5f6c1e9b80" // of a pod from a file
	type facts struct{ id, runtime, pod string }
	for path, want := range map[string]facts{
		"/":                         {},
		"/system.slice/ssh.service": {},

		"/docker/" + id:                             {id, Docker, ""},
		"/system.slice/docker-" + id + ".scope":     {id, Docker, ""},
		"/docker/" + id + "/system.slice/a.service": {id, Docker, ""},
		"/docker/" + id + "/docker/" + other:        {other, Docker, ""},
		"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + id + ".scope": {id, Docker, ""},
		"/ecs/" + id[:32] + "/" + id:     {id, "", ""}, // --cgroup-parent: it may be anyone's
		"/actions_job/" + id:             {id, "", ""},
		"/system.slice/docker.service":   {},
		"/system.slice/docker-" + id[1:]: {},

		"/default/" + id:                         {id, Containerd, ""},
		"/k8s.io/" + id:                          {id, Containerd, ""},
		"/system.slice/nerdctl-" + id + ".scope": {id, Containerd, ""},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + underscores + ".slice/cri-containerd-" + id + ".scope":                 {id, Containerd, uid},
		"/system.slice/containerd.service/kubepods-besteffort-pod" + underscores + ".slice:cri-containerd:" + id:                                   {id, Containerd, uid},
		"/docker/" + other + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + underscores + ".slice/cri-containerd-" + id + ".scope": {id, Containerd, uid},

		"/kubepods.slice/kubepods-pod" + underscores + ".slice/crio-" + id + ".scope":                                      {id, CRIO, uid},
		"/kubepods.slice/kubepods-pod" + underscores + ".slice/crio-" + id + ".scope/container":                            {id, CRIO, uid},
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + static + ".slice/crio-" + id + ".scope":      {id, CRIO, static},
		"/kubepods.slice/kubepods-pod" + underscores + ".slice/crio-conmon-" + id + ".scope":                               {"", "", uid},
		"/kubepods/burstable/pod" + uid + "/crio-" + id:                                                                    {id, CRIO, uid},
		"/kubepods/burstable/pod" + uid + "/" + id:                                                                         {id, "", uid},
		"/kubepods/pod" + uid + "/" + id:                                                                                   {id, "", uid},
		"/kubelet/kubepods/besteffort/pod" + static:                                                                        {"", "", static},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + underscores + ".slice/docker-" + id + ".scope": {id, Docker, uid},
		"/pod" + uid + "/" + id:                                    {id, "", ""}, // not under kubepods
		"/kubepods/podinfo":                                        {},
		"/kubepods.slice/kubepods-podinfo.slice":                   {},
		"/kubepods/pod" + strings.ToUpper(uid):                     {},
		"/kubepods/pod" + underscores:                              {},
		"/kubepods.slice/kubepods-pod" + underscores + "0.slice/x": {},

		"/machine.slice/libpod-" + id + ".scope":                                                     {id, Podman, ""},
		"/machine.slice/libpod-" + id + ".scope/container":                                           {id, Podman, ""},
		"/machine.slice/machine-libpod_pod_" + other + ".slice/libpod-" + id + ".scope/container":    {id, Podman, ""},
		"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope/container": {id, Podman, ""},
		"/libpod_parent/libpod-" + id:                                                                {id, Podman, ""},
		"/system.slice/web.service/libpod-payload-" + id:                                             {id, Podman, ""},
		"/machine.slice/libpod-conmon-" + id + ".scope":                                              {},

		"/lxc/web1":                                {"web1", LXC, ""},
		"/lxc/101/ns/system.slice/cron.service":    {"101", LXC, ""},
		"/lxc.payload.web-1/init.scope":            {"web-1", LXC, ""},
		"/lxc.payload/web1/system.slice/a.service": {"web1", LXC, ""},
		"/lxc.payload.web1/docker/" + id:           {id, Docker, ""},
		"/lxc.monitor.web1":                        {},
		"/lxc.payload.":                            {},

		"/machine.slice/machine-debian.scope/payload":                                {"debian", Nspawn, ""},
		`/machine.slice/machine-debian\x2dtree.scope/payload/system.slice/a.service`: {"debian-tree", Nspawn, ""},
		"/machine.slice/systemd-nspawn@web1.service/payload/init.scope":              {"web1", Nspawn, ""},
		"/machine.slice/systemd-nspawn@web1.service/supervisor":                      {},
		"/machine.slice/machine-debian.scope/supervisor":                             {},
		`/machine.slice/machine-qemu\x2d1\x2dguest.scope/libvirt/emulator`:           {},
		`/machine.slice/machine-a\x2fb.scope/payload`:                                {},
		"/machine.slice/machine-.scope/payload":                                      {},
	} {
		t.Run(path, func(t *testing.T) {
			if got := (facts{ContainerID(path), Runtime(path), PodUID(path)}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func FuzzPaths(f *testing.F) {
	f.Add("/system.slice/docker-" + strings.Repeat("0", 64) + ".scope")
	f.Add("/lxc/a/-:")
	f.Add(`/machine.slice/machine-a\x2db.scope/payload`)
	f.Add("/kubepods.slice/kubepods-pod4e0c8f26_1d2e_4c5a_9a53_b2a3c4d5e6f7.slice")
	f.Fuzz(func(t *testing.T, path string) {
		unescaped := strings.NewReplacer("_", "-", `\x2d`, "-").Replace(path)
		id, runtime := ContainerID(path), Runtime(path)
		if unit := Unit(path); strings.Contains(unit, "/") || !strings.Contains(path, unit) {
			t.Errorf("%q of %q", unit, path)
		}
		if pod := PodUID(path); strings.Contains(pod, "/") || !strings.Contains(unescaped, pod) {
			t.Errorf("pod %q of %q", pod, path)
		}
		if strings.Contains(id, "/") || runtime != Nspawn && !strings.Contains(path, id) || runtime != "" && id == "" {
			t.Errorf("%q of %q in %q", id, runtime, path)
		}
	})
}
