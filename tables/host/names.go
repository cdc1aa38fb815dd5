package host

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/services"
	"github.com/osquery-sockets/osquery-sockets/tables/host/names"
)

// Names of ports, IP protocols, users, routing tables and network interfaces.
type (
	ServiceNames   = names.Services
	ProtocolNames  = names.Protocols
	Usernames      = names.Users
	TableNames     = names.Tables
	InterfaceNames = names.Interfaces
)

// Services streams the entries of the services file: see [names.Files.Services].
func (h *Host) Services(ctx context.Context) iter.Seq2[services.Entry, error] {
	return h.files.Services(ctx)
}

// Protocols streams the entries of the protocols file: see
// [names.Files.Protocols].
func (h *Host) Protocols(ctx context.Context) iter.Seq2[services.Protocol, error] {
	return h.files.Protocols(ctx)
}

// ServiceNames returns the names of the services file: see
// [names.Files.ServiceNames].
func (h *Host) ServiceNames(ctx context.Context) (ServiceNames, error) {
	return h.files.ServiceNames(ctx)
}

// ProtocolNames returns the names of the protocols file: see
// [names.Files.ProtocolNames].
func (h *Host) ProtocolNames(ctx context.Context) (ProtocolNames, error) {
	return h.files.ProtocolNames(ctx)
}

// Usernames returns the names of this machine's passwd file: see
// [names.Files.Usernames].
func (h *Host) Usernames(ctx context.Context) (Usernames, error) {
	return h.files.Usernames(ctx)
}

// TableNames returns the names that iproute2's files give routing tables: see
// [names.Files.TableNames].
func (h *Host) TableNames(ctx context.Context) (TableNames, error) {
	return h.files.TableNames(ctx)
}

// InterfaceNames returns an empty memory of the names of network interfaces.
func (h *Host) InterfaceNames() *InterfaceNames { return names.NewInterfaces(h.netns) }
