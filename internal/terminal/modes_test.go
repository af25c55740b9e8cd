package terminal

import "testing"

func TestModes(t *testing.T) {
	for _, c := range []struct {
		name, output, undo, redo string
		fills                    bool
	}{
		{"text and colours", "a\x1b[31mb\x1b[2J\x1b]0;title\x07", "", "", false},
		{"an editor", "\x1b[?1049h\x1b[?1h\x1b=\x1b[?25l\x1b[1;24r\x1b[?25h",
			"\x1b[0m\x1b(B\x1b[r\x1b>\x1b[?1l\x1b[?1049l", "\x1b[?1049h\x1b[?1h\x1b=", true},
		{"an editor that ended", "\x1b[?1049h\x1b[?1h\x1b=\x1b[?1l\x1b>\x1b[?1049l", "", "", false},
		{"several at once", "\x1b[?1002;1006;2004h", "\x1b[0m\x1b(B\x1b[?1002l\x1b[?1006l\x1b[?2004l", "\x1b[?2004h\x1b[?1006h\x1b[?1002h", false},
		{"no cursor", "\x1b[?25l", "\x1b[0m\x1b(B\x1b[?25h", "\x1b[?25l", false},
		{"a reset", "\x1b[?1049h\x1b[?25l\x1bc", "", "", false},
		{"other sequences", "\x1b[1049h\x1b[?1049$p\x1b[?10x49h\x1b[?99h\x1b\x1b[?;h", "", "", false},
		{"begun anew", "\x1b[?10\x1b[?25l", "\x1b[0m\x1b(B\x1b[?25h", "\x1b[?25l", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := 1; n <= len(c.output); n++ {
				var m Modes
				for rest := []byte(c.output); len(rest) > 0; rest = rest[min(n, len(rest)):] {
					m.See(rest[:min(n, len(rest))])
				}
				if undo, redo := string(m.Undo()), string(m.Redo()); undo != c.undo || redo != c.redo || m.FillsScreen() != c.fills {
					t.Fatalf("in pieces of %d: undo %q, redo %q, fills %v", n, undo, redo, m.FillsScreen())
				}
			}
		})
	}
}

// FuzzModes checks that what is undone is undone, and that nothing is kept of an
// endless sequence.
func FuzzModes(f *testing.F) {
	f.Add([]byte("\x1b[?1049;25h\x1b=\x1b[?25l"), uint8(3))
	f.Fuzz(func(t *testing.T, output []byte, at uint8) {
		var whole, parts, again Modes
		whole.See(output)
		cut := min(int(at), len(output))
		parts.See(output[:cut])
		parts.See(output[cut:])
		if string(whole.Undo()) != string(parts.Undo()) || len(whole.params) > maxParams {
			t.Fatalf("%q, %q in parts, %d bytes kept", whole.Undo(), parts.Undo(), len(whole.params))
		}
		redo := string(whole.Redo())
		if again.See(whole.Redo()); string(again.Redo()) != redo {
			t.Fatalf("redone %q, seen as %q", redo, again.Redo())
		}
		whole.See([]byte("\x18"))
		if whole.See(whole.Undo()); len(whole.Undo()) != 0 {
			t.Fatalf("left after it was undone: %q", whole.Undo())
		}
	})
}

func TestModesAreCheapToFollow(t *testing.T) {
	var m Modes
	output := []byte("\x1b[?25l\x1b[?2004h\x1b[?25h")
	m.See(output)
	if n := testing.AllocsPerRun(100, func() { m.See(output) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
