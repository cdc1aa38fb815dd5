// Package e2e compares what the program sockets.ext shows of a real kernel with
// what netstat and the sockets themselves tell.
//
// The program is the file whose path is in SOCKETS_EXT, else one that is built
// for the tests.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// buildTimeout bounds the build of the program, from an empty build cache.
const buildTimeout = 5 * time.Minute

// program is the path of sockets.ext, set once before the tests run.
var program string

func TestMain(m *testing.M) {
	for env, be := range map[string]func(string) error{holderEnv: beHolder, attackEnv: beAttacker, meterEnv: beMeter} {
		if role := os.Getenv(env); role != "" {
			if err := be(role); err != nil {
				fmt.Fprintln(os.Stderr, "e2e:", err)
				os.Exit(1)
			}
			return
		}
	}
	if os.Getenv(lastThread) != "" {
		endFirstThread()
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sockets-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		program, err = findProgram(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code := m.Run()
	if err := writeFaults(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return code
}

// findProgram returns the program's absolute path; if need be it builds it
// into dir.
func findProgram(dir string) (string, error) {
	if path := os.Getenv("SOCKETS_EXT"); path != "" {
		return filepath.Abs(path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	path := filepath.Join(dir, "sockets.ext")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "../../extension")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", build, errors.Join(err, ctx.Err()), out)
	}
	return path, nil
}

// tableRow is a row of one of our tables by column; NULL is the empty string.
type tableRow map[string]string

// UnmarshalJSON makes texts of numbers, and the empty one of null.
func (r *tableRow) UnmarshalJSON(b []byte) error {
	var values map[string]any
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	if err := decoder.Decode(&values); err != nil {
		return err
	}
	*r = make(tableRow)
	for name, value := range values {
		switch value := value.(type) {
		case nil:
			(*r)[name] = ""
		case json.Number:
			(*r)[name] = value.String()
		case string:
			(*r)[name] = value
		default:
			return fmt.Errorf("%s is %v", name, value)
		}
	}
	return nil
}

// query runs the program in the namespace.
func query(t *testing.T, ns *netnstest.NS, sql string) []tableRow {
	t.Helper()
	return decode(t, []byte(output(t, ns, program, "query", "--json", sql)))[0]
}
