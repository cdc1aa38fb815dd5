package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// described matches what git describe --tags --always --dirty prints of a commit
// with a tag such as v1.2.3 or v1.2.3-rc1 on it or before it.
var described = regexp.MustCompile(`^v(\d+\.\d+\.\d+)(?:-([a-z]+[.]?[0-9]+))?(?:-(\d+)-g([0-9a-f]+))?(-dirty)?$`)

// packageVersion returns the version for dpkg and rpm, which sorts as the commits
// do: a pre-release before its release, a later commit after it. What has no tag
// comes before every tag, by its date.
func packageVersion(description string, date time.Time) string {
	m := described.FindStringSubmatch(description)
	if m == nil {
		word := regexp.MustCompile(`[^0-9A-Za-z.]+`).ReplaceAllString(description, ".")
		return fmt.Sprintf("0.0.0~%s.%s", date.UTC().Format("20060102150405"), strings.Trim(word, "."))
	}
	version := m[1]
	if m[2] != "" {
		version += "~" + m[2]
	}
	if m[3] != "" {
		version += "+" + m[3] + ".g" + m[4]
	}
	if m[5] != "" {
		version += "+dirty"
	}
	return version
}
