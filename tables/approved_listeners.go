package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/register"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// approvedRow is a row of approved_listeners.
type approvedRow struct {
	register.Entry
	file  string
	today string
	used  bool // with needUse
}

// ApprovedListeners is the table approved_listeners.
func ApprovedListeners(h *host.Host) schema.Table {
	text := func(name, doc string, get func(*approvedRow) string, options ...schema.Option) schema.AnyColumn[approvedRow] {
		return schema.NotNull(name, doc, get, options...)
	}
	return schema.Bind(schema.TableDef[approvedRow]{
		Name: "approved_listeners",
		Doc:  "Register of what may listen: one row for each entry of " + host.DefaultRegister + " and of approved.d/*.yaml beside it, or of the file of --register. A malformed file, or one that others than root can change, is an error.",
		Examples: []string{
			"SELECT protocol, ports, exposure, program, why, approver, ticket FROM approved_listeners WHERE expired = 0",
			"SELECT file, line, protocol, ports, program FROM approved_listeners WHERE used = 0",
		},
		Columns: []schema.AnyColumn[approvedRow]{
			text("protocol", "tcp, udp, udplite, sctp, vsock, raw or icmp, as in listening_services.",
				func(r *approvedRow) string { return r.Protocol }, words("tcp", "udp", "udplite", "sctp", "vsock", "raw", "icmp")),
			text("ports", "Port such as 22, or range such as 8000-8010. Empty for any.",
				func(r *approvedRow) string { return r.Ports() }),
			text("address", "IP address, or prefix that has it. Empty for any.",
				func(r *approvedRow) string { return r.AddressText() }),
			text("exposure", "Widest exposure that is approved: host_only, link, private, public. Empty for any.",
				func(r *approvedRow) string { return r.Exposure }, words("host_only", "link", "private", "public")),
			text("program", "Program; * is any text in it and ? any character, as in the next columns. Empty for any, as in these.",
				func(r *approvedRow) string { return r.Program }),
			text("exe", "Path of the executable file.",
				func(r *approvedRow) string { return r.Exe }),
			text("run_as", "Name of the user who owns the socket, the key user of the file.",
				func(r *approvedRow) string { return r.User }),
			text("systemd_unit", "Unit of systemd.",
				func(r *approvedRow) string { return r.Unit }),
			text("image", "Image of the container.",
				func(r *approvedRow) string { return r.Image }),
			text("container", "Name of the container, or its identity.",
				func(r *approvedRow) string { return r.Container }),
			text("why", "Why it may listen.", func(r *approvedRow) string { return r.Why }),
			text("approver", "Who has approved it.", func(r *approvedRow) string { return r.Approver }),
			text("ticket", "Reference of the approval. Empty if there is none.", func(r *approvedRow) string { return r.Ticket }),
			text("expires", "Last day of the approval, such as 2027-06-30, in UTC. Empty if it has no end.",
				func(r *approvedRow) string { return r.Expires }),
			schema.NotNull("expired", "1 if that day is over, else 0.",
				func(r *approvedRow) bool { return r.Expired(r.today) }),
			schema.NotNull("used", "1 if something listens now that the entry describes, whether it has expired or not; else 0.",
				func(r *approvedRow) bool { return r.used }, schema.Needs(needUse)),
			text("file", "Path of the file.", func(r *approvedRow) string { return r.file }),
			schema.NotNull("line", "Line on which the entry begins, counted from 1.",
				func(r *approvedRow) int64 { return int64(r.Line) }),
		},
		RowID: func(r *approvedRow) int64 { return sock.Hash(0).Text(r.file).Add(uint64(r.Line)).ID() },
		Rows: func(ctx context.Context, _ schema.Query) iter.Seq2[approvedRow, error] {
			return func(yield func(approvedRow, error) bool) {
				files, err := h.Register(ctx)
				if err != nil {
					yield(approvedRow{}, err)
					return
				}
				today := today()
				for _, f := range files {
					for _, e := range f.Entries {
						if !yield(approvedRow{Entry: e, file: f.Path, today: today}, nil) {
							return
						}
					}
				}
			}
		},
		Joined: needUse,
		Join: func(ctx context.Context, _ schema.Query, rows iter.Seq2[approvedRow, error]) iter.Seq2[approvedRow, error] {
			return joinUse(ctx, h, rows)
		},
	})
}

// joinUse finds out which entries describe something that listens.
func joinUse(ctx context.Context, h *host.Host, rows iter.Seq2[approvedRow, error]) iter.Seq2[approvedRow, error] {
	return func(yield func(approvedRow, error) bool) {
		var all []approvedRow
		for r, err := range rows {
			if err != nil {
				yield(r, err)
				return
			}
			all = append(all, r)
		}
		if len(all) == 0 {
			return
		}
		for r, err := range approvable(ctx, h, nil) {
			if err != nil {
				yield(approvedRow{}, err)
				return
			}
			listener := r.listener()
			for i := range all {
				all[i].used = all[i].used || len(all[i].Differences(&listener)) == 0
			}
		}
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}
