package proc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const twoThreads = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nmicrocode\t: 0x1\nphysical id\t: 0\nsiblings\t: 2\ncore id\t\t: 5\n\nprocessor\t: 1\nmodel name\t: AMD: EPYC\n\nHardware : x\n"

func TestCPUs(t *testing.T) {
	got, err := CPUs(strings.NewReader("model: of none\n" + twoThreads))
	want := []CPU{{"17", "AMD EPYC", "0x1", "0", "5", 2}, {Name: "AMD: EPYC"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func FuzzCPUs(f *testing.F) {
	f.Add(twoThreads)
	f.Fuzz(func(t *testing.T, in string) {
		all, err := CPUs(strings.NewReader(in))
		if err != nil || len(all) > strings.Count(in, "processor") {
			t.Errorf("%d of %q, %v", len(all), in, err)
		}
	})
}
