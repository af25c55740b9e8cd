// Package drain sends what sessions show to the sinks of the audit trail, line
// by line as a terminal would show it.
package drain
