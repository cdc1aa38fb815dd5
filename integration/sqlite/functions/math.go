package functions

import (
	"errors"
	"math"

	"github.com/ncruces/go-sqlite3"
)

func mathematics() []function {
	cot := func(x float64) float64 { return 1 / math.Tan(x) }
	degrees := func(x float64) float64 { return 180 * x / math.Pi }
	radians := func(x float64) float64 { return x * math.Pi / 180 }
	all := []function{
		{"ceil", 1, whole(math.Ceil)}, {"floor", 1, whole(math.Floor)},
		{"exp", 1, number(math.Exp, func(x, _ float64) error {
			if x > maxExponent {
				return errRange
			}
			return nil
		})},
		{"power", 2, power},
	}
	for name, f := range map[string]func(float64) float64{
		"sqrt": math.Sqrt, "acos": math.Acos, "asin": math.Asin, "atan": math.Atan, "cos": math.Cos, "sin": math.Sin, "tan": math.Tan,
		"cot": cot, "log": math.Log, "log10": math.Log10, "degrees": degrees, "radians": radians,
	} {
		all = append(all, function{name, 1, number(f, failure)})
	}
	return all
}

// The errors of C's functions.
var (
	errDomain = errors.New("the number is outside of what the function is defined for")
	errRange  = errors.New("the result is outside of what a number can be")
)

// maxExponent is that of C's long double, from which on exp of osquery fails; below,
// its result may be infinite.
const maxExponent = 11356.523406294143949491931077970765

// failure is how C's functions fail.
func failure(x, result float64) error {
	switch {
	case math.IsNaN(result) && !math.IsNaN(x):
		return errDomain
	case math.IsInf(result, 0) && !math.IsInf(x, 0):
		return errRange
	}
	return nil
}

// number makes a function of a number; a text is the number that it begins with, NULL
// is NULL.
func number(f func(float64) float64, failure func(x, result float64) error) sqlite3.ScalarFunction {
	return func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
		if anyNull(arguments) {
			return
		}
		x := arguments[0].Float()
		result := f(x)
		if err := failure(x, result); err != nil {
			ctx.ResultError(err)
			return
		}
		ctx.ResultFloat(result)
	}
}

func power(ctx sqlite3.Context, arguments ...sqlite3.Value) {
	if anyNull(arguments) {
		return
	}
	x, y := arguments[0].Float(), arguments[1].Float()
	result := math.Pow(x, y)
	err := failure(x+y, result)
	if result == 0 && x != 0 && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		err = errRange // too small
	}
	if err != nil {
		ctx.ResultError(err)
		return
	}
	ctx.ResultFloat(result)
}

// whole makes a function whose result is an integer; one that is too large is the
// smallest integer, as x86 converts it.
func whole(f func(float64) float64) sqlite3.ScalarFunction {
	return func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
		switch a := arguments[0]; a.Type() {
		case sqlite3.NULL:
		case sqlite3.INTEGER:
			ctx.ResultInt64(a.Int64())
		default:
			x := f(a.Float())
			if x >= -1<<63 && x < 1<<63 {
				ctx.ResultInt64(int64(x))
			} else {
				ctx.ResultInt64(math.MinInt64)
			}
		}
	}
}
