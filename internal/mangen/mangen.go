// Package mangen writes the man pages and completions of a command tree. Only
// builds with the tag mangen link it: what it needs is larger than the client.
package mangen

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// section is that of user commands, man-pages(7).
const section = "1"

// Write makes dir/man1 with one page a command and dir/completions with a file
// for bash, zsh, fish and PowerShell. The pages bear today's date, or that of
// SOURCE_DATE_EPOCH.
func Write(root *cobra.Command, dir string) error {
	pages, completions := filepath.Join(dir, "man1"), filepath.Join(dir, "completions")
	for _, d := range []string{pages, completions} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	header := &doc.GenManHeader{Section: section, Source: "Shell Agent", Manual: "Shell Agent"}
	if err := doc.GenManTree(root, header, pages); err != nil {
		return fmt.Errorf("man pages: %w", err)
	}
	name := root.Name()
	for file, write := range map[string]func(string) error{
		name + ".bash": func(path string) error { return root.GenBashCompletionFileV2(path, true) },
		"_" + name:     root.GenZshCompletionFile,
		name + ".fish": func(path string) error { return root.GenFishCompletionFile(path, true) },
		name + ".ps1":  root.GenPowerShellCompletionFileWithDesc,
	} {
		if err := write(filepath.Join(completions, file)); err != nil {
			return fmt.Errorf("completions: %w", err)
		}
	}
	return nil
}

// Command is "man DIR", for a binary that is built to document itself:
//
//	go run -tags mangen ./cmd/agent man DIR
func Command() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write man pages and completions",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(cmd *cobra.Command, args []string) error { return Write(cmd.Root(), args[0]) },
	}
}
