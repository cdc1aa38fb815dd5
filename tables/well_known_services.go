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
func WellKnownServices(h *host.Host) schema.Table {
	return schema.Bind(schema.TableDef[services.Entry]{
		Name: "well_known_services",
		Doc:  "Services that the services file (/etc/services) gives a name: one row for each line that getservbyname(3) or getservbyport(3) finds. Of several lines with the same name, alias or port for a protocol they find the first.",
		Examples: []string{
			"SELECT port FROM well_known_services WHERE name = 'https' AND protocol = 'tcp'",
			"SELECT name, protocol, aliases FROM well_known_services WHERE port = 53",
			"SELECT t.local_address, t.local_port, s.name, s.insecure_reason, t.pid, t.program FROM tcp_sockets t JOIN well_known_services s ON s.port = t.local_port AND s.protocol = 'tcp' WHERE t.state = 'LISTEN' AND s.insecure = 1",
		},
		Columns: []schema.AnyColumn[services.Entry]{
			schema.NotNull("name", "Official name of the service.",
				func(e *services.Entry) string { return e.Name }),
			schema.NotNull("port", "Port number.",
				func(e *services.Entry) uint16 { return e.Port }),
			schema.NotNull("protocol", "Protocol as the file spells it: tcp, udp, sctp, dccp and others.",
				func(e *services.Entry) string { return e.Protocol }),
			schema.NotNull("aliases", "Other names of the service, separated by blanks. Empty if it has none.",
				func(e *services.Entry) string { return strings.Join(e.Aliases, " ") }),
			schema.NotNull("comment", "Comment behind the entry. Empty if there is none.",
				func(e *services.Entry) string { return e.Comment }),
			schema.NotNull("insecure", "1 if the registered service of that port and protocol, whatever its name here, sends secrets in clear text or trusts any client, as PCI DSS, the STIGs and the CIS benchmarks see it; else 0. Other services, among them http and smtp, may be insecure too: it depends on how they are set up.",
				func(e *services.Entry) bool { return services.WhyInsecure(e.Port, e.Protocol) != "" }),
			schema.NotNull("insecure_reason", "Why it is insecure. Empty if it is not.",
				func(e *services.Entry) string { return services.WhyInsecure(e.Port, e.Protocol) }),
			schema.NotNull("line", "Line of the file, counted from 1.",
				func(e *services.Entry) int64 { return int64(e.Line) }, schema.Hidden),
		},
		RowID: func(e *services.Entry) int64 { return int64(e.Line) },
		Rows: func(ctx context.Context, _ schema.Query) iter.Seq2[services.Entry, error] {
			return services.Found(h.Services(ctx))
		},
	})
}
