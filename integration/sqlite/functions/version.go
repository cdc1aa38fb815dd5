package functions

import (
	"bytes"
	"cmp"
	"errors"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// order is how versions of a kind of packages compare.
type order struct {
	// epoch says that what is before the first colon counts by its length.
	epoch bool
	// delimiters says that different delimiters are not equal.
	delimiters bool
	// rest says that what one version has more than the other is looked at.
	rest bool
	// numbers says that behind a digit the longer version is the larger one.
	numbers bool
}

// orders are osquery's, by the third argument of version_compare.
var orders = map[string]order{
	"":     {},
	"ARCH": {epoch: true, rest: true, numbers: true},
	"DPKG": {epoch: true, delimiters: true},
	"RHEL": {epoch: true, delimiters: true, rest: true},
}

func versions() (functions []function, collations []collation) {
	for name, o := range orders {
		collation := collation{"version", o.compare}
		if name != "" {
			collation.name += "_" + strings.ToLower(name)
		}
		collations = append(collations, collation)
	}
	return []function{{"version_compare", -1, versionCompare}}, collations
}

func versionCompare(ctx sqlite3.Context, arguments ...sqlite3.Value) {
	if len(arguments) < 2 || arguments[0].Type() != sqlite3.TEXT || arguments[1].Type() != sqlite3.TEXT {
		ctx.ResultError(errors.New("version_compare: it takes two versions, which are texts"))
		return
	}
	var o order
	if len(arguments) > 2 {
		flavor, _ := text(arguments[2])
		var ok bool
		if o, ok = orders[strings.ToUpper(flavor)]; !ok || flavor == "" || arguments[2].Type() != sqlite3.TEXT {
			ctx.ResultError(errors.New("version_compare: the third argument is none of ARCH, DPKG, RHEL"))
			return
		}
	}
	a, _ := text(arguments[0])
	b, _ := text(arguments[1])
	ctx.ResultInt64(int64(cmp.Compare(o.compare([]byte(a), []byte(b)), 0)))
}

// delimiters are what separates the segments of a version, in their order where that
// counts.
const delimiters = "~-^.:"

// compare compares versions segment by segment. It is not the order of the packages'
// own programs, but osquery's: a segment is compared as a text, the first segment
// that is longer is the larger one.
func (o order) compare(a, b []byte) int {
	if len(a) == 0 || len(b) == 0 || bytes.Equal(a, b) {
		return cmp.Compare(min(len(a), 1), min(len(b), 1))
	}
	if o.epoch {
		if d := bytes.IndexByte(a, ':') - bytes.IndexByte(b, ':'); d != 0 {
			return d
		}
	}
	difference := 0 // the first in this segment
	shorter := min(len(a), len(b))
	for i := range shorter {
		in, of := bytes.IndexByte([]byte(delimiters), a[i]), bytes.IndexByte([]byte(delimiters), b[i])
		switch {
		case in < 0 && of < 0:
			difference = cmp.Or(difference, int(int8(a[i]))-int(int8(b[i])))
		case in < 0:
			return 1 // its segment goes on
		case of < 0:
			return -1
		case difference != 0:
			return difference
		case o.delimiters && in != of:
			return in - of
		}
	}
	if len(a) == len(b) {
		return difference
	}
	longer, sign := a, 1
	if len(b) > len(a) {
		longer, sign = b, -1
	}
	next, last := longer[shorter], a[shorter-1]
	if sign > 0 {
		last = b[shorter-1]
	}
	switch {
	case o.rest && next == '~':
		return -sign
	case o.rest && next == '-':
		return 0
	case o.rest && next == '^':
		return sign
	case difference == 0:
	case o.rest && (!o.numbers || last < '0' || last > '9'):
		return difference
	case !o.rest && bytes.IndexByte([]byte(delimiters), next) >= 0:
		return difference
	}
	return len(a) - len(b)
}
