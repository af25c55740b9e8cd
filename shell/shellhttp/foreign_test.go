package shellhttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/r3labs/sse/v2"
	stop "gopkg.in/cenkalti/backoff.v1"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// ended opens a session, lets its program end, and returns what a foreign
// client needs to read it: the path of its stream and a token for it.
func ended(t *testing.T, c *Client, source string) (target, token string) {
	t.Helper()
	s := open(t, c, source, shell.OpenRequest{})
	x := streamExchange(s.key, 0)
	token, err := s.key.sign(context.Background(), jwtauth.Request{Method: x.method, Target: x.target}, "")
	if err != nil {
		t.Fatal(err)
	}
	return x.target, token
}

func TestR3labsClientReadsOurStream(t *testing.T) {
	out := strings.Repeat("0123456789abcdef", 10_000) // several events
	b := newTestBroker(t, map[string]script{"say": sayScript(out, "", 4)})
	s := serve(t, b)
	target, token := ended(t, s.client(t), "say")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: s.tls}
	defer transport.CloseIdleConnections()
	client := sse.NewClient("https://" + s.addr + target)
	client.Connection = &http.Client{Transport: transport}
	client.Headers["Authorization"] = "Bearer " + token
	client.ReconnectStrategy = &stop.StopBackOff{}
	var names []string
	var got bytes.Buffer
	end := uint64(0)
	err := client.SubscribeRawWithContext(ctx, func(ev *sse.Event) {
		if len(names) == 0 || names[len(names)-1] != string(ev.Event) {
			names = append(names, string(ev.Event))
		}
		id, err := strconv.ParseUint(string(ev.ID), 10, 64)
		if err != nil {
			t.Errorf("id %q", ev.ID)
		}
		switch string(ev.Event) {
		case "stdout":
			data, err := base64.StdEncoding.DecodeString(string(ev.Data))
			if err != nil {
				t.Error(err)
			}
			got.Write(data)
			if end += uint64(len(data)); end != id {
				t.Errorf("id %d after %d bytes", id, end)
			}
		case "exit":
			if id != end+1 || string(ev.Data) != `{"code":4}` {
				t.Errorf("exit %s at %d", ev.Data, id)
			}
			cancel()
		}
	})
	if err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	if strings.Join(names, " ") != "session stdout exit" || got.String() != out {
		t.Errorf("events %v, %d bytes of %d", names, got.Len(), len(out))
	}
}

func curl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is missing: make test installs it when run as root")
	}
	cmd := exec.Command(path, append([]string{"-sk", "--max-time", "20"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	// 28: --max-time. 18: what this curl says of an HTTP/2 answer that comes
	// before its body was sent.
	if code := cmd.ProcessState.ExitCode(); err != nil && code != 28 && code != 18 {
		t.Fatalf("curl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestCurl(t *testing.T) {
	b := newTestBroker(t, map[string]script{"say": sayScript("hello\n", "", 0)})
	s := serve(t, b)
	base := "https://" + s.addr
	status := []string{"-o", "/dev/null", "-w", "%{http_code} %{http_version} %{num_connects}"}
	for _, version := range []string{"--http1.1", "--http2"} {
		v := map[string]string{"--http1.1": "1.1", "--http2": "2"}[version]
		if got := curl(t, "", version, base+"/healthz"); got != "ok\n" {
			t.Errorf("healthz: %q", got)
		}
		if got := curl(t, "", version, base+"/v1/agent"); !strings.Contains(got, `"shellagent/test"`) {
			t.Errorf("agent: %q", got)
		}
		for name, c := range map[string]struct {
			want, stdin string
			args        []string
		}{
			"no token":     {"401", "", []string{base + "/v1/sessions"}},
			"double slash": {"400", "", []string{"--path-as-is", base + "/v1//sessions"}},
			"dots":         {"400", "", []string{"--path-as-is", base + "/v1/../v1/sessions"}},
			"escape":       {"400", "", []string{base + "/v1/%73essions"}},
			"origin":       {"400", "", []string{"-H", "Origin: null", base + "/v1/agent"}},
			"no length":    {map[string]string{"1.1": "400", "2": "411"}[v], "body", []string{"-X", "POST", "-H", "Authorization: Bearer a", "-T", "-", base + "/v1/shell/say"}},
			"large":        {"413", strings.Repeat("x", 2<<20), []string{"-H", "Authorization: Bearer a", "--data-binary", "@-", base + "/v1/shell/say"}},
		} {
			got := curl(t, c.stdin, append(append([]string{version}, status...), c.args...)...)
			if !strings.HasPrefix(got, c.want+" "+v) {
				t.Errorf("%s %s: %q, want %s", name, version, got, c.want)
			}
		}
		target, token := ended(t, s.client(t), "say")
		// The stream waits for the exit to be acknowledged, which curl does not do.
		got := curl(t, "", version, "-N", "--max-time", "1", "-H", "Authorization: Bearer "+token, base+target)
		if !strings.Contains(got, "event: stdout\nid: 6\ndata: aGVsbG8K\n\n") || !strings.Contains(got, "event: exit\nid: 7\ndata: {\"code\":0}\n\n") {
			t.Errorf("stream: %q", got)
		}
	}
}
