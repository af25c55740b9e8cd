package terminal

// Action is what an escape sequence asks the client to do.
type Action uint8

// The actions of [Escapes.Next].
const (
	ActionNone    Action = iota // everything was input for the program
	ActionLeave                 // ~.   leave, even when the connection is dead
	ActionHelp                  // ~?   list the escapes
	ActionDetach                // ~d   leave the session running
	ActionSuspend               // ~^Z  stop the client, as Ctrl-Z does to a local program

	ActionConnections // ~#   list the forwarded connections
)

const (
	escapeByte  = '~'
	suspendByte = 'Z' - 64
)

// Escapes finds escape sequences in what a person types. They are ssh's
// (ssh(1), ESCAPE CHARACTERS): a tilde is one only at the start of a line,
// "~~" there types one tilde, and a tilde before any other character is typed
// with it. A tilde at the start of a line is held until the next byte.
//
// The zero value is ready, at the start of a line.
type Escapes struct {
	// Char replaces the tilde, unless 0.
	Char byte
	// Off says that there are no escapes: everything is input.
	Off bool

	midLine bool
	pending bool
}

// Next appends to dst what of typed is meant for the program. It stops after
// the first escape and returns it with the rest of typed, to be given again.
func (e *Escapes) Next(dst, typed []byte) (program, rest []byte, act Action) {
	if e.Off {
		return append(dst, typed...), nil, ActionNone
	}
	char := e.Char
	if char == 0 {
		char = escapeByte
	}
	for i, c := range typed {
		if e.pending {
			e.pending = false
			if act := actionOf(c); act != ActionNone {
				return dst, typed[i+1:], act
			}
			if c != char {
				dst = append(dst, char)
			}
		} else if c == char && !e.midLine {
			e.pending = true
			continue
		}
		e.midLine = c != '\r' && c != '\n'
		dst = append(dst, c)
	}
	return dst, nil, ActionNone
}

func actionOf(c byte) Action {
	switch c {
	case '.':
		return ActionLeave
	case '?':
		return ActionHelp
	case 'd':
		return ActionDetach
	case suspendByte:
		return ActionSuspend
	case '#':
		return ActionConnections
	default:
		return ActionNone
	}
}
