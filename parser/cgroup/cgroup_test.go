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
		if got := [2]string{ContainerID(path), Unit(path)}; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func FuzzPaths(f *testing.F) {
	f.Add("/system.slice/docker-" + strings.Repeat("0", 64) + ".scope")
	f.Add("/lxc/a/-:")
	f.Fuzz(func(t *testing.T, path string) {
		for _, part := range []string{ContainerID(path), Unit(path)} {
			if strings.Contains(part, "/") || !strings.Contains(path, part) {
				t.Errorf("%q of %q", part, path)
			}
		}
	})
}
