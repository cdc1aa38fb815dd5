package e2e

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A signal ends the command wherever it waits, and as a signal does, so that a
// shell's loop around it ends too.
func TestCommandEndsBySignal(t *testing.T) {
	const endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT "
	for name, c := range map[string]struct {
		sql     string
		signal  syscall.Signal
		signals int
	}{
		"waiting for its input":        {"-", syscall.SIGINT, 1},
		"in a statement":               {endless + "count(*) FROM c", syscall.SIGTERM, 1},
		"writing to nobody, by two":    {endless + "x FROM c", syscall.SIGINT, 2},
		"writing to nobody, by itself": {endless + "x FROM c", syscall.SIGTERM, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(program, "query", "--csv", c.sql)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			if strings.Contains(c.sql, "x FROM") {
				// Its first rows are there; the rest it cannot get rid of.
				if _, err := bufio.NewReaderSize(io.LimitReader(stdout, 4096), 4096).ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(200 * time.Millisecond) // it is where it should be
			for range c.signals {
				cmd.Process.Signal(c.signal)
				time.Sleep(100 * time.Millisecond)
			}
			ended := make(chan struct{})
			go func() {
				cmd.Process.Wait()
				close(ended)
			}()
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("it does not end")
			}
		})
	}
	cmd := exec.Command(program, "query", endless+"count(*) FROM c")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended by %v", cmd.ProcessState)
	}
}
