package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// compressFlag says whether output is compressed on its way.
type compressFlag struct {
	on    bool
	flags *pflag.FlagSet
}

func (f *compressFlag) register(c *cobra.Command) {
	f.flags = c.Flags()
	f.flags.BoolVarP(&f.on, "compress", "C", false, "compress output on its way with zstd, for slow networks: its size then tells an observer of its content, and keystroke cover is off")
}

// settle has what cannot be together exclude each other: pieces of one size are
// not what is left of them, and a connection that is shared is as it was made.
func (f *compressFlag) settle(p *program) error {
	switch {
	case !f.on:
		return nil
	case f.flags.Changed("cover") && p.cover.on():
		return misuse("-C and --cover on exclude each other: under cover nothing is compressed")
	case f.flags.Changed("share") && p.share != "off":
		return misuse("-C and --share exclude each other: a shared connection is as its first call made it")
	}
	p.cover, p.share = "off", "off"
	return nil
}
