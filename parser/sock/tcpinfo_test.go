package sock

import (
	"encoding/binary"
	"math"
	"testing"
)

// A kernel whose structure ends earlier tells less; what it tells stays.
func TestTCPInfoEndsWithItsKernel(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		var b [300]byte
		fields := map[InfoField]int64{
			InfoProbes: 200, InfoRTT: 0x01020304, InfoMinRTT: 7, InfoSSThresh: 10,
			InfoPacingRate: 0x0102030405060708, InfoTotalRTO: 0x0a0b, InfoAccECNOptionSeen: 3,
		}
		for f, v := range fields {
			at := b[f>>4:]
			switch f & 15 {
			case 1:
				at[0] = byte(v)
			case 2:
				order.PutUint16(at, uint16(v))
			case 4:
				order.PutUint32(at, uint32(v))
			case 8:
				order.PutUint64(at, uint64(v))
			}
		}
		for size := 0; size <= len(b); size++ {
			var i TCPInfo
			i.Set(b[:size], order)
			for f, v := range fields {
				got, ok := i.Get(f)
				if whole := int(f>>4)+int(f&15) <= size; ok != whole || ok && got != v {
					t.Errorf("%v: field %d of %d bytes is %d, %v; want %d, %v", order, f>>4, size, got, ok, v, whole)
				}
			}
		}
	}
}

// Numbers that stand for none.
func TestTCPInfoNone(t *testing.T) {
	var b [tcpInfoSize]byte
	for i := range b {
		b[i] = 0xff
	}
	binary.LittleEndian.PutUint32(b[InfoSSThresh>>4:], 0x7fffffff)
	var i TCPInfo
	i.Set(b[:], binary.LittleEndian)
	for _, f := range []InfoField{InfoMinRTT, InfoSSThresh, InfoPacingRate, InfoMaxPacingRate} {
		if v, ok := i.Get(f); ok {
			t.Errorf("field %d is %d", f>>4, v)
		}
	}
	if v, ok := i.Get(InfoRTT); !ok || v != math.MaxUint32 {
		t.Errorf("the round-trip time is %d, %v", v, ok)
	}
	if i.CongestionState() != "" {
		t.Errorf("congestion state %q", i.CongestionState())
	}
}

// The compiler of a big-endian machine counts bit fields from the other end.
func TestTCPInfoBits(t *testing.T) {
	for _, c := range []struct {
		order       binary.ByteOrder
		scale, flag byte
	}{
		{binary.LittleEndian, 0xa7, 0b101},
		{binary.BigEndian, 0x7a, 0b110_00000},
	} {
		t.Run(c.order.String(), func(t *testing.T) {
			b := make([]byte, 8)
			b[infoOptions], b[infoWscale], b[infoFlags] = optionWscale|1, c.scale, c.flag
			var i TCPInfo
			i.Set(b, c.order)
			send, ok1 := i.SendScale()
			receive, ok2 := i.ReceiveScale()
			limited, ok3 := i.AppLimited()
			fail, ok4 := i.FastOpenFail()
			if send != 7 || receive != 10 || !limited || fail != 2 || !ok1 || !ok2 || !ok3 || !ok4 || i.Options() != "ts wscale" {
				t.Errorf("scales %d and %d, limited %v, fast open %d, options %q", send, receive, limited, fail, i.Options())
			}
			b[infoOptions] = 0
			i.Set(b, c.order)
			if _, ok := i.SendScale(); ok {
				t.Error("a scale without the option")
			}
			i.Set(b[:7], c.order)
			if _, ok := i.AppLimited(); ok {
				t.Error("a flag beyond the end")
			}
		})
	}
}
