// Package container decodes the files in which the runtimes of containers keep what
// they run. Their fields are those of the runtimes' sources; others are passed by.
package container

import (
	"cmp"
	"encoding/json"
	"strings"
)

// Container is what a runtime calls a container.
type Container struct {
	Name  string // as the user or the pod calls it
	Image string // reference of the image, such as docker.io/library/nginx:1.27
}

// Docker decodes /var/lib/docker/containers/ID/config.v2.json (Container of
// daemon/container/container.go in moby). The name has a slash before it.
//
//	{"ID":"4b1f…","Name":"/web","Config":{"Image":"nginx:1.27", …}, …}
func Docker(text []byte) (Container, error) {
	var file struct {
		Name   string
		Config struct{ Image string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return Container{}, err
	}
	return Container{strings.TrimPrefix(file.Name, "/"), file.Config.Image}, nil
}

// Bundle decodes the config.json of an OCI bundle, as containerd keeps it for each
// task: the annotations of its CRI plugin name the container of a pod
// (pkg/cri/annotations). The infrastructure container of a pod has no name there.
//
//	{"ociVersion":"1.2.0","annotations":{"io.kubernetes.cri.container-name":"web","io.kubernetes.cri.image-name":"docker.io/library/nginx:1.27", …}, …}
func Bundle(text []byte) (Container, error) {
	var file struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return Container{}, err
	}
	return Container{file.Annotations["io.kubernetes.cri.container-name"], file.Annotations["io.kubernetes.cri.image-name"]}, nil
}

// Storage decodes the containers.json of containers/storage, in which Podman and
// CRI-O keep all containers, and returns them by their identities. Their metadata
// are JSON in a text: metadata-name is the name that a pod gives, name the runtime's.
//
//	[{"id":"9f3c…","names":["web"],"image":"e784…","metadata":"{\"image-name\":\"docker.io/library/nginx:1.27\",\"name\":\"web\"}"}]
func Storage(text []byte) (map[string]Container, error) {
	var file []struct {
		ID       string   `json:"id"`
		Names    []string `json:"names"`
		Metadata string   `json:"metadata"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	all := make(map[string]Container, len(file))
	for _, c := range file {
		var metadata struct {
			Name    string `json:"name"`
			PodName string `json:"metadata-name"`
			Image   string `json:"image-name"`
		}
		if json.Unmarshal([]byte(c.Metadata), &metadata) != nil {
			metadata.Name, metadata.PodName, metadata.Image = "", "", "" // another program's
		}
		name := cmp.Or(metadata.PodName, metadata.Name)
		if name == "" && len(c.Names) > 0 {
			name = c.Names[0]
		}
		all[c.ID] = Container{name, metadata.Image}
	}
	return all, nil
}
