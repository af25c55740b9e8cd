package observer

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"shellagent/bench/driver"
)

// Command is what has to run on the server: it asks for lines that are shown as
// they are typed and, in turn, for passwords, which are not.
const Command = `while read -r -p '$ ' x; do read -rs -p 'Password: ' y; echo; done`

// Press is a key that was pressed.
type Press struct {
	At     time.Time
	Secret bool // it was part of a password, and nothing was shown
}

// lines are what somebody types who knows them by heart.
var lines = []string{
	"git status", "git commit -m 'fix the thing'", "cd /var/log", "tail -f syslog", "ls -la", "sudo systemctl restart nginx",
	"make test", "ssh web1", "grep -rn error .", "vim notes.txt", "docker ps", "the quick brown fox jumps over the lazy dog",
}

// Between two keys a person takes a time that is distributed log-normally.
var (
	inWord     = gap{90, 0.35}
	newWord    = gap{170, 0.45}
	inPassword = gap{110, 0.40}
	newLine    = gap{350, 0.40}
)

// longest keeps the typing one burst: that one begins is seen anyway.
const longest = 900 * time.Millisecond

type gap struct{ median, sigma float64 } // milliseconds

func (g gap) draw() time.Duration {
	ms := g.median * math.Exp(g.sigma*rand.NormFloat64())
	return min(time.Duration(ms*float64(time.Millisecond)), longest)
}

// Type types for a while into a client that runs [Command], and returns the keys.
// The first line is not among them.
func Type(ctx context.Context, c *driver.Client, while time.Duration) ([]Press, error) {
	if _, err := c.Await("$ "); err != nil {
		return nil, err
	}
	t := &typist{c: c}
	if err := t.turn(); err != nil {
		return nil, err
	}
	t.keys = nil
	for end := time.Now().Add(while); time.Now().Before(end) && ctx.Err() == nil; {
		if err := t.turn(); err != nil {
			return nil, err
		}
	}
	return t.keys, context.Cause(ctx)
}

type typist struct {
	c    *driver.Client
	keys []Press
}

// turn types a line and a password.
func (t *typist) turn() error {
	if err := t.line(lines[rand.IntN(len(lines))], inWord, false); err != nil {
		return err
	}
	var password strings.Builder
	for range 8 + rand.IntN(8) {
		password.WriteByte(byte('a' + rand.IntN(26)))
	}
	return t.line(password.String(), inPassword, true)
}

// line types a text and the return key, which counts as neither: that output
// follows it is no secret.
func (t *typist) line(text string, usual gap, secret bool) error {
	last := byte(' ')
	for i := range len(text) {
		pause := usual
		if i == 0 {
			pause = newLine
		} else if last == ' ' {
			pause = newWord
		}
		if err := t.press(text[i], pause, &Press{Secret: secret}); err != nil {
			return err
		}
		last = text[i]
	}
	return t.press('\r', usual, nil)
}

func (t *typist) press(key byte, pause gap, p *Press) error {
	if _, err := t.c.Discard(pause.draw()); err != nil {
		return err
	}
	at := time.Now()
	if err := t.c.Send([]byte{key}); err != nil {
		return err
	}
	if p != nil {
		p.At = at
		t.keys = append(t.keys, *p)
	}
	return nil
}
