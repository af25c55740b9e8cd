package playback

import (
	"bufio"
	"io"
	"time"
)

// key is what a person asked for.
type key struct {
	kind keyKind
	by   time.Duration // keyJump
	text string        // keyFind
}

type keyKind int

const (
	keyLeave keyKind = iota + 1
	keyPause
	keyStep
	keyFaster
	keySlower
	keyJump
	keyFind
	keyAgain
)

var plainKeys = map[byte]key{
	'q': {kind: keyLeave}, 3: {kind: keyLeave}, 4: {kind: keyLeave},
	' ': {kind: keyPause}, '.': {kind: keyStep}, '+': {kind: keyFaster}, '-': {kind: keySlower}, 'n': {kind: keyAgain},
	']': {kind: keyJump, by: time.Minute}, '[': {kind: keyJump, by: -time.Minute},
}

// maxSearch bounds what is looked for, in bytes.
const maxSearch = 256

// readKeys sends what is typed until the input ends, and closes keys then.
func readKeys(in io.Reader, keys chan<- key) {
	defer close(keys)
	r := bufio.NewReader(in)
	for {
		b, err := r.ReadByte()
		if err != nil {
			return
		}
		switch b {
		case '/':
			text, err := readSearch(r)
			if err != nil {
				return
			}
			keys <- key{kind: keyFind, text: text}
		case 0x1b:
			if k, ok := readArrow(r); ok {
				keys <- k
			}
		default:
			if k, ok := plainKeys[b]; ok {
				keys <- k
			}
		}
	}
}

// readSearch reads a text up to Enter; Ctrl-C or Escape gives it up.
func readSearch(r *bufio.Reader) (string, error) {
	var text []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		switch {
		case b == '\r' || b == '\n':
			return string(text), nil
		case b == 3 || b == 0x1b:
			return "", nil
		case b == 0x7f || b == 8:
			text = text[:max(0, len(text)-1)]
		case len(text) < maxSearch:
			text = append(text, b)
		}
	}
}

// readArrow reads what follows Escape, which arrives with it.
func readArrow(r *bufio.Reader) (key, bool) {
	if r.Buffered() < 2 {
		return key{}, false
	}
	second, _ := r.ReadByte()
	third, _ := r.ReadByte()
	if second != '[' && second != 'O' {
		return key{}, false
	}
	switch third {
	case 'C':
		return key{kind: keyJump, by: 5 * time.Second}, true
	case 'D':
		return key{kind: keyJump, by: -5 * time.Second}, true
	}
	return key{}, false
}
