//go:build !linux

package names

import (
	"errors"
	"os"
)

func anySocket() (*os.File, error) { return nil, errors.ErrUnsupported }

func interfaceName(*os.File, uint32) (string, error) { return "", errors.ErrUnsupported }
