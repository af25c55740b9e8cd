package cli

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"shellagent/internal/version"
)

func versionCommand(s *surroundings) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print version and build",
		Example: `  agent version
  agent version --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !asJSON {
				return s.print(fmt.Sprintf("%s %s %s %s/%s\n", s.ui.name, version.String(), runtime.Version(), runtime.GOOS, runtime.GOARCH))
			}
			return s.printJSON(struct {
				Version int    `json:"version"`
				Agent   string `json:"agent"`
				Commit  string `json:"commit"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{1, version.Version, version.Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func jsonFlag(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, `print JSON with a "version" field, which changes only when its meaning does`)
}

// print writes a result.
func (s *surroundings) print(text string) error {
	if _, err := s.stdout.WriteString(text); err != nil {
		return &outputError{err}
	}
	return nil
}

// printJSON writes a result for programs: one line.
func (s *surroundings) printJSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.print(string(text) + "\n")
}
