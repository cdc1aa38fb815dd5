package cgroup

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	id, other := strings.Repeat("0123456789abcdef", 4), strings.Repeat("f", 64)
	const pod = "/kubepods/burstable/pod4e0c8f26-1d2e-4c5a-9a53-b2a3c4d5e6f7"
	both := func(path string) Groups { return Groups{path, path, ""} }
	scope := "/system.slice/docker-" + id + ".scope"
	for _, c := range []struct {
		name string
		in   []string
		want Groups
	}{
		{"nothing", nil, Groups{}},
		{"version 2", []string{"0::/system.slice/ssh.service"}, Groups{"/system.slice/ssh.service", "", "/system.slice/ssh.service"}},
		{"version 2, a container", []string{"0::" + scope}, Groups{scope, scope, scope}},
		{"no name", []string{"0::/"}, Groups{Path: "/"}},
		{"systemd before version 2", []string{"4:memory:/m", "1:name=systemd:/s", "0::/u"}, Groups{Path: "/s"}},
		{"version 2 before others", []string{"4:memory:/m/m", "0::/u"}, Groups{Path: "/u"}},
		{"another manager's tree", []string{"4:memory:/m", "1:name=openrc:/sshd"}, Groups{}},

		{"version 1 alone", []string{"4:memory:/docker/" + id}, both("/docker/" + id)},
		{"with an empty version 2", []string{"4:memory:/docker/" + id, "0::/"}, both("/docker/" + id)},
		{"with OpenRC", []string{"5:pids:/docker/" + id, "4:memory:/docker/" + id, "1:name=openrc:/docker"}, both("/docker/" + id)},
		{"version 2 beneath systemd", []string{"1:name=systemd:/", "0::/docker/" + id}, both("/docker/" + id)},
		{"systemd's tree among others", []string{"3:cpu,cpuacct:/", "1:x,name=systemd:/docker/" + id, "0::/"}, both("/docker/" + id)},
		{"LXC in one controller", []string{"9:devices:/lxc/web1", "8:pids:/", "1:name=systemd:/"}, both("/lxc/web1")},
		{"a pod and no container", []string{"4:memory:" + pod, "1:name=systemd:/"}, both(pod)},
		{"a container before a deeper pod", []string{"4:memory:" + pod + "/x", "1:name=systemd:/docker/" + id}, both("/docker/" + id)},
		{"the unit of the daemon", []string{"4:memory:/docker/" + id, "1:name=systemd:/system.slice/containerd.service"}, Groups{"/docker/" + id, "/docker/" + id, "/system.slice/containerd.service"}},

		{"the innermost container", []string{"4:memory:/docker/" + id + "/docker/" + other, "1:name=systemd:/docker/" + id}, both("/docker/" + id + "/docker/" + other)},
		{"the same depth: systemd", []string{"4:memory:/docker/" + other, "0::/docker/" + other, "1:name=systemd:/docker/" + id}, both("/docker/" + id)},
		{"the same depth: version 2", []string{"4:memory:/docker/" + other, "0::/docker/" + id}, both("/docker/" + id)},
		{"the same depth: the first", []string{"4:memory:/docker/" + id, "3:pids:/docker/" + other}, both("/docker/" + id)},
		{"the deeper unit", []string{"1:name=systemd:/system.slice/a.service", "0::/system.slice/x.slice/b.service"}, Groups{"/system.slice/x.slice/b.service", "", "/system.slice/x.slice/b.service"}},

		{"colons in the path", []string{"0::/a:b:c"}, Groups{Path: "/a:b:c"}},
		{"bytes that are blanks elsewhere", []string{"0::/a\r\u0085 \u00a0\x0b"}, Groups{Path: "/a\r\u0085 \u00a0\x0b"}},
		{"out of a cgroup namespace", []string{"0::/../../docker/" + id}, both("/../../docker/" + id)},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Join(c.in, "\n")
			for _, in := range []string{text, text + "\n"} { // the last newline may be lost
				if text == "" {
					in = ""
				}
				got, err := Decode(strings.NewReader(in))
				if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
					t.Errorf("%v, want (-), got (+):\n%s", err, diff)
				}
			}
		})
	}
	for name, in := range map[string]string{"no colon": "0\n", "one colon": "0:/\n", "no number": "x::/\n", "an empty number": "::/\n", "an empty line": "\n0::/\n", "a long line": "0::/" + strings.Repeat("a", 1<<20)} {
		t.Run(name, func(t *testing.T) {
			if got, err := Decode(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), "line 1: expected number:controllers:path") {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	t.Run("the reader fails", func(t *testing.T) {
		broken := errors.New("broken")
		if _, err := Decode(iotest.ErrReader(broken)); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("4:memory:/docker/" + strings.Repeat("0", 64) + "\n1:name=systemd:/system.slice/ssh.service\n0::/\n")
	f.Fuzz(func(t *testing.T, in string) {
		g, err := Decode(strings.NewReader(in))
		if err != nil {
			return
		}
		for _, path := range []string{g.Path, g.Container, g.Unit} {
			if path != "" && !strings.Contains(in+"\n", ":"+path+"\n") {
				t.Errorf("%q is no group of %q", path, in)
			}
		}
		if (g.Container != "") != (ContainerID(g.Container)+PodUID(g.Container) != "") || (g.Unit != "") != (Unit(g.Unit) != "") {
			t.Errorf("%+v", g)
		}
	})
}
