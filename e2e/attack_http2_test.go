package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// field is a header field of HTTP/2, pseudo-headers among them.
type field struct{ name, value string }

// fields of a request for alice's sessions with a token that is none, changed.
func fields(change func([]field) []field) []field {
	all := []field{{":method", "GET"}, {":scheme", "https"}, {":path", "/v1/sessions"}, {":authority", "a"}, {"authorization", "Bearer a.b.c"}}
	if change != nil {
		all = change(all)
	}
	return all
}

func block(all []field) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range all {
		_ = e.WriteField(hpack.HeaderField{Name: f.name, Value: f.value})
	}
	return b.Bytes()
}

// Frames of HTTP/2 and their flags (RFC 9113 §6).
const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePing         = 6
	frameGoAway       = 7
	frameContinuation = 9

	endStream  = 1
	endHeaders = 4
)

// framer is a connection on which frames can be written as one likes.
type framer struct {
	*tls.Conn
	in *bufio.Reader
}

func (a *attacker) dialHTTP2() *framer {
	a.t.Helper()
	tcp, err := a.dialTCP()
	if err != nil {
		a.t.Fatal(err)
	}
	c := tls.Client(tcp, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	c.SetDeadline(time.Now().Add(60 * time.Second))
	a.t.Cleanup(func() { tcp.Close() })
	f := &framer{c, bufio.NewReader(c)}
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		a.t.Fatal(err)
	}
	if err := f.frame(frameSettings, 0, 0, nil); err != nil {
		a.t.Fatal(err)
	}
	return f
}

func (f *framer) frame(kind, flags byte, stream uint32, payload []byte) error {
	n := len(payload)
	head := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	_, err := f.Write(append(binary.BigEndian.AppendUint32(head, stream), payload...))
	return err
}

// status reads the answer on stream 1; it is 0 when the stream or the
// connection was ended instead.
func (f *framer) status() (int, error) {
	fields := hpack.NewDecoder(4096, nil)
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(f.in, head); err != nil {
			return 0, err
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(f.in, payload); err != nil {
			return 0, err
		}
		switch {
		case head[3] == frameReset, head[3] == frameGoAway && binary.BigEndian.Uint32(payload[4:]) != 0:
			return 0, nil
		case head[3] == frameHeaders:
			all, err := fields.DecodeFull(payload)
			if err != nil || len(all) == 0 || all[0].Name != ":status" {
				return 0, fmt.Errorf("headers %v: %w", all, err)
			}
			if all[0].Value != "100" {
				return strconv.Atoi(all[0].Value)
			}
		}
	}
}

// What would be read in two ways is refused in HTTP/2 as well.
func TestHTTP2IsAsStrict(t *testing.T) {
	h := startHost(t, nil)
	plus := func(more ...field) func([]field) []field {
		return func(all []field) []field { return append(all, more...) }
	}
	path := func(p string) func([]field) []field {
		return func(all []field) []field { all[2].value = p; return all }
	}
	post := func(more ...field) func([]field) []field {
		return func(all []field) []field {
			all[0].value, all[2].value = "POST", "/v1/shell/debug"
			return append(all, more...)
		}
	}
	for i, c := range []struct {
		name     string
		change   func([]field) []field
		body     string
		statuses []int
	}{
		{"a token that is none", nil, "", []int{401}},
		{"two tokens", plus(field{"authorization", "Bearer a.b.c"}), "", []int{400}},
		{"transfer-encoding", plus(field{"transfer-encoding", "chunked"}), "", []int{400}},
		{"connection", plus(field{"connection", "upgrade"}), "", []int{400}},
		{"origin", plus(field{"origin", "null"}), "", []int{400}},
		{"an end of line in a value", plus(field{"x", "a\r\nauthorization: Bearer a"}), "", []int{0}},
		{"a name in upper case", plus(field{"X-Y", "a"}), "", []int{0}},
		{"two paths", func(all []field) []field { return append([]field{{":path", "/healthz"}}, all...) }, "", []int{0}},
		{"a path behind the headers", plus(field{":path", "/healthz"}), "", []int{0}},
		{"an escape", path("/v1/%73essions"), "", []int{400}},
		{"an empty segment", path("//v1/sessions"), "", []int{400}},
		{"absolute form", path("https://a/v1/sessions"), "", []int{400}},
		{"a space", path("/v1/ses sions"), "", []int{400}},
		{"an escape sequence", path("/v1/\x1b[2J"), "", []int{0}},
		{"CONNECT", func([]field) []field { return []field{{":method", "CONNECT"}, {":authority", "127.0.0.1:22"}} }, "", []int{400}},
		{"a body of a GET", nil, "x", []int{400}},
		{"a body without its length", post(), "{}", []int{411}},
		{"two lengths", post(field{"content-length", "2"}, field{"content-length", "3"}), "{}", []int{411}},
		{"a longer body than said", post(field{"content-length", "1"}), "{}", []int{0}},
		{"headers of 13 KiB", plus(field{"x", strings.Repeat("y", 13<<10)}), "", []int{431, 0}},
		{"4000 headers", plus(slices.Repeat([]field{{"a", "b"}}, 4000)...), "", []int{431, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAttacker(t, h, fmt.Sprintf("127.0.50.%d", i+1))
			f := a.dialHTTP2()
			err := f.headers(block(fields(c.change)), c.body == "")
			if err == nil && c.body != "" {
				err = f.frame(frameData, endStream, 1, []byte(c.body))
			}
			if err != nil {
				t.Fatal(err)
			}
			status, err := f.status()
			if err != nil && !errors.Is(err, io.EOF) || !slices.Contains(c.statuses, status) {
				t.Errorf("answered %d, %v, want one of %v", status, err, c.statuses)
			}
		})
	}
	if log := h.log.String(); strings.Contains(log, "session opened") || strings.Contains(log, "\x1b") {
		t.Errorf("the log has\n%s", tail(log, 2000))
	}
}

// headers begins a request, in as many frames as its headers take.
func (f *framer) headers(b []byte, end bool) error {
	const most = 16 << 10
	kind, flags := byte(frameHeaders), byte(0)
	if end {
		flags = endStream
	}
	for len(b) > most {
		if err := f.frame(kind, flags, 1, b[:most]); err != nil {
			return err
		}
		b, kind, flags = b[most:], frameContinuation, 0
	}
	return f.frame(kind, flags|endHeaders, 1, b)
}

// Floods of frames that cost their sender nothing cost the agent little: its
// memory stays, and an operator gets in meanwhile.
func TestFloodsOfHTTP2Frames(t *testing.T) {
	h := startHost(t, nil)
	alice := loadKey(t, h.key)
	get := block(fields(nil))
	post := block(fields(func(all []field) []field {
		all[0].value, all[2].value = "POST", "/v1/shell/debug"
		return append(all, field{"content-length", "2"})
	}))
	for i, c := range []struct {
		name  string
		first func(*framer) error
		send  func(f *framer, n uint32) error
	}{
		{"requests that are taken back", nil, func(f *framer, n uint32) error {
			return errors.Join(f.frame(frameHeaders, endStream|endHeaders, 2*n+1, get), f.frame(frameReset, 0, 2*n+1, []byte{0, 0, 0, 8}))
		}},
		{"headers that never end", func(f *framer) error { return f.frame(frameHeaders, endStream, 1, get) },
			func(f *framer, _ uint32) error { return f.frame(frameContinuation, 0, 1, nil) }},
		{"pings", nil, func(f *framer, _ uint32) error { return f.frame(framePing, 0, 0, make([]byte, 8)) }},
		{"settings", nil, func(f *framer, _ uint32) error { return f.frame(frameSettings, 0, 0, nil) }},
		{"data without a byte", func(f *framer) error { return f.headers(post, false) },
			func(f *framer, _ uint32) error { return f.frame(frameData, 0, 1, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := newAttacker(t, h, fmt.Sprintf("127.0.51.%d", i+1))
			was := peak(t, h.frontPID())
			flooded := make(chan uint32, 4)
			for range 4 {
				f := bad.dialHTTP2()
				if c.first != nil {
					if err := c.first(f); err != nil {
						t.Fatal(err)
					}
				}
				go func() {
					n := uint32(0)
					for n < 100_000 && c.send(f, n) == nil { // most are sent away much earlier
						n++
					}
					flooded <- n
				}()
			}
			newAttacker(t, h, fmt.Sprintf("127.0.52.%d", i+1)).within1s(c.name, alice)
			var sent uint32
			for range 4 {
				sent += <-flooded
			}
			grew := peak(t, h.frontPID()) - was
			t.Logf("%d frames; the front grew by %d KiB", sent, grew>>10)
			if grew > 32<<20 { // some 50,000 requests were begun
				t.Errorf("the front grew by %d bytes", grew)
			}
		})
	}
}
