package tables

import (
	"context"
	"iter"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/services"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// WellKnownServices is the table well_known_services.
func WellKnownServices(h *host.Host) schema.Any {
	return schema.Bind(schema.Table[services.Entry]{
		Name: "well_known_services",
		Doc:  "Services that the services file (/etc/services) gives a name: one row for each name and protocol, the first where the file repeats one.",
		Examples: []string{
			"SELECT port FROM well_known_services WHERE name = 'https' AND protocol = 'tcp'",
			"SELECT name, protocol, aliases FROM well_known_services WHERE port = 53",
		},
		Columns: []schema.Column[services.Entry]{
			schema.Col("name", "Official name of the service.",
				func(e *services.Entry) string { return e.Name }),
			schema.Col("port", "Port number.",
				func(e *services.Entry) uint16 { return e.Port }),
			schema.Col("protocol", "Protocol as the file spells it: tcp, udp, sctp, dccp and others.",
				func(e *services.Entry) string { return e.Protocol }),
			schema.Col("aliases", "Other names of the service, separated by blanks. Empty if it has none.",
				func(e *services.Entry) string { return strings.Join(e.Aliases, " ") }),
			schema.Col("comment", "What the file says behind the entry. Empty if it says nothing.",
				func(e *services.Entry) string { return e.Comment }),
			schema.Col("line", "Line of the file, counted from 1.",
				func(e *services.Entry) int64 { return int64(e.Line) }, schema.Hidden),
		},
		RowID: func(e *services.Entry) int64 { return int64(e.Line) },
		Rows: func(ctx context.Context, _ schema.Query) iter.Seq2[services.Entry, error] {
			return services.Unique(h.Services(ctx))
		},
	})
}
