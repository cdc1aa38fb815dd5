//go:build !linux

package process

import "errors"

func isProcFS(string) bool { return false }

func linksOf(string) (uint32, error) { return 0, errors.ErrUnsupported }
