package terminal

import (
	"bytes"
	"testing"
)

// typeAll feeds typed to a fresh parser in pieces of at most n bytes.
func typeAll(typed []byte, n int) (program []byte, acts []Action) {
	var e Escapes
	for len(typed) > 0 {
		piece := typed[:min(n, len(typed))]
		typed = typed[len(piece):]
		for len(piece) > 0 {
			var act Action
			program, piece, act = e.Next(program, piece)
			if act != ActionNone {
				acts = append(acts, act)
			}
		}
	}
	return program, acts
}

func TestEscapes(t *testing.T) {
	tests := []struct {
		name, typed, program string
		acts                 []Action
	}{
		{"plain", "ls -l\r", "ls -l\r", nil},
		{"leave at the very start", "~.", "", []Action{ActionLeave}},
		{"leave after return", "ls\r~.", "ls\r", []Action{ActionLeave}},
		{"leave after newline", "ls\n~.", "ls\n", []Action{ActionLeave}},
		{"tilde within a line is text", "cd ~.", "cd ~.", nil},
		{"two tildes type one", "~~.", "~.", nil},
		{"a literal tilde ends the line start", "~~~.", "~~.", nil},
		{"unknown escape is typed whole", "~x\r", "~x\r", nil},
		{"home folder at the start of a line", "~/bin\r", "~/bin\r", nil},
		{"help keeps the line start", "~?~.", "", []Action{ActionHelp, ActionLeave}},
		{"connections, within a line or not", "~#a~#", "a~#", []Action{ActionConnections}},
		{"suspend, then more", "\r~\x1awho\r", "\rwho\r", []Action{ActionSuspend}},
		{"tilde then return", "~\r~.", "~\r", []Action{ActionLeave}},
		{"held tilde", "~", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 100} {
				program, acts := typeAll([]byte(tt.typed), n)
				if string(program) != tt.program || !equalActions(acts, tt.acts) {
					t.Errorf("pieces of %d: got %q %v, want %q %v", n, program, acts, tt.program, tt.acts)
				}
			}
		})
	}
}

func equalActions(a, b []Action) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// FuzzEscapes checks that how the bytes arrive changes nothing, and that
// nothing but escapes is lost.
func FuzzEscapes(f *testing.F) {
	for _, s := range []string{"~.", "\r~?\r~~x", "a~.\n~\x1a~", "~a~~", "\r\n~.\r"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, typed []byte, n uint8) {
		whole, acts := typeAll(typed, len(typed)+1)
		pieces, pieceActs := typeAll(typed, int(n)+1)
		if !bytes.Equal(whole, pieces) || !equalActions(acts, pieceActs) {
			t.Fatalf("%q: whole %q %v, pieces of %d %q %v", typed, whole, acts, int(n)+1, pieces, pieceActs)
		}
		dropped := bytes.Count(typed, []byte{escapeByte}) - bytes.Count(whole, []byte{escapeByte})
		if lost := len(typed) - len(whole); lost < len(acts)*2 || lost > len(acts)+dropped {
			t.Fatalf("%q: %d bytes lost with %d escapes", typed, lost, len(acts))
		}
	})
}
