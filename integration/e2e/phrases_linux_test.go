package e2e

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/guides"
	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// sameRows are the commands of the phrase book whose rows are those of the statement,
// with the number of lines that they print above the rows. The others print a row of
// several lines, or less than the statement: lsof shows no socket without a process,
// ss -t no connection in TIME_WAIT, and the network namespaces of lsns come and go with
// other tests.
var sameRows = map[string]int{
	"netstat -tlnp": 2, "netstat -ulnp": 2, "netstat -atn": 2, "netstat -tn": 2, "netstat -tne": 2, "netstat -tno": 2,
	"netstat -xp": 2, "netstat -xl": 2, "netstat -wan": 2, "netstat -Uan": 2, "netstat -4tln": 2, "netstat -6tln": 2,
	"netstat -rn": 2, "netstat -i": 2, "netstat -g": 3,
	"netstat -tan | grep ':443 '": 0, "netstat -tan | awk '{print $6}' | sort | uniq -c": 2,
	"ss -tln": 1, "ss -tlnp": 1, "ss -tan state established": 1, "ss -tan state time-wait": 1,
	"ss -tan '( dport = :443 or sport = :443 )'": 1, "ss -tn dst 10.0.0.0/8": 1, "ss -tan 'sport >= :1024'": 1,
	"ss -tae": 1, "ss -tao": 1, "ss -uan": 1, "ss -xap": 1, "ss -wan": 1, "ss -0ap": 1, "ss -0b": 1,
	"lsof -iTCP -sTCP:LISTEN": 1,
	"ip -br addr":             0, "ip route show table all": 0, "ip rule": 0, "ip neigh": 0, "ip nexthop": 0,
}

// The statements of the phrase book have as many rows as the commands of which they are
// the answer, in a network namespace with sockets in every state. The programs know the
// commands' options.
func TestPhraseBookAgainstPrograms(t *testing.T) {
	unknown := regexp.MustCompile(`(?i)(invalid|unknown|unrecognized|illegal) option|usage:`)
	page, err := guides.Page("coming-from-netstat-ss-lsof.md")
	if err != nil {
		t.Fatal(err)
	}
	phrases, err := guides.Phrases(page)
	if err != nil {
		t.Fatal(err)
	}
	ns := netnstest.New(t)
	ns.Populate(t)
	known, compared := 0, 0
	for _, p := range phrases {
		for _, command := range p.Commands {
			header, same := sameRows[command]
			if same {
				known++
			}
			name := strings.Fields(command)[0]
			if _, err := exec.LookPath(name); err != nil {
				t.Logf("%s is not here", name)
				continue
			}
			run := func() (theirs []byte, err error) { return ns.Command(t.Context(), "sh", "-c", command+" 2>&1") }
			theirs, err := run()
			if unknown.Match(theirs) && command != "ss -tnB" { // new in iproute2 6.8
				t.Errorf("%s: %v, %s", command, err, theirs)
			}
			if !same {
				continue
			}
			compared++
			var ours string
			var got, want int
			for range 5 { // a connection may end in between
				ours = output(t, ns, program, "query", "--list", "--header=false", p.Answer)
				got, want = strings.Count(ours, "\n"), strings.Count(string(theirs), "\n")-header
				if got == want {
					break
				}
				if theirs, err = run(); err != nil {
					t.Logf("%s: %v", command, err)
				}
			}
			if got != want {
				t.Errorf("%s: %d rows, want %d\n%s\n%s", command, got, want, ours, theirs)
			}
		}
	}
	if known != len(sameRows) {
		t.Errorf("the phrase book has %d of the %d commands of sameRows", known, len(sameRows))
	} else if compared < known {
		netnstest.SkipOrFail(t, "a program is not here")
	}
}
