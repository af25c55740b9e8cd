package sshargs

import "fmt"

// forwardKeywords are those of the directions.
var forwardKeywords = map[Direction]string{Local: "localforward", Remote: "remoteforward", Dynamic: "dynamicforward"}

// forward adds a value of -L, -R or -D.
func (p *parser) forward(d Direction, text string) error {
	if _, err := ParseForward(d, text, false); err != nil {
		return err
	}
	p.Settings.add(forwardKeywords[d], text)
	return nil
}

// Forwards returns what is to be carried beside a program, in the order in which
// it was given. ClearAllForwardings leaves none, and so does -W unless that says
// otherwise.
func (c *Command) Forwards() (local, remote, dynamic []Forward) {
	if c.Settings.Yes("clearallforwardings") || c.Stdio != "" && c.Settings.Get("clearallforwardings") == "" {
		return nil, nil, nil
	}
	return c.forwards(Local), c.forwards(Remote), c.forwards(Dynamic)
}

func (c *Command) forwards(d Direction) (all []Forward) {
	for _, text := range c.Settings.All(forwardKeywords[d]) {
		if f, err := ParseForward(d, text, false); err == nil { // as it was when it was added
			all = append(all, f)
		}
	}
	return all
}

// answerForwards spells the forwards of a keyword as -G does.
func (c *Command) answerForwards(keyword string) (lines []string) {
	local, remote, dynamic := c.Forwards()
	for _, f := range map[string][]Forward{"localforward": local, "remoteforward": remote, "dynamicforward": dynamic}[keyword] {
		line := answerEndpoint(f.Listen)
		switch {
		case !f.IsDynamic():
			line += " " + answerEndpoint(f.Connect)
		case keyword == "remoteforward":
			line += " [socks]:0"
		}
		lines = append(lines, line)
	}
	return lines
}

func answerEndpoint(e Endpoint) string {
	if e.Path != "" || e.Host == "" {
		return e.String()
	}
	return fmt.Sprintf("[%s]:%d", e.Host, e.Port)
}
