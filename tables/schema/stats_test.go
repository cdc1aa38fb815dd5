package schema

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"
)

// Quantiles are not below the truth, and above it by at most an eighth.
func TestQuantiles(t *testing.T) {
	s := NewStats()
	for n := 1; n <= 1000; n++ {
		s.observe("a", 0, time.Duration(n)*time.Microsecond, nil)
	}
	for _, one := range s.Tables() {
		for want, got := range map[time.Duration]time.Duration{500 * time.Microsecond: one.P50, 990 * time.Microsecond: one.P99} {
			if got < want || got > want*9/8 {
				t.Errorf("%v, want %v or a little more", got, want)
			}
		}
	}
	for d := time.Duration(1); d < time.Hour*1000; d = d*5/4 + 1 {
		s := NewStats()
		s.observe("a", 0, d, nil)
		if got := s.Tables()[0].P99; got < d || got > d*9/8+1 {
			t.Errorf("one of %d ns is %d", d, got)
		}
	}
}

type number struct{ n int64 }

// numbers is a table of three rows, or what rows gives.
func numbers(rows func(context.Context) iter.Seq2[number, error]) Any {
	return Bind(Table[number]{
		Name: "numbers", Doc: "Numbers.", Examples: []string{"SELECT 1", "SELECT 2"},
		Columns: []Column[number]{Col("n", "Number.", func(r *number) int64 { return r.n })},
		RowID:   func(r *number) int64 { return r.n },
		Rows:    func(ctx context.Context, _ Query) iter.Seq2[number, error] { return rows(ctx) },
	})
}

func three(context.Context) iter.Seq2[number, error] {
	return func(yield func(number, error) bool) {
		for n := range int64(3) {
			if !yield(number{n}, nil) {
				return
			}
		}
	}
}

func TestStatsOfPlugins(t *testing.T) {
	fails := false
	table := numbers(func(ctx context.Context) iter.Seq2[number, error] {
		if fails {
			return func(yield func(number, error) bool) { yield(number{}, errors.New("oh")) }
		}
		return three(ctx)
	})
	s := NewStats(table)
	p := NewPlugin(table)
	p.Stats, p.Prefix = s, "x_"
	if p.Name() != "x_numbers" {
		t.Errorf("its name is %s", p.Name())
	}
	if before := s.Tables(); len(before) != 1 || before[0] != (TableStats{Name: "numbers"}) {
		t.Errorf("%+v", before)
	}
	request := osquery.ExtensionPluginRequest{"action": "generate"}
	p.Call(t.Context(), request)
	p.Call(t.Context(), request)
	fails = true
	p.Call(t.Context(), request)
	p.Call(t.Context(), osquery.ExtensionPluginRequest{"action": "columns"})
	got := s.Tables()[0]
	if got.Queries != 3 || got.Rows != 6 || got.Errors != 1 || !strings.Contains(got.LastError, "oh") || got.LastErrorTime.IsZero() || got.P50 <= 0 || got.P99 < got.P50 {
		t.Errorf("%+v", got)
	}
}

// A source that does not see the end of its query fails it, by name, and
// nothing else.
func TestStalledSource(t *testing.T) {
	release := make(chan struct{})
	stalls := true
	p := NewPlugin(numbers(func(ctx context.Context) iter.Seq2[number, error] {
		if !stalls {
			return three(ctx)
		}
		return func(yield func(number, error) bool) {
			for n := range int64(3) {
				yield(number{n}, nil)
			}
			<-release
		}
	}))
	p.Timeout = 10 * time.Millisecond
	start := time.Now()
	r := p.Call(t.Context(), osquery.ExtensionPluginRequest{"action": "generate"})
	if r.Status.Code == 0 || !strings.Contains(r.Status.Message, "table numbers: its source stalls") || len(r.Response) != 0 {
		t.Errorf("%+v", r)
	}
	if took := time.Since(start); took > 10*stallTimeout {
		t.Errorf("it took %v", took)
	}
	stalls = false
	if r := p.Call(t.Context(), osquery.ExtensionPluginRequest{"action": "generate"}); r.Status.Code != 0 || fmt.Sprint(len(r.Response)) != "3" {
		t.Errorf("afterwards: %+v", r)
	}
	close(release)
}
