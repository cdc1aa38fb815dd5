//go:build !linux

package host

import (
	"context"
	"errors"
)

func taskFiles(context.Context, func(Holder)) error { return errors.ErrUnsupported }
