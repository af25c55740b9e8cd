package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"shellagent/account"
	"shellagent/internal/cli"
	"shellagent/internal/terminal"
	"shellagent/jwtauth"
)

// offered is a public key that may be let in.
type offered struct {
	key   jwtauth.PublicKey
	label string
	// where it was found, for a person.
	where string
}

// readKeys returns the keys to let in, each once.
func (s *setup) readKeys(ctx context.Context, stdin io.Reader) (keys []offered, err error) {
	switch {
	case len(s.keys) > 0:
		keys, err = s.namedKeys(stdin)
	case isPiped(stdin):
		if keys, err = keysFrom(stdin, "standard input"); err == nil && len(keys) == 0 {
			keys, err = askKeys(ctx)
		}
	default:
		keys, err = askKeys(ctx)
	}
	if err != nil {
		return nil, cli.Usage(err)
	}
	if keys = once(keys); len(keys) == 0 {
		return nil, cli.Usage(errNoKey)
	}
	return keys, nil
}

// isPiped says whether standard input is a pipe or a file, which end.
func isPiped(stdin io.Reader) bool {
	f, ok := stdin.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && (info.Mode().IsRegular() || info.Mode()&fs.ModeNamedPipe != 0)
}

// namedKeys are those of --key.
func (s *setup) namedKeys(stdin io.Reader) (keys []offered, err error) {
	for _, name := range s.keys {
		var some []offered
		if name == "-" {
			some, err = keysFrom(stdin, "standard input")
		} else if _, statErr := os.Stat(name); statErr == nil {
			some, err = keysOf(name)
		} else if some, err = keysIn([]byte(name), "--key"); err != nil {
			err = fmt.Errorf("--key %s is neither a file nor a public key: %w", name, err)
		}
		if err != nil {
			return nil, err
		}
		if len(some) == 0 {
			return nil, fmt.Errorf("--key %s: there is no key in it", name)
		}
		keys = append(keys, some...)
	}
	return keys, nil
}

func keysFrom(r io.Reader, what string) ([]offered, error) {
	text, err := readBounded(r, what)
	if err != nil {
		return nil, err
	}
	return keysIn(text, what)
}

func keysOf(path string) ([]offered, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return keysFrom(f, path)
}

// keysIn reads a key a line. Whatever else a line says is an error: who wrote it
// there believes that it holds.
func keysIn(text []byte, what string) (keys []offered, err error) {
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, label, err := jwtauth.ParsePublicKey(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", what, n, err)
		}
		keys = append(keys, offered{key, label, what})
	}
	return keys, nil
}

func once(keys []offered) []offered {
	seen := make(map[string]bool)
	return slices.DeleteFunc(keys, func(k offered) bool {
		twice := seen[k.key.Thumbprint()]
		seen[k.key.Thumbprint()] = true
		return twice
	})
}

// keysAtHand are the keys of the person who runs this: those that may log in
// over ssh, then those that lie here. What is no key for us is passed over: it is
// nobody's word about this agent.
func keysAtHand(ctx context.Context) []offered {
	var files []string
	home := homeOfPerson(ctx)
	if home == "" {
		return nil
	}
	files = append(files, filepath.Join(home, ".ssh", "authorized_keys"))
	for _, dir := range []string{".ssh", ".config/shellagent"} {
		more, _ := filepath.Glob(filepath.Join(home, dir, "*.pub"))
		files = append(files, more...)
	}
	var keys []offered
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		text, _ := readBounded(f, path)
		f.Close()
		for line := range strings.Lines(string(text)) {
			some, _ := keysIn([]byte(line), path)
			keys = append(keys, some...)
		}
	}
	return once(keys)
}

// homeOfPerson is where the keys are of whoever used sudo, else of the caller.
func homeOfPerson(ctx context.Context) string {
	if name := os.Getenv("SUDO_USER"); name != "" && os.Geteuid() == 0 {
		if u, err := account.Host().Lookup(ctx, name); err == nil {
			return u.Home
		}
	}
	home, _ := os.UserHomeDir()
	return home
}

// maxAsks bounds how often an answer that is none is asked for again.
const maxAsks = 3

// askKeys asks which keys are to be let in, if somebody is there.
func askKeys(ctx context.Context) ([]offered, error) {
	p, err := terminal.OpenPrompt()
	if errors.Is(err, terminal.ErrNotTerminal) {
		return nil, errNoKey
	}
	if err != nil {
		return nil, err
	}
	defer p.Close()
	found := keysAtHand(ctx)
	question := "Which key may open it? (a public key's file, or the line itself): "
	if len(found) > 0 {
		question = "Which keys may open it? (numbers; or a public key's file, or the line itself): "
	}
	for i, k := range found {
		line := fmt.Sprintf("%3d  %s  %s  %s", i+1, k.key.OpenSSHFingerprint(), k.label, k.where)
		if err := p.Show(cli.Clean(line) + "\n"); err != nil {
			return nil, err
		}
	}
	for range maxAsks {
		answer, err := p.Line(ctx, question)
		if err != nil {
			return nil, err
		}
		keys, err := chosen(strings.TrimSpace(answer), found)
		if err == nil {
			return keys, nil
		}
		if err := p.Show(cli.Clean(err.Error()) + "\n"); err != nil {
			return nil, err
		}
	}
	return nil, errNoKey
}

// chosen reads an answer: numbers of what was shown, a file, or a key.
func chosen(answer string, found []offered) ([]offered, error) {
	var keys []offered
	for _, word := range strings.FieldsFunc(answer, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, err := strconv.Atoi(word)
		if err != nil {
			keys = nil
			break
		}
		if n < 1 || n > len(found) {
			return nil, fmt.Errorf("there is no number %d", n)
		}
		keys = append(keys, found[n-1])
	}
	if len(keys) > 0 {
		return keys, nil
	}
	if answer == "" {
		return nil, errors.New("that is no key")
	}
	if path, ok := strings.CutPrefix(answer, "~/"); ok {
		home, _ := os.UserHomeDir()
		answer = filepath.Join(home, path)
	}
	s := setup{keys: []string{answer}}
	return s.namedKeys(strings.NewReader(""))
}
