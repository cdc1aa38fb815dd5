package osquerytest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery/osquery-go/gen/osquery"
)

// service answers the Thrift calls of extensions, as
// osquery/extensions/interface.cpp does.
type service struct{ m *Manager }

func status(code int32, message string) *osquery.ExtensionStatus {
	return &osquery.ExtensionStatus{Code: code, Message: message}
}

func statusOf(err error) *osquery.ExtensionStatus {
	if err != nil {
		return status(1, err.Error())
	}
	return status(0, "OK")
}

func (s *service) Ping(ctx context.Context) (*osquery.ExtensionStatus, error) {
	if message := s.m.faults.ping(ctx); message != "" {
		return status(1, message), nil
	}
	return status(0, "pong"), nil
}

// Shutdown ends osquery in the original; a test says itself when it ends.
func (s *service) Shutdown(context.Context) error { return nil }

func (s *service) Call(ctx context.Context, registry, item string, request osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	s.m.faults.call(ctx)
	rows, err := s.m.call(ctx, registry, item, request)
	return &osquery.ExtensionResponse{Status: statusOf(err), Response: rows}, nil
}

func (s *service) Extensions(ctx context.Context) (osquery.InternalExtensionList, error) {
	s.m.faults.call(ctx)
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	list := make(osquery.InternalExtensionList)
	for uuid, e := range s.m.extensions {
		info := e.info
		list[uuid] = &info
	}
	return list, nil
}

func (s *service) Options(ctx context.Context) (osquery.InternalOptionList, error) {
	s.m.faults.call(ctx)
	options := osquery.InternalOptionList{
		"config_plugin":            {DefaultValue: "filesystem", Type: "string"},
		"distributed_plugin":       {DefaultValue: "", Type: "string"},
		"extensions_default_index": {DefaultValue: "true", Type: "bool"},
		"extensions_interval":      {DefaultValue: "3", Type: "string"},
		"extensions_socket":        {DefaultValue: "/var/osquery/osquery.em", Type: "string"},
		"extensions_timeout":       {DefaultValue: "3", Type: "string"},
		"logger_plugin":            {DefaultValue: "filesystem", Type: "string"},
		"verbose":                  {DefaultValue: "false", Type: "bool"},
	}
	for _, o := range options {
		o.Value = o.DefaultValue
	}
	set := maps.Clone(s.m.flags)
	set["extensions_socket"] = s.m.socket
	if !s.m.defaultIndex {
		set["extensions_default_index"] = "false"
	}
	for name, value := range set {
		if options[name] == nil {
			options[name] = &osquery.InternalOptionInfo{Type: "string"}
		}
		options[name].Value = value
	}
	return options, nil
}

func (s *service) RegisterExtension(ctx context.Context, info *osquery.InternalExtensionInfo, registry osquery.ExtensionRegistry) (*osquery.ExtensionStatus, error) {
	s.m.faults.call(ctx)
	if message := s.m.faults.refusal(); message != "" {
		return status(1, message), nil
	}
	uuid, err := s.m.register(*info, registry)
	answer := statusOf(err)
	answer.UUID = uuid
	return answer, nil
}

func (s *service) DeregisterExtension(ctx context.Context, uuid UUID) (*osquery.ExtensionStatus, error) {
	s.m.faults.call(ctx)
	if !s.m.remove(uuid) {
		return status(1, "No extension UUID found"), nil
	}
	return status(0, "OK"), nil
}

func (s *service) Query(ctx context.Context, sql string) (*osquery.ExtensionResponse, error) {
	s.m.faults.call(ctx)
	answers, err := s.m.query(ctx, sql)
	var rows osquery.ExtensionPluginResponse
	for _, a := range answers {
		rows = append(rows, a.Maps()...)
	}
	return &osquery.ExtensionResponse{Status: statusOf(err), Response: rows}, nil
}

func (s *service) GetQueryColumns(ctx context.Context, sql string) (*osquery.ExtensionResponse, error) {
	s.m.faults.call(ctx)
	columns, err := s.m.queryColumns(ctx, sql)
	return &osquery.ExtensionResponse{Status: statusOf(err), Response: columns}, nil
}

// modernSDK reports whether osquery accepts an extension with this version of
// the SDK: 1.7.7 or later, none, or 0.0.0, which asks to pass.
func modernSDK(version string) bool {
	if version == "" || version == "0.0.0" {
		return true
	}
	least := []int{1, 7, 7}
	for i, part := range strings.Split(version, ".") {
		if i == len(least) {
			break
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			continue
		}
		if n != least[i] {
			return n > least[i]
		}
	}
	return true
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
