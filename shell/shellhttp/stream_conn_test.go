package shellhttp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/shell"
)

// streamRequest is a request for a stream as our client writes it.
const streamRequest = "GET /v1/sessions/abc/stream?from=0 HTTP/1.1\r\nHost: a\r\nUser-Agent: shellagent\r\nAccept: " + typeFrames + "\r\nAuthorization: Bearer tok\r\n\r\n"

// piped is a broker whose streams the test writes.
func piped() (caller callerFunc, streams <-chan *io.PipeWriter) {
	begun := make(chan *io.PipeWriter, 10)
	return func(ctx context.Context, c *shell.Call) (*shell.Reply, error) {
		if !strings.HasSuffix(c.Target, "/stream?from=0") {
			return told(ctx, c)
		}
		r, w := io.Pipe()
		begun <- w
		return &shell.Reply{Status: 200, Stream: r}, nil
	}, begun
}

func TestStreamsAreThoseOfNetHTTP(t *testing.T) {
	caller, streams := piped()
	_, dial := openServer(t, HandlerConfig{Caller: caller})
	data := make([]byte, 3*busyBuffer+7)
	rand.Read(data)
	for name, pieces := range map[string][]int{"small": {1, 15, 16, 17, 255, 256}, "large": {1023, 1024, 1025, busyBuffer, 2 * busyBuffer, len(data)}} {
		var heads [2]string
		for i, request := range []string{streamRequest, strings.Replace(streamRequest, "User-Agent: shellagent", "User-Agent: another", 1)} {
			c := dial()
			io.WriteString(c, request)
			var want []byte
			w := <-streams
			for _, n := range pieces {
				want = append(want, data[:n]...)
			}
			go func() {
				for _, n := range pieces {
					w.Write(data[:n])
				}
				w.Close()
			}()
			in := bufio.NewReader(c)
			r, text := answerOf(t, in)
			if text != string(want) || len(r.TransferEncoding) != 1 || r.Close {
				t.Errorf("%s: %d bytes of %d, %v", name, len(text), len(want), r.TransferEncoding)
			}
			r.Header.Del("Date")
			var b bytes.Buffer
			r.Header.Write(&b)
			heads[i] = r.Proto + " " + r.Status + b.String()
			// What follows on the connection is answered, of either form.
			for _, next := range []string{promptRequest("tok", "key"), "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"} {
				io.WriteString(c, next)
				if r, _ := answerOf(t, in); r.StatusCode != 200 {
					t.Errorf("%s: what follows is answered with %d", name, r.StatusCode)
				}
			}
		}
		if heads[0] != heads[1] {
			t.Errorf("%q, net/http's is %q", heads[0], heads[1])
		}
	}
}

// What is sent while a stream lasts waits for its end, and a connection can have
// one stream after the other.
func TestRequestsBehindAStream(t *testing.T) {
	caller, streams := piped()
	_, dial := openServer(t, HandlerConfig{Caller: caller})
	c := dial()
	in := bufio.NewReader(c)
	for range 3 {
		io.WriteString(c, streamRequest)
		w := <-streams
		w.Write([]byte("first"))
		io.WriteString(c, promptRequest("tok", "key"))
		w.Write([]byte("last"))
		w.Close()
		if _, text := answerOf(t, in); text != "firstlast" {
			t.Errorf("got %q", text)
		}
		if r, text := answerOf(t, in); r.StatusCode != 200 || !strings.Contains(text, " key ") {
			t.Errorf("%d %q", r.StatusCode, text)
		}
	}
}

// A request that was read along with the stream's is answered as well, with and
// without TLS.
func TestRequestsSentWithAStreamsOwn(t *testing.T) {
	caller, streams := piped()
	b := newTestBroker(t, nil)
	b.before = func(c *shell.Call) (*shell.Reply, error) { return caller(t.Context(), c) }
	secure := serve(t, b)
	_, dial := openServer(t, HandlerConfig{Caller: caller})
	for name, c := range map[string]net.Conn{"plain": dial(), "TLS": dialTLS(t, secure)} {
		io.WriteString(c, streamRequest+promptRequest("tok", "key"))
		w := <-streams
		w.Write([]byte("all"))
		w.Close()
		in := bufio.NewReader(c)
		if _, text := answerOf(t, in); text != "all" {
			t.Errorf("%s: got %q", name, text)
		}
		if r, text := answerOf(t, in); r.StatusCode != 200 || !strings.Contains(text, " key ") {
			t.Errorf("%s: %d %q", name, r.StatusCode, text)
		}
	}
}

func dialTLS(t *testing.T, s *testServer) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", s.addr, s.tls)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

// A stream that begins while the server is shut down is sent, as any answer is.
func TestStreamThatBeginsDuringShutdown(t *testing.T) {
	caller, streams := piped()
	asked, goOn := make(chan struct{}), make(chan struct{})
	server, dial := openServer(t, HandlerConfig{Caller: callerFunc(func(ctx context.Context, c *shell.Call) (*shell.Reply, error) {
		close(asked)
		<-goOn
		return caller(ctx, c)
	})})
	c := dial()
	io.WriteString(c, streamRequest)
	<-asked
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(t.Context()) }()
	eventually(t, "the server stops", server.prompt.left)
	close(goOn)
	w := <-streams
	w.Write([]byte("all"))
	w.Close()
	if _, text := answerOf(t, bufio.NewReader(c)); text != "all" {
		t.Errorf("got %q", text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestShutdownLetsStreamsEnd(t *testing.T) {
	caller, streams := piped()
	server, dial := openServer(t, HandlerConfig{Caller: caller})
	c := dial()
	io.WriteString(c, streamRequest)
	w := <-streams
	w.Write([]byte("a"))
	var over atomic.Bool
	ended := make(chan error, 1)
	go func() {
		err := server.Shutdown(t.Context())
		over.Store(true)
		ended <- err
	}()
	other, err := net.Dial("tcp", c.RemoteAddr().String())
	for ; err == nil; other, err = net.Dial("tcp", c.RemoteAddr().String()) { // until nobody listens
		other.Close()
	}
	w.Write([]byte("b"))
	if over.Load() {
		t.Error("it is shut down while a stream goes on")
	}
	w.Close()
	if _, text := answerOf(t, bufio.NewReader(c)); text != "ab" {
		t.Errorf("got %q", text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is left: %d, %v", n, err)
	}
}

func TestCloseCutsStreams(t *testing.T) {
	caller, streams := piped()
	server, dial := openServer(t, HandlerConfig{Caller: caller})
	c := dial()
	io.WriteString(c, streamRequest)
	w := <-streams
	w.Write([]byte("a"))
	server.Close()
	if text, err := io.ReadAll(httputil.NewChunkedReader(afterHead(t, c))); err != io.ErrUnexpectedEOF || string(text) != "a" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := w.Write([]byte("b")); err == nil {
		// The first may have been on its way.
		if _, err := w.Write([]byte("c")); err == nil {
			t.Error("the broker's stream stayed open")
		}
	}
}

// afterHead is what follows a head.
func afterHead(t *testing.T, c io.Reader) io.Reader {
	t.Helper()
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			return in
		}
	}
}

func FuzzChunk(f *testing.F) {
	f.Add([]byte("a"))
	f.Add(make([]byte, 4096))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > busyBuffer {
			return
		}
		buf := make([]byte, chunkHead+len(data)+chunkTail)
		copy(buf[chunkHead:], data)
		all := append(chunk(buf, len(data)), "0\r\n\r\n"...)
		if got, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(all))); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came as %d, %v", len(data), len(got), err)
		}
	})
}
