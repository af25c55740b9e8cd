//go:build mangen

package main

import (
	"github.com/spf13/cobra"

	"shellagent/internal/mangen"
)

// go run -tags mangen ./cmd/cli man DIR
func init() {
	program.More = append(program.More, func() []*cobra.Command { return []*cobra.Command{mangen.Command()} })
}
