package containers

import (
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
