package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/checks"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// levels are SARIF's words for severities.
var levels = map[string]string{"critical": "error", "high": "error", "medium": "warning", "low": "note"}

// object is one of JSON.
type object = map[string]any

// sarif writes SARIF 2.1.0 (OASIS): a rule for each check and a result for each finding.
// A check that is unknown is a result of the kind open, and one that passes of the kind
// pass.
func (r *Report) sarif(w io.Writer) error {
	rules, results := []object{}, []object{}
	for i := range r.Results {
		result := &r.Results[i]
		rules = append(rules, object{
			"id": result.ID, "shortDescription": object{"text": result.Title}, "fullDescription": object{"text": result.Why}, "help": object{"text": result.Remediation},
			"defaultConfiguration": object{"level": levels[result.Severity]},
			"properties":           object{"tags": append(slices.Clone(result.Packs), result.References...), "query": result.Query},
		})
		of := func(kind, level, message string) object {
			return object{
				"ruleId": result.ID, "ruleIndex": i, "kind": kind, "level": level, "message": object{"text": message},
				"locations": []object{{"logicalLocations": []object{{"fullyQualifiedName": r.Host, "kind": "host"}}}},
			}
		}
		switch result.Status {
		case checks.Pass:
			results = append(results, of("pass", "none", result.Title))
		case checks.Unknown:
			results = append(results, of("open", "none", "Unknown: "+strings.Join(result.Reasons, "; ")))
		}
		for _, row := range result.Evidence {
			found := of("fail", levels[result.Severity], finding(result.Columns, row, ", "))
			found["partialFingerprints"] = object{"finding/v1": fingerprint(r.Host, result, row)}
			results = append(results, found)
		}
	}
	log := object{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []object{{
			"tool":        object{"driver": object{"name": "osquery-sockets", "version": r.Version, "language": "en-US", "rules": rules}},
			"invocations": []object{{"executionSuccessful": true, "startTimeUtc": r.Began.UTC().Format(time.RFC3339), "endTimeUtc": r.Began.Add(r.Took).UTC().Format(time.RFC3339), "machine": r.Host, "commandLine": r.Command}},
			"results":     results,
			"language":    "en-US", "newlineSequences": []string{"\r\n", "\n"}, // the defaults, which some validators want
		}},
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	return encoder.Encode(log)
}

// fingerprint is the same for a finding the next time.
func fingerprint(host string, result *checks.Result, row []schema.Cell) string {
	h := sha256.New()
	io.WriteString(h, host+"\x00"+result.ID)
	for i, name := range result.Columns {
		if slices.Contains(result.Identify, name) {
			io.WriteString(h, "\x00"+name+"\x00"+shown(&row[i]))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
