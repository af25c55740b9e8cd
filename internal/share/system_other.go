//go:build !linux && !darwin

package share

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
)

// Supported says that connections can be shared on this system.
const Supported = false

var errUnsupported = errors.New("connections are not shared on this system")

func isOwn(fs.FileInfo) bool               { return false }
func checkPeer(*net.UnixConn) (int, error) { return 0, errUnsupported }
func isAbsent(error) bool                  { return false }
func isLeft(error) bool                    { return false }

func (p Place) acquire(context.Context) (*os.File, error) { return nil, errUnsupported }
