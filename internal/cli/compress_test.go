package cli

import (
	"testing"

	"github.com/spf13/cobra"
)

// TestCompressExcludesCover: pieces of one size are not what compression leaves.
func TestCompressExcludesCover(t *testing.T) {
	for _, c := range []struct {
		args []string
		ok   bool
		want coverFlag
	}{
		{nil, true, "on"},
		{[]string{"-C"}, true, "off"},
		{[]string{"-C", "--cover", "off"}, true, "off"},
		{[]string{"-C", "--cover", "on"}, false, ""},
		{[]string{"--compress", "--share"}, false, ""},
		{[]string{"--compress", "--share=off"}, true, "off"},
	} {
		p := &program{}
		cmd := &cobra.Command{}
		p.register(cmd)
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		err := p.check()
		if (err == nil) != c.ok || err == nil && p.cover != c.want {
			t.Errorf("%q: cover %q, %v", c.args, p.cover, err)
		}
		if err == nil && p.compress.on && p.share != "off" {
			t.Errorf("%q: share %q", c.args, p.share)
		}
	}
}
