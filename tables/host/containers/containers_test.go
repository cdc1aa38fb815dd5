package containers

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/container"
)

func id(digit string) string { return strings.Repeat(digit, 64) }

// Files in the shape that the runtimes' sources give them.
func TestOf(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const docker, containerd = "var/lib/docker/containers/", "run/containerd/io.containerd.runtime.v2.task/k8s.io/"
	write(docker+id("1")+"/config.v2.json", `{"Name":"/web","Config":{"Image":"nginx:1.27"}}`)
	write(docker+id("2")+"/config.v2.json", `{"Name":`)
	write(containerd+id("3")+"/config.json", `{"annotations":{"io.kubernetes.cri.container-name":"api","io.kubernetes.cri.image-name":"quay.io/api:2"}}`)
	write("var/lib/containers/storage/overlay-containers/containers.json", `[{"id":"`+id("4")+`","metadata":"{\"name\":\"db\",\"image-name\":\"docker.io/library/postgres:17\"}"}]`)
	write(docker+"evil/config.v2.json", `{"Name":"/evil"}`)
	pipe := filepath.Join(root, docker, id("5"), "config.v2.json")
	if err := os.Mkdir(filepath.Dir(pipe), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	names := New(root)
	t.Run("at no address while one cannot be read", func(t *testing.T) {
		if _, _, err := New(root).At(netip.MustParseAddr("172.17.0.2")); err == nil {
			t.Error("no error")
		}
	})
	for _, c := range []struct {
		name, id string
		want     container.Container
		fails    bool
	}{
		{"Docker", id("1"), container.Container{Name: "web", Image: "nginx:1.27"}, false},
		{"cut", id("2"), container.Container{}, true},
		{"containerd", id("3"), container.Container{Name: "api", Image: "quay.io/api:2"}, false},
		{"Podman", id("4"), container.Container{Name: "db", Image: "docker.io/library/postgres:17"}, false},
		{"a pipe", id("5"), container.Container{}, true},
		{"of no runtime", id("6"), container.Container{}, false},
		{"none", "", container.Container{}, false},
		{"another directory", "../containers/evil", container.Container{}, false},
		{"a name that is no identity", "evil", container.Container{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := names.Of(c.id); got != c.want || (err != nil) != c.fails {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// A published port's proxy is told by the address of its container.
func TestAt(t *testing.T) {
	root := t.TempDir()
	const file = `{"State":{"Running":%t},"Name":"/%s","Config":{"Image":"nginx:1.27"},"NetworkSettings":{"Networks":{"bridge":{"IPAddress":"%s"}}}}`
	for digit, text := range map[string]string{
		"1": fmt.Sprintf(file, true, "web", "172.17.0.2"),
		"2": fmt.Sprintf(file, false, "old", "172.17.0.2"),
		"3": fmt.Sprintf(file, true, "api", "172.17.0.3"),
		"4": fmt.Sprintf(file, true, "other", "172.17.0.3"),
	} {
		dir := filepath.Join(root, dockerDir, id(digit))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	web := container.Container{Name: "web", Image: "nginx:1.27"}
	for _, c := range []struct {
		name, address, id string
		want              container.Container
	}{
		{"of one that runs", "172.17.0.2", id("1"), web},
		{"of two", "172.17.0.3", "", container.Container{}},
		{"of none", "172.17.0.4", "", container.Container{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if id, got, err := New(root).At(netip.MustParseAddr(c.address)); id != c.id || got != c.want || err != nil {
				t.Errorf("%s %+v, %v", id, got, err)
			}
		})
	}
	if id, _, err := New(t.TempDir()).At(netip.MustParseAddr("172.17.0.2")); id != "" || err != nil {
		t.Errorf("without Docker: %q, %v", id, err)
	}
}
