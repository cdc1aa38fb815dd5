// Package container decodes the files in which the runtimes of containers keep what
// they run. Their fields are those of the runtimes' sources; others are passed by.
package container

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Container is what a runtime calls a container.
type Container struct {
	Name  string // as the user or the pod calls it
	Image string // reference of the image, such as docker.io/library/nginx:1.27
}

// Docker decodes /var/lib/docker/containers/ID/config.v2.json (Container of
// daemon/container/container.go in moby), and returns the addresses that the
// container has in Docker's networks while it runs. The name has a slash before it.
//
//	{"ID":"4b1f…","Name":"/web","State":{"Running":true, …},"Config":{"Image":"nginx:1.27", …},
//	"NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2","GlobalIPv6Address":"", …}}, …}, …}
func Docker(text []byte) (Container, []netip.Addr, error) {
	var file struct {
		Name            string
		State           struct{ Running bool }
		Config          struct{ Image string }
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return Container{}, nil, err
	}
	var addresses []netip.Addr
	if file.State.Running {
		for _, network := range file.NetworkSettings.Networks {
			for _, text := range []string{network.IPAddress, network.GlobalIPv6Address} {
				if a, err := netip.ParseAddr(text); err == nil {
					addresses = append(addresses, a)
				}
			}
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return Container{strings.TrimPrefix(file.Name, "/"), file.Config.Image}, addresses, nil
}

// ProxyTarget returns the container's address to which Docker's proxy of a published
// port forwards, from its command line (cmd/docker-proxy in moby).
//
//	docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80
func ProxyTarget(args []string) (a netip.Addr, ok bool) {
	if len(args) == 0 || path.Base(args[0]) != "docker-proxy" {
		return a, false
	}
	i := slices.Index(args, "-container-ip")
	if i < 0 || i+1 == len(args) {
		return a, false
	}
	a, err := netip.ParseAddr(args[i+1])
	return a, err == nil
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
