package functions

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

func texts() []function {
	return []function{
		{"split", 3, parts("split", split)},
		{"regex_split", 3, parts("regex_split", regexSplit)},
		{"regex_match", 3, regexMatch},
		{"concat", -1, func(ctx sqlite3.Context, arguments ...sqlite3.Value) { concat(ctx, "", arguments) }},
		{"concat_ws", -1, func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
			if len(arguments) == 0 {
				ctx.ResultError(errors.New("concat_ws: the separator is missing"))
				return
			}
			separator, _ := text(arguments[0]) // "" for NULL
			concat(ctx, separator, arguments[1:])
		}},
		{"to_base64", 1, encoded(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })},
		{"from_base64", 1, encoded(fromBase64)},
		{"conditional_to_base64", 1, encoded(func(s string) string {
			if printable(s) {
				return s
			}
			return base64.StdEncoding.EncodeToString([]byte(s))
		})},
	}
}

// parts makes a function of a text, what separates its parts, and the number of the
// part to return; NULL if there is none of that number.
func parts(name string, split func(s, by string) ([]string, error)) sqlite3.ScalarFunction {
	return func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
		if anyNull(arguments) {
			return
		}
		s, _ := text(arguments[0])
		by, _ := text(arguments[1])
		if by == "" {
			ctx.ResultError(fmt.Errorf("%s: the second argument, what to split by, is empty", name))
			return
		}
		all, err := split(s, by)
		if err != nil {
			ctx.ResultError(fmt.Errorf("%s: %w", name, err))
			return
		}
		if i := int32(arguments[2].Int64()); i >= 0 && int(i) < len(all) {
			ctx.ResultText(all[i])
		}
	}
}

// split splits at each byte that is one of those of by. Empty parts are left out, and
// blanks around the others.
func split(s, by string) (all []string, _ error) {
	start := 0
	add := func(part string) {
		if part != "" {
			all = append(all, strings.Trim(part, " \t\n\v\f\r"))
		}
	}
	for i := range len(s) {
		if strings.IndexByte(by, s[i]) >= 0 {
			add(s[start:i])
			start = i + 1
		}
	}
	add(s[start:])
	return all, nil
}

// maxPattern bounds a pattern, in bytes, as osquery's --regex_max_size does.
const maxPattern = 256

func compiled(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("the regular expression has %d bytes, and may have %d", len(pattern), maxPattern)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("the regular expression is not one of RE2: %w", err)
	}
	return re, nil
}

// regexSplit returns what is between the matches, and what is before the first and
// behind the last. Nothing behind the last is no part.
func regexSplit(s, by string) (all []string, _ error) {
	re, err := compiled(by)
	if err != nil {
		return nil, err
	}
	matches := re.FindAllStringIndex(s, -1)
	if matches == nil {
		return []string{s}, nil
	}
	end := 0
	for _, m := range matches {
		all = append(all, s[end:m[0]])
		end = m[1]
	}
	if end < len(s) {
		all = append(all, s[end:])
	}
	return all, nil
}

// regexMatch returns a group of the first match; 0 is all of it.
func regexMatch(ctx sqlite3.Context, arguments ...sqlite3.Value) {
	if anyNull(arguments) {
		return
	}
	s, _ := text(arguments[0])
	pattern, _ := text(arguments[1])
	re, ok := ctx.GetAuxData(1).(*regexp.Regexp)
	if !ok {
		var err error
		if re, err = compiled(pattern); err != nil {
			ctx.ResultError(fmt.Errorf("regex_match: %w", err))
			return
		}
		ctx.SetAuxData(1, re)
	}
	groups := re.FindStringSubmatchIndex(s)
	i := int(int32(arguments[2].Int64()))
	if i < 0 || 2*i >= len(groups) {
		return
	}
	if groups[2*i] < 0 { // it took no part in the match
		ctx.ResultText("")
		return
	}
	ctx.ResultText(s[groups[2*i]:groups[2*i+1]])
}

// concat joins what is not NULL. As in osquery a separator follows each argument but
// the last, also where only NULL follows; without arguments the result is NULL.
func concat(ctx sqlite3.Context, separator string, arguments []sqlite3.Value) {
	if len(arguments) == 0 {
		return
	}
	var b strings.Builder
	for i, a := range arguments {
		s, ok := text(a)
		if !ok {
			continue
		}
		b.WriteString(s)
		if i+1 < len(arguments) {
			b.WriteString(separator)
		}
	}
	ctx.ResultText(b.String())
}

// encoded makes a function of one text, with all of its bytes; NULL of NULL.
func encoded(of func(string) string) sqlite3.ScalarFunction {
	return func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
		if !anyNull(arguments) {
			ctx.ResultText(of(string(arguments[0].RawText())))
		}
	}
}

// fromBase64 decodes with or without the padding and newlines; what is malformed is
// "".
func fromBase64(s string) string {
	s = strings.TrimRight(strings.NewReplacer("\r\n", "", "\n", "").Replace(s), "=")
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}

// printable reports whether a text is of printable ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x1f || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
