// Package register decodes a register of approved listeners, which says in YAML what
// may listen, why, and who has approved it, and compares listeners with it.
//
//	listeners:
//	  - protocol: tcp
//	    port: 22
//	    exposure: private
//	    program: sshd
//	    why: administration from the office's network
//	    approver: j.doe
//	    ticket: CHG-1042
//	    expires: 2027-06-30
package register

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// Entry approves listeners. A text with * (any text) or ? (one character) in it is a
// pattern; the empty text approves any.
type Entry struct {
	Line int // of its file, counted from 1

	Protocol string // tcp, udp, udplite, sctp, vsock, raw or icmp
	// Low and High are the ports, both inclusive, if HasPorts; else any port.
	Low, High uint32
	HasPorts  bool
	// Address has the addresses that may be bound; any if it is invalid.
	Address netip.Prefix
	// Exposure is the widest that is approved; "" for any.
	Exposure string

	Program, Exe, User, Unit, Image, Container string

	Why, Approver, Ticket string
	// Expires is the last day on which the entry approves, as 2006-01-02 in UTC; "" for
	// no end.
	Expires string
}

// protocols are those that an entry can have, and whether they have ports.
var protocols = map[string]bool{"tcp": true, "udp": true, "udplite": true, "sctp": true, "vsock": true, "raw": false, "icmp": false}

// exposures are those that an entry can have, from the narrowest to the widest.
var exposures = []string{"host_only", "link", "private", "public"}

// syntaxLine is how the YAML library names a line.
var syntaxLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`line (\d+): `) })

// Parse decodes a register. A file without anything in it has no entries. An error is a
// [parser.LineError], which names the line and the word: an entry that is not understood
// would approve something else than its author meant.
func Parse(file []byte) ([]Entry, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(file))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxError(file, err)
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		return nil, parser.NewLineError(max(second.Line, 1), nil, "a register is one document: remove the second ---")
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(file, err)
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	root := document.Content[0]
	if isNull(root) {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, at(root, "a register begins with listeners:")
	}
	var all []Entry
	seen := false
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		switch {
		case key.Value != "listeners":
			return nil, at(key, "unknown key, a register has listeners")
		case seen:
			return nil, at(key, "the key is there twice")
		case isNull(value):
		case value.Kind != yaml.SequenceNode:
			return nil, at(value, "listeners is a list, each entry begins with -")
		default:
			for _, node := range value.Content {
				e, err := entry(node)
				if err != nil {
					return nil, err
				}
				all = append(all, e)
			}
		}
		seen = true
	}
	return all, nil
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// at makes an error of a node.
func at(node *yaml.Node, reason string) error {
	return parser.NewLineError(node.Line, []byte(node.Value), reason)
}

// syntaxError makes an error of one of the YAML library.
func syntaxError(file []byte, err error) error {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	number := 1
	if m := syntaxLine().FindStringSubmatchIndex(reason); m != nil {
		number, _ = strconv.Atoi(reason[m[2]:m[3]])
		reason = reason[:m[0]] + reason[m[1]:]
	}
	var text []byte
	if lines := bytes.Split(file, []byte("\n")); number >= 1 && number <= len(lines) {
		text = bytes.TrimSpace(lines[number-1])
	}
	return parser.NewLineError(number, text, "this is no YAML, "+reason)
}

// fields are the keys of an entry whose values are texts.
func (e *Entry) fields() map[string]*string {
	return map[string]*string{
		"program": &e.Program, "exe": &e.Exe, "user": &e.User, "systemd_unit": &e.Unit,
		"image": &e.Image, "container": &e.Container,
		"why": &e.Why, "approver": &e.Approver, "ticket": &e.Ticket,
	}
}

// special are the other keys.
func (e *Entry) special() map[string]func(text string) error {
	return map[string]func(string) error{
		"protocol": e.setProtocol, "port": e.setPorts, "address": e.setAddress, "exposure": e.setExposure, "expires": e.setExpires,
	}
}

// keys are the keys of an entry.
func keys() []string {
	return []string{"protocol", "port", "address", "exposure", "program", "exe", "user", "systemd_unit", "image", "container", "why", "approver", "ticket", "expires"}
}

func (e *Entry) setProtocol(text string) error {
	if _, ok := protocols[text]; !ok {
		return errors.New("protocol is tcp, udp, udplite, sctp, vsock, raw or icmp")
	}
	e.Protocol = text
	return nil
}

func (e *Entry) setPorts(text string) error {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	first, failed := strconv.ParseUint(strings.TrimSpace(low), 10, 32)
	last, failedToo := strconv.ParseUint(strings.TrimSpace(high), 10, 32)
	if failed != nil || failedToo != nil || first > last {
		return errors.New("port is a number such as 22, or a range such as 8000-8010")
	}
	e.Low, e.High, e.HasPorts = uint32(first), uint32(last), true
	return nil
}

func (e *Entry) setAddress(text string) error {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		e.Address = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Masked() != p {
		return errors.New("address is an IP address, or a prefix such as 10.0.0.0/8 whose other bits are 0")
	}
	e.Address = p
	return nil
}

func (e *Entry) setExposure(text string) error {
	if !slices.Contains(exposures, text) {
		return fmt.Errorf("exposure is %s", strings.Join(exposures, ", "))
	}
	e.Exposure = text
	return nil
}

func (e *Entry) setExpires(text string) error {
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		return errors.New("expires is a day such as 2027-06-30")
	}
	e.Expires = text
	return nil
}

// entry decodes an entry.
func entry(node *yaml.Node) (e Entry, err error) {
	e.Line = node.Line
	if node.Kind != yaml.MappingNode {
		return e, at(node, "an entry has keys, such as protocol")
	}
	seen := make(map[string]*yaml.Node)
	texts, special := e.fields(), e.special()
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if seen[key.Value] != nil {
			return e, at(key, "the key is there twice in an entry")
		}
		seen[key.Value] = value
		text, isText := texts[key.Value]
		set, isSpecial := special[key.Value]
		switch {
		case !isText && !isSpecial:
			return e, at(key, "unknown key, an entry has "+strings.Join(keys(), ", "))
		case value.Kind != yaml.ScalarNode:
			return e, at(key, "the key has one value, no list and no alias")
		case isNull(value) || strings.TrimSpace(value.Value) == "":
			return e, at(key, "the key has no value: write one, or remove the line")
		case isText:
			*text = value.Value
		default:
			if err := set(value.Value); err != nil {
				return e, at(value, err.Error())
			}
		}
	}
	for _, required := range []string{"protocol", "why", "approver"} {
		if seen[required] == nil {
			return e, at(node, "the entry lacks "+required)
		}
	}
	switch {
	case e.HasPorts && !protocols[e.Protocol]:
		return e, at(seen["port"], e.Protocol+" has no ports")
	case e.HasPorts && e.Protocol != "vsock" && e.High > 65535:
		return e, at(seen["port"], "a port is at most 65535")
	case seen["address"] == nil && seen["exposure"] == nil && e.Protocol != "vsock":
		return e, at(node, "the entry lacks address or exposure: exposure: public approves any")
	case !e.HasPorts && e.Program+e.Exe+e.Unit+e.Image+e.Container == "":
		return e, at(node, "the entry lacks port, or what may listen: program, exe, systemd_unit, image or container")
	}
	return e, nil
}
