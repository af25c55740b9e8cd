//go:build linux && !amd64 && !arm64

package sandbox

// architecture 0 has no filter.
const architecture = 0

var ofArchitecture []uint32
