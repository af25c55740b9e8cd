package sources

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Program is written as a string or as a list. The zero value is none.
type Program struct {
	// Line is the string: a shell's path, or a command for the shell.
	Line string
	// Argv is the list: what is executed and its arguments.
	Argv []string
}

// IsZero reports whether there is no program.
func (p Program) IsZero() bool { return p.Line == "" && len(p.Argv) == 0 }

// UnmarshalJSONFrom reads a string or a list of strings, neither empty.
func (p *Program) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	line, argv, err := readStringOrList(d)
	if err != nil {
		return err
	}
	*p = Program{Line: line, Argv: argv}
	return nil
}

func readStringOrList(d *jsontext.Decoder) (line string, list []string, err error) {
	switch d.PeekKind() {
	case '"':
		err = json.UnmarshalDecode(d, &line)
		if err == nil && line == "" {
			err = errors.New("the string is empty; leave the key out, or name a program")
		}
	case '[':
		err = json.UnmarshalDecode(d, &list)
		if err == nil && (len(list) == 0 || list[0] == "") {
			err = errors.New("the list names no program; its first element is what is run")
		}
	default:
		err = errors.New(`neither a string nor a list; write "/bin/bash" or ["/bin/bash", "--norc"]`)
	}
	return line, list, err
}
