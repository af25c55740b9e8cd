package shellhttp

import (
	"strings"
	"sync/atomic"
	"testing"

	"shellagent/shell"
)

// What is typed arrives although the answer to it, or to an acknowledgement, never
// comes: long before the request is given up.
func TestAnAnswerThatNeverComesIsNotWaitedFor(t *testing.T) {
	for _, verb := range []string{"/stdin", "/control"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			b := newTestBroker(t, map[string]script{"cat": catScript})
			never := make(chan struct{})
			defer close(never)
			var first atomic.Bool
			b.after = func(call *shell.Call, r *shell.Reply) *shell.Reply {
				if strings.HasSuffix(call.Target, verb) && !first.Swap(true) {
					<-never
				}
				return r
			}
			s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{Terminal: terminal})
			s.Resize(shell.Winsize{Cols: 100, Rows: 30})
			s.Write([]byte("one "))
			eventually(t, "the request being sent twice", func() bool {
				return b.seen("POST /v1/sessions/"+s.Info().ID+verb) == 2
			})
			s.Write([]byte("two"))
			s.CloseWrite()
			if o := readAll(t, s); string(o.out) != "one two" {
				t.Errorf("%q came back", o.out)
			}
			if !first.Load() {
				t.Error("no answer stayed out")
			}
		})
	}
}
