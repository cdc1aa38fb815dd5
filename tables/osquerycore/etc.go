package osquerycore

import (
	"context"
	"iter"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/etc"
	"github.com/osquery-sockets/osquery-sockets/parser/services"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

func etcServices(m *machine) schema.Table {
	type row = services.Entry
	return schema.Bind(schema.TableDef[row]{
		Name:     "etc_services",
		Doc:      "osquery's table of the lines of /etc/services. well_known_services has those that the C library finds.",
		Examples: []string{"SELECT name FROM etc_services WHERE port = 443 AND protocol = 'tcp'"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("name", "Name of the service.", func(e *row) string { return e.Name }),
			schema.NotNull("port", "Port number.", func(e *row) int32 { return int32(e.Port) }),
			schema.NotNull("protocol", "Protocol, such as tcp.", func(e *row) string { return e.Protocol }),
			schema.NotNull("aliases", "Other names with blanks between.", func(e *row) string { return strings.Join(e.Aliases, " ") }),
			schema.NotNull("comment", "Comment behind the entry.", func(e *row) string { return e.Comment }),
		},
		RowID: func(e *row) int64 { return int64(e.Line) },
		Rows:  func(ctx context.Context, _ schema.Query) iter.Seq2[row, error] { return m.Services(ctx) },
	})
}

func etcProtocols(m *machine) schema.Table {
	type row = services.Protocol
	return schema.Bind(schema.TableDef[row]{
		Name:     "etc_protocols",
		Doc:      "osquery's table of the lines of /etc/protocols. ip_protocols has those that the C library finds.",
		Examples: []string{"SELECT name FROM etc_protocols WHERE number = 6"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("name", "Name of the protocol.", func(e *row) string { return e.Name }),
			schema.NotNull("number", "Number of the protocol.", func(e *row) int32 { return e.Number }),
			schema.NotNull("alias", "First of its other names.", func(e *row) string { return strings.Join(e.Aliases[:min(len(e.Aliases), 1)], "") }),
			schema.NotNull("comment", "Comment behind the entry.", func(e *row) string { return e.Comment }),
		},
		RowID: func(e *row) int64 { return int64(e.Line) },
		Rows:  func(ctx context.Context, _ schema.Query) iter.Seq2[row, error] { return m.Protocols(ctx) },
	})
}

func etcHosts(m *machine) schema.Table {
	type row = line[etc.Host]
	return schema.Bind(schema.TableDef[row]{
		Name:     "etc_hosts",
		Doc:      "osquery's table of the lines of /etc/hosts.",
		Examples: []string{"SELECT address, hostnames FROM etc_hosts WHERE address != '127.0.0.1'"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("address", "IP address.", func(r *row) string { return r.value.Address }),
			schema.NotNull("hostnames", "Names with blanks between.", func(r *row) string { return strings.Join(r.value.Names, " ") }),
		},
		RowID: (*row).id,
		Rows: func(context.Context, schema.Query) iter.Seq2[row, error] {
			return lines(values(func() (all []etc.Host, err error) {
				file, err := m.open("etc/hosts")
				if file == nil {
					return nil, err
				}
				defer file.Close()
				for h, err := range etc.Hosts(file, nil) {
					if err != nil {
						return nil, err
					}
					all = append(all, h)
				}
				return all, nil
			}))
		},
	})
}

// resolverRow is a row of dns_resolvers.
type resolverRow struct {
	id                     int32
	kind, address, netmask string
	options                int64
}

func dnsResolvers(m *machine) schema.Table {
	type row = line[resolverRow]
	return schema.Bind(schema.TableDef[row]{
		Name:     "dns_resolvers",
		Doc:      "osquery's table of what /etc/resolv.conf says. An IPv6 server has its address; osquery leaves it empty.",
		Examples: []string{"SELECT address FROM dns_resolvers WHERE type = 'nameserver'"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("id", "Position among those of its type, counted from 0.", func(r *row) int32 { return r.value.id }),
			schema.NotNull("type", "nameserver, sortlist or search.", func(r *row) string { return r.value.kind }),
			schema.NotNull("address", "Address of the server, or the domain that is searched.", func(r *row) string { return r.value.address }),
			schema.NotNull("netmask", "32 for a server, as in osquery; the netmask of a sortlist, which osquery shows as a number.", func(r *row) string { return r.value.netmask }),
			schema.NotNull("options", "Options as the bits RES_* of resolv.h.", func(r *row) int64 { return r.value.options }),
		},
		RowID: (*row).id,
		Rows: func(context.Context, schema.Query) iter.Seq2[row, error] {
			return lines(values(m.resolvers))
		},
	})
}

func (m *machine) resolvers() (all []resolverRow, err error) {
	file, err := m.open("etc/resolv.conf")
	if file == nil {
		return nil, err
	}
	defer file.Close()
	r, err := etc.DecodeResolver(file)
	if err != nil {
		return nil, err
	}
	for i, a := range r.Servers {
		all = append(all, resolverRow{int32(i), "nameserver", a.String(), "32", r.Options})
	}
	for i, s := range r.Sort {
		all = append(all, resolverRow{int32(i), "sortlist", s.Address, s.Netmask, r.Options})
	}
	for i, name := range r.Search {
		all = append(all, resolverRow{int32(i), "search", name, "", r.Options})
	}
	return all, nil
}
