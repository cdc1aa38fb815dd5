package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"

	"github.com/osquery-sockets/osquery-sockets/integration/memlimit"
)

// number is a flag whose value is a whole number within bounds.
type number struct {
	n        *uint
	min, max uint
}

// Set implements pflag.Value.
func (v number) Set(s string) error {
	n, err := strconv.ParseUint(s, 0, strconv.IntSize)
	if err != nil || uint(n) < v.min || uint(n) > v.max {
		return fmt.Errorf("it takes a whole number from %d to %d", v.min, v.max)
	}
	*v.n = uint(n)
	return nil
}

func (v number) String() string { return strconv.FormatUint(uint64(*v.n), 10) }

// Type is the value's name in the help.
func (number) Type() string { return "uint" }

// repeated is a flag that may stand twice, for more.
type repeated struct{ n *int }

// Set implements pflag.Value.
func (v repeated) Set(s string) error {
	if s == "+1" { // the flag stands there without a value
		*v.n = min(*v.n+1, 2)
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n > 2 {
		return errors.New("it takes a whole number from 0 to 2")
	}
	*v.n = int(n)
	return nil
}

func (v repeated) String() string { return strconv.Itoa(*v.n) }

// Type is the value's name in the help, and has none there.
func (repeated) Type() string { return "count" }

// flagError says in our words what the library says in those of strconv.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "bool" {
		return fmt.Errorf("invalid argument %q for \"--%s\" flag: it takes true or false", invalid.GetValue(), invalid.GetFlag().Name)
	}
	return err
}

// checked is a flag whose value is a string that passes a check.
type checked struct {
	s     *string
	check func(string) error
}

// Set implements pflag.Value.
func (v checked) Set(s string) error {
	if err := v.check(s); err != nil {
		return err
	}
	*v.s = s
	return nil
}

func (v checked) String() string { return *v.s }

// Type is the value's name in the help.
func (checked) Type() string { return "string" }

func notEmpty(s string) error {
	if s == "" {
		return errors.New("it takes a value that is not empty")
	}
	return nil
}

func logLevel(s string) error {
	if level := hclog.LevelFromString(s); level == hclog.NoLevel || level == hclog.Off {
		return errors.New("it must be error, warn, info, debug or trace")
	}
	return nil
}

func planName(s string) error {
	if s != "auto" && s != "sqlite" {
		return errors.New("it is neither auto nor sqlite")
	}
	return nil
}

// duration is a flag's time, of at least a millisecond and at most a day.
type duration struct{ d *time.Duration }

// Set implements pflag.Value.
func (v duration) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Millisecond || d > 24*time.Hour {
		return errors.New("it must be a time from 1ms to 24h, such as 1.5s or 2m")
	}
	*v.d = d
	return nil
}

func (v duration) String() string {
	if *v.d == 0 {
		return ""
	}
	return v.d.String()
}

// Type is the value's name in the help.
func (duration) Type() string { return "duration" }

// memory is a flag's size in bytes; less than 0 if the flag is not given.
type memory struct{ size *memlimit.Size }

// Set implements pflag.Value.
func (v memory) Set(s string) (err error) {
	size, err := memlimit.ParseSize(s)
	if err == nil {
		*v.size = size
	}
	return err
}

func (v memory) String() string {
	if *v.size < 0 {
		return ""
	}
	return v.size.String()
}

// Type is the value's name in the help.
func (memory) Type() string { return "size" }

func onLoss(s string) error {
	if s != "exit" && s != "reconnect" {
		return errors.New("it is neither exit nor reconnect")
	}
	return nil
}

var validPrefix = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([a-z][a-z0-9_]*)?$`) })

func tablePrefix(s string) error {
	if !validPrefix().MatchString(s) {
		return errors.New("it is not of small letters, digits and _, with a letter first")
	}
	return nil
}
