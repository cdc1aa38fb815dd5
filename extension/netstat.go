package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/osquery-sockets/osquery-sockets/integration/netstat"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
)

// newNetstat is the command that prints what netstat does.
func newNetstat(o *options) *cobra.Command {
	var n netstat.Options
	var numeric, continuous, sql bool
	var routes, interfaces, groups, statistics, masqueraded bool
	var family string
	other := map[string]*bool{}
	c := &cobra.Command{
		Use:   "netstat [options]",
		Short: "Print what netstat prints, from the tables",
		Long: `Prints what netstat(8) of net-tools 2.10 prints, with its options, from the
tables. --sql prints the statements instead, which osquery answers too.

It corrects netstat where that is wrong: Send-Q of a listener is the maximum of its
backlog, a socket has all of its processes, and names and paths are not cut off.
With --strict it prints these as netstat does.`,
		Example: `  sockets.ext netstat -tulpn
  sockets.ext netstat -ltn --sql`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for name, set := range other {
				if *set {
					return errors.New(elsewhere[name])
				}
			}
			for af := range strings.SplitSeq(family, ",") {
				switch af {
				case "":
				case "inet":
					n.IPv4 = true
				case "inet6":
					n.IPv6 = true
				case "unix":
					n.Unix = true
				default:
					return fmt.Errorf("the address family %q is not taken: inet, inet6 and unix are; SELECT * FROM legacy_sockets shows the others", af)
				}
			}
			if numeric {
				n.NumericHosts, n.NumericPorts, n.NumericUsers = true, true, true
			}
			views := n.Views
			modes := 0
			for _, mode := range []struct {
				chosen bool
				views  func() []netstat.View
			}{{routes, n.Routes}, {interfaces, n.Interfaces}, {groups, n.Groups}, {statistics, n.Statistics}, {masqueraded, n.Masqueraded}} {
				if mode.chosen {
					views = mode.views
					modes++
				}
			}
			switch {
			case modes > 1:
				return errors.New("only one of -r, -i, -g, -s and -M can be shown")
			case interfaces && n.Extend > 0:
				return errors.New("-ie, what ifconfig prints, is not taken: SELECT * FROM interface_statistics has all of it and more")
			}
			if sql {
				for i, v := range views() {
					if i > 0 {
						fmt.Fprintln(c.OutOrStdout())
					}
					fmt.Fprintln(c.OutOrStdout(), v.SQL+";")
				}
				return nil
			}
			all, _ := o.tables(o.host(o.report(c.ErrOrStderr())))
			db, err := sqlite.Open(all, o.limit(0))
			if err != nil {
				return failed(err)
			}
			defer db.Close()
			for {
				n.Hosts = netstat.NewHosts(c.Context())
				err := netstat.Print(c.Context(), db, c.OutOrStdout(), views())
				if n.Hosts.Late() {
					fmt.Fprintln(c.ErrOrStderr(), "sockets.ext netstat: some names of hosts did not come in time: -n shows addresses at once")
				}
				if err != nil || !continuous {
					return failed(err)
				}
				if err := wait(c.Context(), time.Second); err != nil {
					return failed(silent{err}) // it was to go on until then
				}
			}
		},
	}
	// Here one dash is right, unlike in the other commands.
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	f := c.Flags()
	f.SortFlags = false
	f.BoolVarP(&n.TCP, "tcp", "t", false, "show TCP sockets")
	f.BoolVarP(&n.UDP, "udp", "u", false, "show UDP sockets")
	f.BoolVarP(&n.UDPLite, "udplite", "U", false, "show UDP-Lite sockets")
	f.BoolVarP(&n.SCTP, "sctp", "S", false, "show SCTP sockets")
	f.BoolVarP(&n.Raw, "raw", "w", false, "show raw sockets")
	f.BoolVarP(&n.Unix, "unix", "x", false, "show sockets of the family unix")
	f.BoolVarP(&n.IPv4, "inet", "4", false, "show sockets of the family inet")
	f.BoolVarP(&n.IPv6, "inet6", "6", false, "show sockets of the family inet6")
	f.StringVarP(&family, "protocol", "A", "", "show sockets of address families, with commas between: inet, inet6, unix")
	f.BoolVarP(&routes, "route", "r", false, "show the routes")
	f.BoolVarP(&interfaces, "interfaces", "i", false, "show the interfaces")
	f.BoolVarP(&groups, "groups", "g", false, "show the multicast groups")
	f.BoolVarP(&statistics, "statistics", "s", false, "show the counters of the protocols")
	f.BoolVarP(&masqueraded, "masquerade", "M", false, "show the masqueraded connections")
	f.BoolVarP(&n.Listening, "listening", "l", false, "show listening sockets only")
	f.BoolVarP(&n.All, "all", "a", false, "show all sockets (default: connected ones)")
	f.BoolVarP(&numeric, "numeric", "n", false, "show numbers, no names")
	f.BoolVar(&n.NumericHosts, "numeric-hosts", false, "show addresses, no names of hosts")
	f.BoolVar(&n.NumericPorts, "numeric-ports", false, "show ports, no names of services")
	f.BoolVar(&n.NumericUsers, "numeric-users", false, "show numbers of users, no names")
	f.VarPF(repeated{&n.Extend}, "extend", "e", "show user and inode").NoOptDefVal = "+1"
	f.BoolVarP(&n.Programs, "programs", "p", false, "show the processes that have the socket open")
	f.BoolVarP(&n.Timers, "timers", "o", false, "show timers")
	f.BoolVarP(&continuous, "continuous", "c", false, "print it again every second, until interrupted")
	f.BoolVarP(&n.Wide, "wide", "W", false, "do not cut off addresses")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log each step to standard error")
	f.BoolVar(&n.Strict, "strict", false, "imitate netstat where it is wrong")
	f.BoolVar(&sql, "sql", false, "print the SQL and do not run it")
	f.BoolP("fib", "F", true, "") // there is nothing else to show
	f.Lookup("fib").Hidden = true
	f.SetNormalizeFunc(abbreviated(c))
	shorts := map[string]string{"symbolic": "N", "version": "V", "cache": "C", "context": "Z", "l2cap": "2", "rfcomm": "f"}
	for name := range elsewhere {
		other[name] = f.BoolP(name, shorts[name], false, "")
		f.Lookup(name).Hidden = true
	}
	return c
}

// abbreviated takes a flag's name that is cut off for that flag, if it is for no
// other, as getopt_long(3) and so netstat does.
func abbreviated(c *cobra.Command) func(*pflag.FlagSet, string) pflag.NormalizedName {
	return func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		whole := ""
		inherited := c.Root().PersistentFlags()
		c.Flags().VisitAll(func(flag *pflag.Flag) {
			switch {
			case flag.Name == name:
				whole = name
			case inherited.Lookup(flag.Name) == flag: // is none of netstat's
			case whole == "" && strings.HasPrefix(flag.Name, name):
				whole = flag.Name
			case whole != name && strings.HasPrefix(flag.Name, name):
				whole = "\x00" // of several
			}
		})
		if whole == "" || whole == "\x00" {
			return pflag.NormalizedName(name)
		}
		return pflag.NormalizedName(whole)
	}
}

// silent is an error that needs no words.
type silent struct{ error }

func (s silent) Unwrap() error { return s.error }

// legacy serves in the place of netstat's old families.
const legacy = "the old families and Bluetooth are not taken: SELECT * FROM legacy_sockets shows their sockets"

// elsewhere says what serves in the place of netstat's options that are not
// taken.
var elsewhere = map[string]string{
	"symbolic": "-N, --symbolic is not taken: hardware has no names here; SELECT name, address FROM interface_statistics shows its addresses",
	"cache":    "-C, --cache is not taken: Linux has no cache of IPv4 routes since 3.6; SELECT * FROM network_routes shows the routes",
	"ax25":     legacy, "ipx": legacy, "netrom": legacy, "x25": legacy, "rose": legacy, "ddp": legacy, "l2cap": legacy, "rfcomm": legacy,
	"version": "the version is printed by sockets.ext --version",
	"context": "-Z, --context is not taken: SELECT pid, program, security_context FROM socket_processes shows it",
}

// wait waits, or fails with the reason for which the context ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
