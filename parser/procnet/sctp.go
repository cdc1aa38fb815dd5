package procnet

import (
	"bytes"
	"io"
	"iter"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// SCTPEndpoints streams the endpoints of /proc/net/sctp/eps (sctp_eps_seq_show,
// net/sctp/proc.c). Errors are of type [*parser.LineError], or the reader's own.
func SCTPEndpoints(r io.Reader) iter.Seq2[sock.SCTP, error] {
	return list(r, nil, parser.Words("ENDPT"), func(f *fields) (s sock.SCTP) {
		f.sctp(&s)
		f.next() // hash bucket
		port := uint16(f.dec("LPORT", 16))
		uid := uint32(f.dec("UID", 32))
		s.Own(f.dec("INODE", 64), uid)
		s.LocalAddrs, s.Local = f.addrs(f.rest, port)
		f.rest = f.rest[len(bytes.TrimRight(f.rest, blanks)):]
		f.goesOn() // a blank is behind each address
		if s.Local.IsValid() {
			s.Remote = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
			if s.Local.Addr().Is4() {
				s.Remote = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
			}
		}
		s.Family = familyOf(s.Local.Addr())
		return s
	})
}

// SCTPAssociations streams the associations of /proc/net/sctp/assocs
// (sctp_assocs_seq_show, net/sctp/proc.c); see [SCTPEndpoints].
func SCTPAssociations(r io.Reader) iter.Seq2[sock.SCTP, error] {
	counters := false
	header := func(line []byte) bool {
		counters = bytes.Contains(line, []byte(" HBINT INS OUTS MAXRT T1X T2X RTXC"))
		return parser.Words("ASSOC")(line)
	}
	return list(r, nil, header, func(f *fields) (s sock.SCTP) {
		s.IsAssociation, s.Counters = true, counters
		f.sctp(&s)
		s.Association = sock.AssociationState(f.dec("ST", 8))
		f.next() // hash bucket
		s.Number = int32(f.dec("ASSOC-ID", 31))
		s.SendQueue, s.RecvQueue = uint32(f.dec("TX_QUEUE", 32)), uint32(f.dec("RX_QUEUE", 32))
		uid := uint32(f.dec("UID", 32))
		s.Own(f.dec("INODE", 64), uid)
		localPort, remotePort := uint16(f.dec("LPORT", 16)), uint16(f.dec("RPORT", 16))
		addrs, rest, tab := bytes.Cut(f.rest, []byte("\t"))
		local, remote, arrow := bytes.Cut(addrs, []byte("<->"))
		if !arrow {
			f.fail("expected <-> between the addresses of both ends")
		}
		s.LocalAddrs, s.Local = f.addrs(local, localPort)
		s.RemoteAddrs, s.Remote = f.addrs(remote, remotePort)
		if s.Family = familyOf(s.Local.Addr()); s.Family == 0 {
			s.Family = familyOf(s.Remote.Addr())
		}
		if !counters {
			return s
		}
		if !tab {
			f.fail("expected a tabulator and HBINT behind the addresses")
		}
		f.rest = rest
		s.Heartbeat = f.dec("HBINT", 64)
		s.InStreams, s.OutStreams = uint32(f.dec("INS", 32)), uint32(f.dec("OUTS", 32))
		s.MaxRetransmits, s.InitRetransmits = uint32(f.dec("MAXRT", 32)), uint32(f.dec("T1X", 32))
		s.ShutdownRetransmits, s.Retransmits = uint32(f.dec("T2X", 32)), uint32(f.dec("RTXC", 32))
		return s
	})
}

// SCTPPaths streams the paths of all associations from /proc/net/sctp/remaddr
// (sctp_remaddr_seq_show, net/sctp/proc.c); see [SCTPEndpoints].
func SCTPPaths(r io.Reader) iter.Seq2[sock.SCTPPath, error] {
	return list(r, nil, parser.Words("ADDR ASSOC_ID HB_ACT RTO"), func(f *fields) (p sock.SCTPPath) {
		_, end := f.addrs(f.next(), 0)
		if p.Remote = end.Addr(); !p.Remote.IsValid() {
			f.fail("expected an IP address")
		}
		p.Number = int32(f.dec("ASSOC_ID", 31))
		p.HeartbeatActive, p.RTO = f.dec("HB_ACT", 1) == 1, f.dec("RTO", 64)
		f.goesOn()
		return p
	})
}

// sctp decodes the columns that both lists begin with: two addresses of the
// kernel, the kind and the state of the socket.
func (f *fields) sctp(s *sock.SCTP) {
	s.Protocol = sock.ProtoSCTP
	f.next()
	f.next()
	// enum sctp_socket_type, include/net/sctp/structs.h.
	switch kind := f.dec("STY", 8); kind {
	case 0, 1:
		s.Type = sock.SeqPacket
	case 2:
		s.Type = sock.Stream
	default:
		f.fail("STY: expected 0, 1 or 2")
	}
	s.State = sock.State(f.dec("SST", 8))
}

// addrs decodes addresses with blanks between. The one with an asterisk is in
// use, else it is the first.
func (f *fields) addrs(b []byte, port uint16) (all []netip.Addr, first netip.AddrPort) {
	first = netip.AddrPortFrom(netip.Addr{}, port)
	for text := range parser.Fields(b) {
		text, primary := bytes.CutPrefix(text, []byte("*"))
		a, err := netip.ParseAddr(string(text))
		if err != nil || a.Zone() != "" {
			f.fail("expected an IP address")
			return nil, first
		}
		if primary || len(all) == 0 {
			first = netip.AddrPortFrom(a, port)
		}
		all = append(all, a)
	}
	return all, first
}

// familyOf returns the family of an address; 0 of the invalid one.
func familyOf(a netip.Addr) sock.Family {
	switch {
	case a.Is4():
		return sock.INET
	case a.Is6():
		return sock.INET6
	}
	return 0
}
