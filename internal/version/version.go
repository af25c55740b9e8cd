// Package version tells which build this is.
package version

// Version and Commit are set at build time with
//
//	-ldflags "-X shellagent/internal/version.Version=… -X shellagent/internal/version.Commit=…"
//
// and are read only.
var (
	Version = "devel"
	Commit  = ""
)

// String returns the version, with the commit in parentheses when it is known.
func String() string {
	if Commit == "" {
		return Version
	}
	return Version + " (" + Commit + ")"
}
