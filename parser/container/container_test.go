package container

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	docker  = `{"StreamConfig":{},"State":{"Running":true,"Pid":90000},"ID":"4b1f","Config":{"Hostname":"4b1f","Image":"nginx:1.27","Labels":{"a":"b"}},"Image":"sha256:e784","Name":"/web","Driver":"overlay2","NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2","GlobalIPv6Address":"fd00::2","Gateway":"172.17.0.1"},"none":{"IPAddress":""}}}}`
	stopped = `{"State":{"Running":false},"Name":"/old","NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2"}}}}`
	bundle  = `{"ociVersion":"1.2.0","process":{"args":["nginx"]},"annotations":{"io.kubernetes.cri.container-name":"web","io.kubernetes.cri.container-type":"container","io.kubernetes.cri.image-name":"docker.io/library/nginx:1.27","io.kubernetes.cri.sandbox-name":"web-0"}}`
	sandbox = `{"ociVersion":"1.2.0","annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"web-0"}}`
	storage = `[{"id":"9f3c","names":["db"],"image":"e784","layer":"77","metadata":"{\"image-name\":\"docker.io/library/postgres:17\",\"image-id\":\"e784\",\"name\":\"db\",\"created-at\":1700000000}","created":"2026-01-01T00:00:00Z"},` +
		`{"id":"aa","names":["k8s_web_web-0_prod_1_0"],"metadata":"{\"pod\":false,\"image-name\":\"quay.io/web:1\",\"name\":\"k8s_web_web-0_prod_1_0\",\"metadata-name\":\"web\"}"},` +
		`{"id":"bb","names":["build"],"metadata":"by hand"},{"id":"cc"}]`
)

func TestDocker(t *testing.T) {
	for text, want := range map[string]struct {
		Container
		addresses string
	}{
		docker:                         {Container{"web", "nginx:1.27"}, "[172.17.0.2 fd00::2]"},
		stopped:                        {Container{Name: "old"}, "[]"}, // its address may be another's now
		`{}`:                           {addresses: "[]"},
		`{"Name":"x/y","Config":null}`: {Container{Name: "x/y"}, "[]"},
	} {
		t.Run(text, func(t *testing.T) {
			if got, addresses, err := Docker([]byte(text)); got != want.Container || fmt.Sprint(addresses) != want.addresses || err != nil {
				t.Errorf("got %+v at %v, %v", got, addresses, err)
			}
		})
	}
}

func TestProxyTarget(t *testing.T) {
	for args, want := range map[string]string{
		"/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80": "172.17.0.2",
		"docker-proxy -container-ip fd00::2 -use-listen-fd":                                                             "fd00::2",
		"docker-proxy -container-ip":     "",
		"docker-proxy -container-ip web": "",
		"docker-proxy":                   "",
		"other -container-ip 172.17.0.2": "",
		"":                               "",
	} {
		t.Run(args, func(t *testing.T) {
			got, ok := ProxyTarget(strings.Fields(args))
			if ok != (want != "") || ok && got.String() != want {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}

func TestBundle(t *testing.T) {
	for text, want := range map[string]Container{bundle: {"web", "docker.io/library/nginx:1.27"}, sandbox: {}, `{"annotations":null}`: {}} {
		t.Run(text, func(t *testing.T) {
			if got, err := Bundle([]byte(text)); got != want || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestStorage(t *testing.T) {
	got, err := Storage([]byte(storage))
	want := map[string]Container{"9f3c": {"db", "docker.io/library/postgres:17"}, "aa": {"web", "quay.io/web:1"}, "bb": {Name: "build"}, "cc": {}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, want (-), got (+):\n%s", err, diff)
	}
}

// A file that is cut, or of another shape, is an error and no container.
func TestMalformed(t *testing.T) {
	for _, text := range []string{"", "{", docker[:40], `7`, `{"Name":7,"annotations":[]}`} {
		t.Run(text, func(t *testing.T) {
			if got, _, err := Docker([]byte(text)); got != (Container{}) || err == nil {
				t.Errorf("docker: %+v, %v", got, err)
			}
			if got, err := Bundle([]byte(text)); got != (Container{}) || err == nil {
				t.Errorf("bundle: %+v, %v", got, err)
			}
			if got, err := Storage([]byte(text)); got != nil || err == nil {
				t.Errorf("storage: %+v, %v", got, err)
			}
		})
	}
}

func FuzzContainers(f *testing.F) {
	for _, text := range []string{docker, bundle, sandbox, storage} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, _, err := Docker(text); err != nil && c != (Container{}) {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := Bundle(text); err != nil && c != (Container{}) {
			t.Errorf("%+v, %v", c, err)
		}
		if all, err := Storage(text); err != nil && all != nil {
			t.Errorf("%+v, %v", all, err)
		}
	})
}
