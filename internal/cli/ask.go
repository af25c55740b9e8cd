package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"shellagent/internal/terminal"
	"shellagent/targets"
)

// maxAsks bounds how often an answer that is none is asked for again.
const maxAsks = 3

// askFirstContact asks whether an agent's key is the right one.
func (c *contact) askFirstContact(ctx context.Context, f targets.FirstContact) (bool, error) {
	p, err := terminal.OpenPrompt()
	if err != nil {
		return false, err
	}
	defer p.Close()
	question := firstContact(c.ui.name, f) + askFirstContact
	for range maxAsks {
		answer, err := p.Line(ctx, question)
		if err != nil {
			return false, err
		}
		answer = strings.TrimSpace(answer)
		switch {
		case strings.EqualFold(answer, "yes"):
			return true, nil
		case strings.EqualFold(answer, "no"):
			return false, nil
		case targets.CheckFingerprint(answer) == nil:
			return f.Key.MatchesFingerprint(answer), nil
		}
		question = askAgain
	}
	return false, nil
}

func askSecret(ctx context.Context, question string) ([]byte, error) {
	p, err := terminal.OpenPrompt()
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Secret(ctx, clean(question))
}

// askNewSecret asks twice.
func askNewSecret(ctx context.Context) ([]byte, error) {
	first, err := askSecret(ctx, askNewPassphrase)
	if err != nil || len(first) == 0 {
		return nil, err
	}
	second, err := askSecret(ctx, askPassphraseBack)
	if err != nil {
		return nil, err
	}
	defer clear(second)
	if !bytes.Equal(first, second) {
		clear(first)
		return nil, errors.New("the two passphrases differ; nothing was written")
	}
	return first, nil
}
