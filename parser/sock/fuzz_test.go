package sock

import (
	"encoding/binary"
	"strings"
	"testing"
)

// FuzzParse holds that a name that is known is one of those that are written.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"tcp6", "UDPLITE", "ESTABLISHED", "syn_recv", "listening", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if family, protocol, ok := ParseProto(s); ok && !strings.EqualFold(Proto(family, protocol), s) {
			t.Errorf("%q is %v, %v", s, family, protocol)
		}
		if set, ok := ParseState(s); ok {
			for state := range State(32) {
				if set&(1<<state) != 0 && !strings.EqualFold(state.String(), s) {
					t.Errorf("%q is %v", s, state)
				}
			}
		}
		if state, ok := ParseUnixState(s); ok && !strings.EqualFold(state.String(), s) {
			t.Errorf("%q is %v", s, state)
		}
	})
}

// FuzzTCPInfo holds that a field is known only if the structure has all of it.
func FuzzTCPInfo(f *testing.F) {
	f.Add(make([]byte, tcpInfoSize), false)
	f.Add([]byte{1, 2, 3, 4, 5}, true)
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		var i TCPInfo
		i.Set(b, order)
		for _, field := range []InfoField{InfoRetransmits, InfoRTT, InfoMinRTT, InfoSSThresh, InfoPacingRate, InfoTotalRTO, InfoAccECNOptionSeen} {
			v, ok := i.Get(field)
			if ok && (v < 0 || int(field>>4)+int(field&15) > len(b)) {
				t.Errorf("field %d of %d bytes is %d", field>>4, len(b), v)
			}
		}
		i.CongestionState()
	})
}
