package shellhttp

import (
	"bufio"
	"bytes"
)

// maxAnswerHead bounds an answer's status line and headers, in bytes.
const maxAnswerHead = 16 << 10

// plainHead is what is of interest in the head of an answer to a post.
type plainHead struct {
	status, length int
}

// peekHead returns the head of the next answer with the empty line that ends
// it, without taking it from in. A head that does not fit in's buffer is
// returned cut short, without an error: it is not plain.
func peekHead(in *bufio.Reader) ([]byte, error) {
	for n := 1; ; n = in.Buffered() + 1 {
		if n > in.Size() {
			b, err := in.Peek(in.Size())
			return b, err
		}
		if _, err := in.Peek(n); err != nil {
			return nil, err
		}
		b, _ := in.Peek(in.Buffered())
		if i := bytes.Index(b, headEnd); i >= 0 {
			return b[:i+len(headEnd)], nil
		}
	}
}

var (
	headEnd   = []byte("\r\n\r\n")
	lineEnd   = []byte("\r\n")
	plainOK   = []byte("HTTP/1.1 200 OK\r\n")
	lengthKey = []byte("Content-Length")
)

// parsePlainHead reads the head that an agent writes when it has taken a post:
// status 200, a length of at most 1 MiB, and nothing that changes how the body
// is framed or whether the connection goes on. Of everything else ok is false,
// and then net/http says what it is. The two never differ on what is plain.
func parsePlainHead(head []byte) (h plainHead, ok bool) {
	rest, ok := bytes.CutPrefix(head, plainOK)
	if !ok || !bytes.HasSuffix(rest, lineEnd) {
		return h, false
	}
	lengths := 0
	for rest = rest[:len(rest)-len(lineEnd)]; len(rest) > 0; {
		var line []byte
		if line, rest, ok = bytes.Cut(rest, lineEnd); !ok {
			return h, false
		}
		name, value, ok := bytes.Cut(line, []byte(": "))
		if !ok || !plainName(name) || !plainValue(value) {
			return h, false
		}
		switch {
		case bytes.EqualFold(name, lengthKey):
			lengths++
			if h.length, ok = plainLength(value); !ok {
				return h, false
			}
		case changesFraming(name):
			return h, false
		}
	}
	h.status = 200
	return h, lengths == 1
}

// changesFraming names the headers that are left to net/http.
func changesFraming(name []byte) bool {
	for _, other := range []string{"Connection", "Transfer-Encoding", "Trailer", "Upgrade", "Proxy-Connection", "Keep-Alive"} {
		if len(name) == len(other) && bytes.EqualFold(name, []byte(other)) {
			return true
		}
	}
	return false
}

func plainName(b []byte) bool {
	for _, c := range b {
		if (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && (c < '0' || c > '9') {
			return false
		}
	}
	return len(b) > 0
}

func plainValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// plainLength reads a length of at most maxAnswer in its one decimal form.
func plainLength(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > len("1048576") || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n <= maxAnswer
}
