package tables

import (
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// TCPULP is the table tcp_ulp.
func TCPULP(h *host.Host) schema.Table {
	c := newConnectionColumns()
	number := func(name, doc string, get func(*connectionRow) (int64, bool)) schema.AnyColumn[connectionRow] {
		return schema.Nullable(name, doc, get)
	}
	tls := func(name, doc string, get func(*sock.TLS) string) schema.AnyColumn[connectionRow] {
		return schema.NotNull(name, doc+" Empty without the kernel's TLS.", func(r *connectionRow) string {
			if r.Socket.ULP.TLS == nil {
				return ""
			}
			return get(r.Socket.ULP.TLS)
		})
	}
	mptcp := func(name, doc string, get func(*sock.Subflow) uint32) schema.AnyColumn[connectionRow] {
		return number(name, doc+" NULL if the connection is no subflow of MPTCP.", func(r *connectionRow) (int64, bool) {
			if r.Socket.ULP.MPTCP == nil {
				return 0, false
			}
			return int64(get(r.Socket.ULP.MPTCP)), true
		})
	}
	columns := slices.Concat(c.connection(), []schema.AnyColumn[connectionRow]{
		schema.NotNull("ulp", "Protocol in the kernel between the program and TCP: tls, mptcp. Empty if there is none.",
			func(r *connectionRow) string { return r.Socket.ULP.Name }),
		tls("tls_version", "Version of the kernel's TLS: 1.2, 1.3.", func(t *sock.TLS) string { return t.Version }),
		tls("tls_cipher", "Cipher of the kernel's TLS, such as aes-gcm-128.", func(t *sock.TLS) string { return t.Cipher }),
		tls("tls_send", "Who encrypts: none, sw (the kernel), hw, hw-record (the network card).", func(t *sock.TLS) string { return t.Send }),
		tls("tls_receive", "Who decrypts: none, sw, hw, hw-record.", func(t *sock.TLS) string { return t.Receive }),
		mptcp("mptcp_local_token", "This host's token of the MPTCP connection.", func(f *sock.Subflow) uint32 { return f.LocalToken }),
		mptcp("mptcp_remote_token", "The peer's token of the MPTCP connection.", func(f *sock.Subflow) uint32 { return f.RemoteToken }),
		mptcp("mptcp_local_id", "Number of the local address in the MPTCP connection.", func(f *sock.Subflow) uint32 { return uint32(f.LocalID) }),
		mptcp("mptcp_remote_id", "Number of the peer's address in the MPTCP connection.", func(f *sock.Subflow) uint32 { return uint32(f.RemoteID) }),
		mptcp("mptcp_flags", "State of the subflow, MPTCP_SUBFLOW_FLAG_* of the kernel.", func(f *sock.Subflow) uint32 { return f.Flags }),
	})
	return c.table(h, schema.TableDef[connectionRow]{
		Name: "tcp_ulp",
		Doc:  "Upper layer protocols of TCP connections, which the kernel runs between the program and TCP, such as TLS and MPTCP: one row for each row of tcp_info, with its cookie. From /proc no upper layer is known.",
		Examples: []string{
			"SELECT local_port, remote_address, remote_port, program, tls_version, tls_cipher, tls_send FROM tcp_ulp WHERE ulp = 'tls'",
			"SELECT mptcp_local_token, count(*) AS subflows FROM tcp_ulp WHERE ulp = 'mptcp' GROUP BY 1",
		},
		Columns: columns,
	})
}
