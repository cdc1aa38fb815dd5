package host

import (
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// skipOrFail skips a test for want of a privilege or of support. Any other error
// fails it.
func skipOrFail(t testing.TB, err error) {
	t.Helper()
	netnstest.SkipOrFailOn(t, err)
}
