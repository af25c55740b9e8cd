package shellhttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
)

func TestVerdict(t *testing.T) {
	agent := func(status int, code string) error {
		return fmt.Errorf("post: %w", &Problem{Status: status, Code: code})
	}
	proxy := func(status int) error {
		h := http.Header{"Content-Type": {"text/html"}}
		return fmt.Errorf("post: %w", parseProblem(status, h, []byte("<h1>Sorry</h1>")))
	}
	for name, c := range map[string]struct {
		err  error
		want outcome
	}{
		"nothing":                     {nil, accepted},
		"a broken connection":         {io.ErrUnexpectedEOF, again},
		"a busy agent":                {agent(429, "busy"), again},
		"a stopping agent":            {agent(503, "unavailable"), again},
		"a front without its broker":  {agent(502, "unavailable"), again},
		"the session is gone":         {agent(404, "session_not_found"), sessionOver},
		"taken over":                  {agent(409, "taken_over"), sessionFailed},
		"an agent that fails":         {agent(500, "internal"), sessionFailed},
		"a path the agent has not":    {agent(404, "not_found"), sessionFailed},
		"a proxy without its agent":   {proxy(502), again},
		"a proxy that waits for it":   {proxy(504), again},
		"a proxy that fails":          {proxy(500), again},
		"a proxy set up anew":         {proxy(404), again},
		"a proxy closes an idle one":  {proxy(408), again},
		"a proxy has too much to do":  {proxy(429), again},
		"a proxy takes no such body":  {proxy(413), refusedOnce},
		"a proxy wants a login":       {proxy(401), sessionFailed},
		"a proxy forbids it":          {proxy(403), sessionFailed},
		"an error that hides nothing": {errors.New("no"), again},
	} {
		if got := verdict(c.err); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
