//go:build unix

package terminal

import (
	"os"

	"golang.org/x/term"
)

// modes are the terminal's line settings, which input and output share.
type modes struct{ state *term.State }

func makeRaw(in, _ *os.File) (*modes, error) {
	m := &modes{}
	err := withFD(in, func(fd int) (err error) {
		m.state, err = term.MakeRaw(fd)
		return err
	})
	return m, err
}

func (m *modes) restore(in, _ *os.File) {
	// A terminal that is gone needs no mode.
	_ = withFD(in, func(fd int) error { return term.Restore(fd, m.state) })
}
