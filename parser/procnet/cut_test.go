package procnet

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// decoded returns the records of a list as texts.
func decoded[T any](decode func(io.Reader) iter.Seq2[T, error]) func(string) ([]string, error) {
	return func(in string) (all []string, err error) {
		records, err := collect(decode(strings.NewReader(in)))
		for _, r := range records {
			text := fmt.Sprintf("%+v", r)
			if _, ok := any(r).(sock.Summary); ok { // has pointers
				b, err := json.Marshal(r)
				if err != nil {
					return nil, err
				}
				text = string(b)
			}
			all = append(all, text)
		}
		return all, err
	}
}

// A copy that has lost its last newline has all records. One that was cut off
// within a line ends in an error, or its last record is as it was. Only where
// nothing is behind the last word that counts may that word be the beginning of the
// true one.
func TestCut(t *testing.T) {
	little := binary.LittleEndian
	groups := func(name string) func(string) ([]string, error) {
		return decoded(func(r io.Reader) iter.Seq2[network.Group, error] { return Groups(r, name, little) })
	}
	legacy := func(proto string) func(string) ([]string, error) {
		return decoded(func(r io.Reader) iter.Seq2[sock.Legacy, error] { return Legacy(r, proto) })
	}
	routes := func(family sock.Family) func(string) ([]string, error) {
		return decoded(func(r io.Reader) iter.Seq2[network.Route, error] { return Routes(r, family, little) })
	}
	for name, decode := range map[string]func(string) ([]string, error){
		"tcp":         decoded(func(r io.Reader) iter.Seq2[sock.TCP, error] { return TCP(r, sock.INET, little) }),
		"tcp6":        decoded(func(r io.Reader) iter.Seq2[sock.TCP, error] { return TCP(r, sock.INET6, little) }),
		"udp":         decoded(func(r io.Reader) iter.Seq2[sock.UDP, error] { return UDP(r, sock.INET, sock.ProtoUDP, little) }),
		"raw":         decoded(func(r io.Reader) iter.Seq2[sock.RawIP, error] { return Raw(r, sock.INET, false, little) }),
		"unix":        decoded(func(r io.Reader) iter.Seq2[sock.Unix, error] { return Unix(r, nil, never(t)) }),
		"netlink":     decoded(Netlink),
		"packet":      decoded(Packet),
		"dev":         decoded(Links),
		"route":       routes(sock.INET),
		"ipv6_route":  routes(sock.INET6),
		"igmp":        groups(IGMP),
		"igmp6":       groups(IGMP6),
		"dev_mcast":   groups(DevMcast),
		"sctp/eps":    decoded(SCTPEndpoints),
		"sctp/assocs": decoded(SCTPAssociations), "sctp/remaddr": decoded(SCTPPaths),
		"snmp": decoded(PairedStatistics), "netstat": decoded(PairedStatistics), "snmp6": decoded(NamedStatistics),
		"sockstat": decoded(Summaries), "sockstat6": decoded(Summaries),
		"ax25": legacy("ax25"), "nr": legacy("netrom"), "rfcomm": legacy("rfcomm"), "ipx/socket": legacy("ipx"),
	} {
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile(filepath.Join("../../tables/testdata/proc/1/net", name))
			if err != nil {
				t.Fatal(err)
			}
			whole := string(file)
			all, err := decode(whole)
			if err != nil || len(all) == 0 {
				t.Fatalf("%d records, %v", len(all), err)
			}
			line := strings.TrimSuffix(whole, "\n")
			got, err := decode(line)
			if diff := cmp.Diff(all, got); diff != "" || err != nil {
				t.Errorf("without the last newline %v, want (-), got (+):\n%s", err, diff)
			}
			// Where the last word begins, if nothing is behind it. Of a unix socket the
			// path may be missing.
			begin := strings.LastIndexByte(line, '\n') + 1
			last := len(strings.TrimRight(line, "*0123456789abcdefghijklmnopqrstuvwxyz/"))
			if name == "unix" {
				last = begin + len("000000003d2f1a00: 00000002 00000000 00010000 0001 01 ")
			}
			for cut := begin + 1; cut < len(line); cut++ {
				got, err := decode(whole[:cut])
				var bad *parser.LineError
				if err != nil {
					if !errors.As(err, &bad) || bad.Reason != "the file ends in the middle of a line" {
						t.Errorf("cut at %d: %v", cut, err)
					}
					continue
				}
				if name == "tcp" || name == "udp" || name == "route" {
					t.Errorf("cut at %d: no error, though the lines are padded", cut)
				}
				if diff := cmp.Diff(all, got); diff != "" && (last == len(line) || cut <= last) {
					t.Errorf("cut at %d, after %q, want (-), got (+):\n%s", cut, whole[max(0, cut-20):cut], diff)
				}
			}
		})
	}
	t.Run("header", func(t *testing.T) {
		for cut := range strings.TrimSuffix(header, "\n") {
			if strings.Contains(header[:cut], "inode") {
				break
			}
			if _, err := collect(TCP(strings.NewReader(header[:cut]), sock.INET, little)); err == nil {
				t.Errorf("%q passes", header[:cut])
			}
		}
	})
}
