package cli

import (
	"github.com/spf13/cobra"

	"shellagent/shell"
)

// coverFlag says whether a terminal hides from the network when keys are typed.
type coverFlag string

func (f *coverFlag) register(c *cobra.Command) {
	c.Flags().StringVar((*string)(f), "cover", "on", "hide from the network when keys are typed, `on` or off (terminals, where the source offers it)")
	_ = c.RegisterFlagCompletionFunc("cover", cobra.FixedCompletions([]string{"on", "off"}, cobra.ShellCompDirectiveNoFileComp))
}

func (f coverFlag) check() error {
	if f != "on" && f != "off" {
		return misuse("--cover %s: it is on or off", string(f))
	}
	return nil
}

func (f coverFlag) on() bool { return f == "on" }

// settle holds a session against what was asked for: what a source requires is
// not typed into without, and a person who counts on cover knows that there is none.
func (f coverFlag) settle(u *ui, info shell.SessionInfo) error {
	switch {
	case !info.Terminal:
	case info.Cover == shell.CoverRequired && !f.on():
		return misuse("the source %s asks for keystroke cover: leave --cover off and -C out", info.Source)
	case info.Cover == "" && f.on():
		u.debug("the source %s has no keystroke cover: an observer of the network sees when keys are typed", info.Source)
	}
	return nil
}
