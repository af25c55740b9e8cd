//go:build !linux

package shellhttp

import "net"

func setNotSentLowat(*net.TCPConn, int) {}
