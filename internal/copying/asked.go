package copying

import "errors"

// asked are the paths that a server was asked for. What it sends has to be called
// as one of them: another name would be the server's choice of what is written
// here.
type asked []string

var errNotAsked = errors.New("it was not asked for, and is left out")

// holds says whether something at the top may be called so; "" is what is in a
// directory, which has no name itself.
func (a asked) holds(k kind, name string) bool {
	for _, p := range a {
		_, base := splitSource(p)
		if base == "~" {
			base = ""
		}
		if base == name && (name != "" || k == kindDir) {
			return true
		}
		if name != "" && matches(base, name) {
			return true
		}
	}
	return false
}
