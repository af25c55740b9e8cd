//go:build !linux && !darwin

package share

import (
	"context"
	"os"
)

// Start fails: see [Supported].
func Start(context.Context, []string, *os.File) error { return errUnsupported }

// Inherited fails: see [Supported].
func Inherited() (*os.File, error) { return nil, errUnsupported }

// Detach fails: see [Supported].
func Detach(*os.File) error { return errUnsupported }
