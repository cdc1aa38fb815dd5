package register

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Listener is what an [Entry] is compared with. An empty text is not known, or there is
// none.
type Listener struct {
	Protocol string
	Port     uint32
	Address  netip.Addr // invalid if it has none
	Exposure string     // one of the exposures of an entry, or another word for unknown

	Program, Exe, User, Unit, Image string
	// An entry's container is compared with the name and with the identity.
	Container, ContainerID string
}

// Ports returns the ports of the entry as its file has them; "" for any.
func (e *Entry) Ports() string {
	switch {
	case !e.HasPorts:
		return ""
	case e.Low == e.High:
		return strconv.Itoa(int(e.Low))
	}
	return fmt.Sprintf("%d-%d", e.Low, e.High)
}

// AddressText returns the address or prefix of the entry; "" for any.
func (e *Entry) AddressText() string {
	switch {
	case !e.Address.IsValid():
		return ""
	case e.Address.IsSingleIP():
		return e.Address.Addr().String()
	}
	return e.Address.String()
}

// Expired reports whether the entry approves nothing any more on a day, which is
// written as 2006-01-02.
func (e *Entry) Expired(today string) bool { return e.Expires != "" && e.Expires < today }

// Differences returns in what a listener differs from the entry, each with what it has
// and what the entry approves; none if the entry approves it. It does not compare the
// day.
func (e *Entry) Differences(l *Listener) (all []string) {
	differs := func(what, has, approved string) {
		if has == "" {
			has = "unknown"
		}
		all = append(all, fmt.Sprintf("%s is %s, approved is %s", what, has, approved))
	}
	if e.Protocol != l.Protocol {
		differs("protocol", l.Protocol, e.Protocol)
	}
	if e.HasPorts && (l.Port < e.Low || l.Port > e.High) {
		differs("port", strconv.Itoa(int(l.Port)), e.Ports())
	}
	if e.Address.IsValid() && !e.Address.Contains(l.Address) {
		has := ""
		if l.Address.IsValid() {
			has = l.Address.String()
		}
		differs("address", has, e.AddressText())
	}
	if e.Exposure != "" && width(l.Exposure) > width(e.Exposure) {
		differs("exposure", l.Exposure, e.Exposure)
	}
	for _, t := range []struct{ what, has, approved string }{
		{"program", l.Program, e.Program}, {"exe", l.Exe, e.Exe}, {"user", l.User, e.User},
		{"systemd_unit", l.Unit, e.Unit}, {"image", l.Image, e.Image},
	} {
		if t.approved != "" && !Glob(t.approved, t.has) {
			differs(t.what, t.has, t.approved)
		}
	}
	if e.Container != "" && !Glob(e.Container, l.Container) && !Glob(e.Container, l.ContainerID) {
		differs("container", cmp.Or(l.Container, l.ContainerID), e.Container)
	}
	return all
}

// width orders exposures. One that is unknown may be public.
func width(exposure string) int {
	if i := slices.Index(exposures, exposure); i >= 0 {
		return i
	}
	return len(exposures) - 1
}

// Nearest returns the entry that approves a listener on a day, and no differences. If
// none does it returns the entry with the fewest differences, and those; that an approval
// has ended counts less than any other. Of several it is the first. It is nil if no entry
// has the listener's port or its owner.
func Nearest(entries []Entry, l *Listener, today string) (nearest *Entry, differences []string) {
	least := 0
	for i := range entries {
		e := &entries[i]
		all := e.Differences(l)
		distance := 2 * len(all)
		if e.Expired(today) {
			distance++
			all = append(all, "the approval ended on "+e.Expires)
		}
		if len(all) == 0 {
			return e, nil
		}
		if e.resembles(l) && (nearest == nil || distance < least) {
			nearest, differences, least = e, all, distance
		}
	}
	return nearest, differences
}

// resembles reports whether the entry is about the listener's port or owner.
func (e *Entry) resembles(l *Listener) bool {
	if e.HasPorts && e.Protocol == l.Protocol && e.Low <= l.Port && l.Port <= e.High {
		return true
	}
	for _, t := range [][2]string{{e.Program, l.Program}, {e.Exe, l.Exe}, {e.Unit, l.Unit}, {e.Image, l.Image}, {e.Container, l.Container}, {e.Container, l.ContainerID}} {
		if strings.Trim(t[0], "*") != "" && t[1] != "" && Glob(t[0], t[1]) {
			return true
		}
	}
	return false
}

// Glob reports whether a text matches a pattern, in which * is any text and ? any
// character of one byte. A pattern with a character that is not * matches no empty text.
func Glob(pattern, text string) bool {
	if text == "" {
		return strings.Trim(pattern, "*") == ""
	}
	p, t, star, from := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0: // the last * takes one more
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
