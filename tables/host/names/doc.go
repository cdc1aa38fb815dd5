// Package names resolves numbers to the names that people know them by.
//
// [Files] reads services(5), protocols(5) and passwd(5), as entries or as maps from
// a port, a protocol or a user to its name. The maps are read again when the file
// changes. [Interfaces] asks for each name once; it is for one query, so that the
// next one sees what changed.
//
//	services, err := names.NewFiles(names.Options{Log: log}).ServiceNames(ctx)
//	services.Name(22, sock.ProtoTCP) // "ssh"
//
// A number without a name has the empty name, but an interface has its number:
// those of another host are not known.
package names
