package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// killRounds is how often each side is killed.
const killRounds = 100

// settled does what osquery's core and its watcher do until the extension is there:
// it drops a registration that does not answer, and starts the extension that ended.
func settled(t *testing.T, m *osquerytest.Manager, e *extension, start func() *extension) *extension {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		uuid, found := m.Find("sockets")
		select {
		case <-e.ended:
			// It was refused: one that was killed had registered to the last.
			m.Forget(uuid)
			e = start()
			continue
		default:
		}
		if !found {
			continue
		}
		if conn, err := net.Dial("unix", m.ExtensionSocket(uuid)); err == nil {
			conn.Close()
			return e
		}
	}
	t.Fatal("the extension does not come back")
	return nil
}

// Whoever is killed, and whenever: when both are there again the tables are, and
// have all their rows. The manager's end is that of osquery's core, whose watcher
// starts its extensions anew.
func TestKilled(t *testing.T) {
	rounds := killRounds
	if testing.Short() {
		rounds = 10
	}
	random := rand.New(rand.NewPCG(7, 8))
	want := cut(fixtureRows(t, "tcp_sockets", func(map[string]string) bool { return true }), "state", "local_port")
	slices.Sort(want)
	m := osquerytest.New(t)
	start := func() *extension {
		return startExtension(t, m, "--proc", fixtureProc, "--services", fixtureServices)
	}
	e := start()
	var slowest [2]time.Duration // of the extension, of osquery
	for round := range 2 * rounds {
		killed := time.Now()
		wait := time.Duration(random.IntN(30)) * time.Millisecond // before, while or after it registers
		if round%2 == 0 {
			time.Sleep(wait)
			killed = time.Now()
			e.Process.Kill()
			<-e.ended
			// Core drops an extension that does not answer its ping.
			if uuid, found := m.Find("sockets"); found {
				m.Forget(uuid)
			}
			e = start()
		} else {
			m.Kill()
			time.Sleep(wait)
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			// The watcher of osquery ends the extensions of a core that ended.
			e.Process.Kill()
			<-e.ended
			e = start()
		}
		e = settled(t, m, e, start)
		got, _ := generate(t, m, "tcp_sockets", `{"colsUsed":["state","local_port"]}`)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Fatalf("round %d: %d rows, want %d", round, len(got), len(want))
		}
		slowest[round%2] = max(slowest[round%2], time.Since(killed))
	}
	left, err := filepath.Glob(m.Socket() + ".*")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rounds, the slowest recoveries took %v, %d socket files are left", 2*rounds, slowest, len(left))
	for i, who := range []string{"the extension is killed, and started anew by the watcher", "osquery is killed, and started anew with the extension"} {
		report(faultRow{fault: who, times: rounds, sees: "an error of queries under way", recovery: fmt.Sprintf("%d ms at most", slowest[i].Milliseconds())})
	}
}
