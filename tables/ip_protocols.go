package tables

import (
	"context"
	"iter"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/services"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// IPProtocols is the table ip_protocols.
func IPProtocols(h *host.Host) schema.Table {
	return schema.Bind(schema.TableDef[services.Protocol]{
		Name: "ip_protocols",
		Doc:  "IP protocols that the protocols file (/etc/protocols) gives a name: one row for each line that getprotobyname(3) or getprotobynumber(3) finds. Of several lines with the same name, alias or number they find the first.",
		Examples: []string{
			"SELECT name, aliases FROM ip_protocols WHERE number = 6",
			"SELECT number, name, comment FROM ip_protocols ORDER BY number",
		},
		Columns: []schema.AnyColumn[services.Protocol]{
			schema.NotNull("name", "Official name of the protocol.",
				func(p *services.Protocol) string { return p.Name }),
			schema.NotNull("number", "Number of the protocol: from 0 to 255 as in the IP header, above that Linux's own. Several names may have one.",
				func(p *services.Protocol) int32 { return p.Number }),
			schema.NotNull("aliases", "Other names of the protocol, separated by blanks. Empty if it has none.",
				func(p *services.Protocol) string { return strings.Join(p.Aliases, " ") }),
			schema.NotNull("comment", "Comment behind the entry. Empty if there is none.",
				func(p *services.Protocol) string { return p.Comment }),
			schema.NotNull("line", "Line of the file, counted from 1.",
				func(p *services.Protocol) int64 { return int64(p.Line) }, schema.Hidden),
		},
		RowID: func(p *services.Protocol) int64 { return int64(p.Line) },
		Rows: func(ctx context.Context, _ schema.Query) iter.Seq2[services.Protocol, error] {
			return services.FoundProtocols(h.Protocols(ctx))
		},
	})
}
