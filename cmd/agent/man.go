//go:build mangen

package main

import "shellagent/internal/mangen"

// go run -tags mangen ./cmd/agent man DIR
func init() { program.More = append(program.More, mangen.Command()) }
