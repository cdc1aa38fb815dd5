package functions

import (
	"errors"
	"os"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

func paths() []function {
	return []function{
		{"parent_directory", 1, func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
			if arguments[0].Type() != sqlite3.TEXT {
				ctx.ResultError(errors.New("parent_directory: the path is no text"))
				return
			}
			path, _ := text(arguments[0])
			if i := strings.LastIndexByte(path, '/'); i >= 0 {
				ctx.ResultText(path[:i])
			}
		}},
		{"is_path_deterministic", -1, func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
			c, ok := commandOf(arguments)
			if !ok {
				ctx.ResultError(errors.New("is_path_deterministic: " + commandUsage))
				return
			}
			shortest := c.program(true)
			ctx.ResultBool(shortest == "" || len(shortest) == len(c.line) || len(shortest) == len(c.program(false)))
		}},
		{"find_file_path_in_cmd", -1, func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
			c, ok := commandOf(arguments)
			if !ok {
				ctx.ResultError(errors.New("find_file_path_in_cmd: " + commandUsage))
				return
			}
			ctx.ResultText(c.program(true))
		}},
	}
}

const commandUsage = "it takes a command line, perhaps 1 if quotes count, perhaps one character that escapes; none NULL"

// command is a command line whose program may have blanks in its path.
type command struct {
	line   string
	quotes bool
	escape byte
}

func commandOf(arguments []sqlite3.Value) (c command, ok bool) {
	if len(arguments) == 0 || anyNull(arguments) {
		return c, false
	}
	c.escape = '\\'
	c.line, _ = text(arguments[0])
	if len(arguments) > 1 {
		c.quotes = arguments[1].Int64() != 0
	}
	if len(arguments) > 2 {
		s, _ := text(arguments[2])
		if len(s) != 1 {
			return c, false
		}
		c.escape = s[0]
	}
	return c, true
}

// program returns the shortest beginning of the line, up to a blank, that is a file,
// or the longest; "" if none is.
func (c command) program(shortest bool) (found string) {
	const blanks = " \t\n\v\f\r"
	var path []byte
	check := func() bool {
		info, err := os.Stat(string(path))
		if err == nil && !info.IsDir() {
			found = string(path)
		}
		return found != "" && shortest
	}
	quoted, escaped := false, false
	for _, b := range []byte(strings.TrimLeft(c.line, blanks)) {
		switch {
		case escaped:
			escaped = false
		case c.quotes && b == '"':
			quoted = !quoted
			continue
		case b == c.escape:
			escaped = true
			continue
		case !quoted && strings.IndexByte(blanks, b) >= 0 && check():
			return found
		}
		path = append(path, b)
	}
	check()
	return found
}
