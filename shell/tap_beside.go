package shell

// Beside returns one more tap, of output alone: Input is ignored, and sizes are
// not told. The session does not hand it on to another image of the agent: whoever
// reads it knows how far they are (see [Tap.Offset]), and begins there again.
func (s *Session) Beside(o TapOptions) (*Tap, error) {
	o.Input = false
	return newTap(s.backlog, o, s.started)
}
