package usage

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

func TestLack(t *testing.T) {
	var lack Lack
	for _, c := range []struct {
		why, example string
		want         Lack
		text         string
	}{
		{"denied", "process 1: EACCES", Lack{"denied", 1, "process 1: EACCES"}, "denied (1, such as process 1: EACCES)"},
		{"denied", "process 2: EACCES", Lack{"denied", 2, "process 1: EACCES"}, "denied (2, such as process 1: EACCES)"},
		{"broken", "process 3: EINVAL", Lack{"broken; denied", 3, "process 1: EACCES"}, "broken; denied (3, such as process 1: EACCES)"},
		{"denied", "process 4: EACCES", Lack{"broken; denied", 4, "process 1: EACCES"}, "broken; denied (4, such as process 1: EACCES)"},
	} {
		lack.Add(c.why, c.example)
		if diff := cmp.Diff(c.want, lack); diff != "" || lack.String() != c.text {
			t.Errorf("%s\nwant (-), got (+):\n%s", lack, diff)
		}
	}
	lack.AddAll(Lack{})
	if lack.Number != 4 || (Lack{Why: "hidden"}).String() != "hidden" || (Lack{}).String() != "" {
		t.Error(lack)
	}
}

// One line says what is missing, and another only when the reason is another.
func TestWarnings(t *testing.T) {
	var out bytes.Buffer
	log := NewLog(hclog.New(&hclog.LoggerOptions{Output: &out}))
	denied, broken := Lack{"denied", 3, "process 1"}, Lack{"broken", 1, "process 2\x1b[31m"}
	for range 100 {
		log.Note("holders", Usage{Lack: denied})
		denied.Number++ // another number is no other reason
		log.Note("holders", Usage{})
	}
	log.Note("holders", Usage{Lack: broken})
	log.Note("namespaces", Usage{Lack: broken})
	if got := out.String(); strings.Count(got, "\n") != 3 || strings.Count(got, "denied") != 1 || !strings.Contains(got, "number=3") || strings.Contains(got, "\x1b") {
		t.Errorf("got %s", got)
	}
	want := []string{"holders: broken (1, such as process 2\x1b[31m)", "namespaces: broken (1, such as process 2\x1b[31m)"}
	if diff := cmp.Diff(want, log.Lacks()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
