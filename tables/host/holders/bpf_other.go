//go:build !linux

package holders

import (
	"context"
	"errors"
)

func taskFiles(context.Context, func(Holder)) error { return errors.ErrUnsupported }
