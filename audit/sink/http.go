package sink

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"shellagent/audit"
	"shellagent/internal/version"
)

// Bounds of what a server may answer, in bytes.
const (
	maxAnswer       = 8 << 20
	maxAnswerHeader = 64 << 10
)

// maxServerWait bounds the wait that a server may ask for.
const maxServerWait = 10 * time.Minute

// form is how lines are put into requests, and answers understood.
type form interface {
	// contentType is the body's.
	contentType() string
	body(lines []audit.Entry) []byte
	// judge reads the answer of a request that succeeded.
	judge(lines []audit.Entry, answer []byte) (outcome, error)
}

// httpSender posts batches. It follows no redirects: the trail is for the server
// that is configured.
type httpSender struct {
	cfg    Config
	url    string
	form   form
	client *http.Client
	limit  int // lines in a request: less than the batch after a 413
}

func newHTTPSender(c Config, url string, f form) (*httpSender, error) {
	t, err := c.tlsConfig("")
	if err != nil {
		return nil, err
	}
	return &httpSender{cfg: c, url: url, form: f, limit: c.Batch, client: &http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			TLSClientConfig: t, MaxConnsPerHost: 1, IdleConnTimeout: time.Minute,
			DisableCompression: true, MaxResponseHeaderBytes: maxAnswerHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (s *httpSender) close() { s.client.CloseIdleConnections() }

func (s *httpSender) send(ctx context.Context, lines []audit.Entry) (outcome, error) {
	n := min(len(lines), s.limit)
	status, wait, answer, err := s.post(ctx, s.form.body(lines[:n]))
	switch {
	case err != nil:
		return outcome{}, err
	case status >= 200 && status < 300:
		s.limit = min(2*s.limit, s.cfg.Batch)
		return s.form.judge(lines[:n], answer)
	case status == http.StatusRequestEntityTooLarge && n > 1:
		s.limit = n / 2
		return outcome{}, nil // at once again, with less
	case status == http.StatusRequestEntityTooLarge:
		return outcome{done: 1, rejected: []rejection{{0, "too large for the server (413)"}}}, nil
	}
	err = fmt.Errorf("the server answers %d: %s", status, excerpt(answer))
	if wait > 0 {
		err = &waitError{wait, err}
	}
	return outcome{}, err
}

func (s *httpSender) post(ctx context.Context, body []byte) (status int, wait time.Duration, answer []byte, err error) {
	compress := s.cfg.Gzip == nil || *s.cfg.Gzip
	if compress {
		body = zip(body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, 0, nil, err
	}
	for name, value := range s.cfg.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", s.form.contentType())
	req.Header.Set("User-Agent", "shellagent/"+version.Version)
	if compress {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if err := s.authorize(req.Header); err != nil {
		return 0, 0, nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode < 300 {
		return 0, 0, nil, fmt.Errorf("the answer broke off: %w", err)
	}
	return resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), time.Now()), answer, nil
}

func (s *httpSender) authorize(h http.Header) error {
	switch {
	case s.cfg.BearerPath != "":
		token, err := secret(s.cfg.BearerPath)
		if err != nil {
			return err
		}
		h.Set("Authorization", "Bearer "+token)
	case s.cfg.BasicPath != "":
		pair, err := secret(s.cfg.BasicPath)
		if err != nil {
			return err
		}
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	return nil
}

// retryAfter reads the header of RFC 9110 §10.2.3; 0 when there is none.
func retryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxServerWait)
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // to memory
	_ = w.Close()
	return out.Bytes()
}

// excerpt is what of an answer goes into a log line.
func excerpt(b []byte) string {
	const most = 200
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(b[:min(len(b), most)]))
}

// plainBody is the trail's lines as they are: one after the other, or as an array.
type plainBody struct{ array bool }

func (f plainBody) contentType() string {
	if f.array {
		return "application/json"
	}
	return "application/x-ndjson"
}

func (f plainBody) body(lines []audit.Entry) []byte {
	var b []byte
	for i, l := range lines {
		switch {
		case !f.array:
			b = append(append(b, l.Raw...), '\n')
		case i == 0:
			b = append(append(b, '['), l.Raw...)
		default:
			b = append(append(b, ','), l.Raw...)
		}
	}
	if f.array {
		b = append(b, ']')
	}
	return b
}

func (plainBody) judge(lines []audit.Entry, _ []byte) (outcome, error) {
	return outcome{done: len(lines)}, nil
}
