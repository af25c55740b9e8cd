package shellhttp

import (
	"crypto/tls"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

// What anybody may ask has no body: one that was said to come, and does not,
// would keep its connection for as long as a stranger likes.
func TestAnybodysRequestsHaveNoBody(t *testing.T) {
	for _, target := range []string{"/healthz", "/v1/agent"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			s := serve(t, newTestBroker(t, nil))
			conn, err := tls.Dial("tcp", s.addr, s.tls)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx")
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
				t.Errorf("%.80q, %v", answer, err)
			}
			if s.counted(shell.ReasonMalformed) != 1 {
				t.Error("it was not counted")
			}
		})
	}
}

// A client that went away without a word broke no rule: it is not counted as a
// request that was refused.
func TestLostHTTP2ConnectionsAreNoRefusals(t *testing.T) {
	var refused []shell.Reason
	h := NewHandler(HandlerConfig{Refused: func(r shell.Reason, _ netip.Addr) { refused = append(refused, r) }})
	count := NewServer(h, &tls.Config{}).HTTP2.CountError
	count("conn_close_lost_ping")
	if len(refused) != 0 {
		t.Errorf("refused: %v", refused)
	}
	count("headers_even")
	if len(refused) != 1 || refused[0] != shell.ReasonMalformed {
		t.Errorf("refused: %v", refused)
	}
}
