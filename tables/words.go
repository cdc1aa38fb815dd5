package tables

import (
	"slices"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// words are the words of a column that has no others.
func words(all ...string) schema.Option {
	return schema.Words(func() []string { return all })
}

// namesOf are the words of a column of numbers that have names: those that name
// returns without being the number.
func namesOf[T ~uint8](name func(T) string) schema.Option {
	return schema.Words(func() (all []string) {
		for n := range 256 {
			if s := name(T(n)); strings.Trim(s, "0123456789") != "" && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
		return all
	})
}

// scopes are the words of a column of scopes.
func scopes() schema.Option {
	return words(string(sock.ScopeWildcard), string(sock.ScopeLoopback), string(sock.ScopeLinkLocal), string(sock.ScopePrivate), string(sock.ScopeMulticast), string(sock.ScopeGlobal))
}

// namespaceNumber is what a column of network namespaces has.
func namespaceNumber() schema.Option {
	return schema.Only("the inode number of a network namespace: see inode and name of network_namespaces", func(s string) bool {
		return strings.Trim(s, "0123456789") == ""
	})
}
