package sources

import (
	"errors"
	"fmt"
	"strings"
)

// pattern allows one form of a command, argument by argument.
type pattern struct {
	elements []element
	// rest allows any further arguments, also none.
	rest bool
}

type element struct {
	text string
	any  bool // exactly one argument, whatever it is
}

// newPattern compiles an element of commands: a list of arguments, or a string
// that is split as a client's command string is. The element * stands for
// exactly one argument, ** at the end for any that are left; in a string, a
// quoted one stands for itself.
func newPattern(p Program) (pattern, error) {
	words := make([]word, len(p.Argv))
	for i, arg := range p.Argv {
		words[i].text = arg
	}
	if p.Line != "" {
		var err error
		if words, err = split(p.Line, true); err != nil {
			return pattern{}, err
		}
	}
	var made pattern
	for i, w := range words {
		wild := !w.quoted && strings.Contains(w.text, "*")
		switch {
		case !wild:
			made.elements = append(made.elements, element{text: w.text})
		case i == 0:
			return pattern{}, errors.New("the program must be named; * stands for arguments only")
		case w.text == "*":
			made.elements = append(made.elements, element{any: true})
		case w.text == "**" && i == len(words)-1:
			made.rest = true
		case w.text == "**":
			return pattern{}, errors.New("** stands for all that is left; it must be last")
		default:
			return pattern{}, fmt.Errorf("%q: * stands for a whole argument; it cannot be a part of one", w.text)
		}
	}
	if len(made.elements) == 0 || made.elements[0].text == "" {
		return pattern{}, errors.New("the pattern names no program")
	}
	return made, nil
}

func (p pattern) matches(argv []string) bool {
	if len(argv) < len(p.elements) || !p.rest && len(argv) > len(p.elements) {
		return false
	}
	for i, e := range p.elements {
		if !e.any && e.text != argv[i] {
			return false
		}
	}
	return true
}

// String returns the pattern as it can be written.
func (p pattern) String() string {
	words := make([]string, 0, len(p.elements)+1)
	for _, e := range p.elements {
		if e.any {
			words = append(words, "*")
			continue
		}
		words = append(words, join([]string{e.text}))
	}
	if p.rest {
		words = append(words, "**")
	}
	return strings.Join(words, " ")
}

func (s *source) commandAllowed(argv []string) bool {
	for _, p := range s.commands {
		if p.matches(argv) {
			return true
		}
	}
	return false
}
