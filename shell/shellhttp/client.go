package shellhttp

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// defaultTimeout is ClientConfig.Timeout's.
const defaultTimeout = 15 * time.Second

// ClientConfig says which agent is spoken to and as whom.
type ClientConfig struct {
	// BaseURL is https, a host, and the agent's path prefix if it has one.
	BaseURL *url.URL
	// TLS decides whether the peer is trusted; nil means the system's roots.
	// Its versions and protocols are overridden, and it is not changed.
	TLS *tls.Config
	// HostKey is the agent's identity. Only [Client.Agent] does without.
	HostKey jwtauth.PublicKey
	// Succeeds, unless nil, is told what each stream announces of the agent's next
	// host key, nil for nothing, and returns that key if it believes it: streams
	// may then be signed by it as well. It is called from several goroutines.
	Succeeds func(*jwtauth.Succession) (next jwtauth.PublicKey)
	// Signer is the key that a person guards. Only [Client.Agent] does without.
	Signer jwtauth.Signer
	// Encoding is how streams are asked for.
	Encoding Encoding
	// Cover hides from the network when keys are typed, on terminals of agents
	// that offer it.
	Cover bool
	// Dial makes the connections, which TLS is spoken over; nil means TCP's. It is
	// called from several goroutines.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds a connection's making and the wait for an answer's start,
	// not the signer's time; 0 means 15 s.
	Timeout time.Duration
}

// Client speaks to one agent. It is safe for concurrent use.
type Client struct {
	compress atomic.Bool // see Compress

	cfg  ClientConfig
	base string // path prefix
	addr string // host:port

	// Streams and posts have connections of their own: input never waits
	// behind output.
	streamDialer, postDialer *dialer
	streams                  *http.Transport
	posts                    *postPool

	next   atomic.Pointer[jwtauth.PublicKey] // the host key that Succeeds believes in
	wanted chan time.Duration                // holds one: see KeepReady
	keeps  atomic.Bool                       // KeepReady was called

	times clientTimes
}

// clientTimes are the protocol's times; tests shorten them.
type clientTimes struct {
	silence   time.Duration // how long the agent may say nothing
	patience  time.Duration // how long a caller may not read before the client reads ahead
	heartbeat time.Duration // the longest that we say nothing
	post      time.Duration // for one input or control request
	leave     time.Duration // for the good-bye
	abandon   time.Duration // for that of a session whose opening was not waited for
	suspend   time.Duration // for saying that this program stops
	size      time.Duration // that input waits for a resize before it

	// Of a session that comes back by itself; see [Lasting].
	noticeable time.Duration // how long an outage lasts before a person is told
	refused    time.Duration // how long nobody may listen where the agent was
	margin     time.Duration // how much longer than its linger a session is sought
}

var protocolTimes = clientTimes{
	silence:  25 * time.Second,
	patience: 2500 * time.Millisecond,
	// The agent takes a client that is silent for 25 s for gone, and closes a
	// connection on which no request came for 10.
	heartbeat: 8 * time.Second,
	// The agent answers within 10 s even if the program does not read.
	post:    20 * time.Second,
	leave:   2 * time.Second,
	abandon: time.Second,
	// Whoever stops a program does not wait for its agent.
	suspend: time.Second,
	size:    time.Second,

	noticeable: time.Second,
	// A front that restarts and a broker that is upgraded keep the socket
	// listening. An agent that is started anew has none of our sessions.
	refused: 10 * time.Second,
	// The agent may notice 25 s later than we do that a connection is dead.
	margin: 30 * time.Second,
}

// NewClient checks the configuration; it does not connect.
func NewClient(cfg ClientConfig) (*Client, error) {
	u := cfg.BaseURL
	if u == nil || u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("the agent's URL needs https and a host")
	}
	base := strings.TrimSuffix(u.EscapedPath(), "/")
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil || base != "" && !plainPath(base) {
		return nil, fmt.Errorf("the agent's URL %s may have a plain path and nothing behind it", u.Redacted())
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	c := &Client{cfg: cfg, base: base, addr: net.JoinHostPort(u.Hostname(), port), times: protocolTimes, wanted: make(chan time.Duration, 1)}
	c.postDialer = newDialer(cfg.TLS, u.Hostname(), cfg.Dial)
	c.streamDialer = newDialer(c.postDialer.tls, u.Hostname(), cfg.Dial) // one ticket cache
	c.streams = newTransport(c.streamDialer, 4<<10)
	c.posts = newPostPool(c.postDialer, c.addr, u, base)
	return c, nil
}

// Close closes connections that no session uses. Close the sessions first.
func (c *Client) Close() {
	c.postDialer.close()
	c.posts.closeIdle()
	c.streams.CloseIdleConnections()
}

// Compress asks for streams in zstd from now on. It is never what a person did
// not ask for: the size of what is compressed tells of its content.
func (c *Client) Compress() { c.compress.Store(true) }

// known says why the client cannot sign in.
func (c *Client) known() error {
	if c.cfg.HostKey.IsZero() {
		return errors.New("the agent's host key is not known")
	}
	if c.cfg.Signer == nil {
		return errors.New("there is no key to sign in with")
	}
	return nil
}

// AgentInfo is what GET /v1/agent tells anybody. None of it is proof.
type AgentInfo struct {
	Version    int    `json:"version"`
	Protocols  []int  `json:"protocols"`
	HostKey    string `json:"hostKey"` // OpenSSH line
	Thumbprint string `json:"thumbprint"`
	TimeMs     int64  `json:"timeMs"` // Unix milliseconds
	Agent      string `json:"agent"`  // "shellagent/VERSION"
	// NextHostKey announces a rotation; its Verify says whether it is true.
	NextHostKey *jwtauth.Succession `json:"nextHostKey,omitempty"`
}

// Agent asks which agent this is. Whether to believe it is decided by TLS.
func (c *Client) Agent(ctx context.Context) (AgentInfo, error) {
	var info AgentInfo
	text, err := c.fetch(ctx, exchange{method: http.MethodGet, target: "/v1/agent"})
	if err == nil {
		err = json.Unmarshal(text, &info)
	}
	if err != nil {
		return AgentInfo{}, fmt.Errorf("ask the agent who it is: %w", err)
	}
	info.HostKey, info.Thumbprint, info.Agent = printable(info.HostKey), printable(info.Thumbprint), printable(info.Agent)
	return info, nil
}

// Sessions lists the sessions that the signer's key may see.
func (c *Client) Sessions(ctx context.Context) ([]shell.SessionSummary, error) {
	text, err := c.fetchAs(ctx, http.MethodGet, "/v1/sessions")
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	var list struct {
		Sessions []shell.SessionSummary `json:"sessions"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	return list.Sessions, nil
}

// Kill ends a session of the signer's key.
func (c *Client) Kill(ctx context.Context, id string) error {
	if !unreserved(id) || id == "" {
		return fmt.Errorf("%.60q is not a session id", id)
	}
	if _, err := c.fetchAs(ctx, http.MethodDelete, "/v1/sessions/"+id); err != nil {
		return fmt.Errorf("end the session %s: %w", id, err)
	}
	return nil
}

// Confirm says that a reload of the agent's configuration may stay: the signer's
// key can open this source under it. A refusal with the code nothing_to_confirm
// says that no reload waits for that.
func (c *Client) Confirm(ctx context.Context, source string) error {
	if !unreserved(source) || source == "" || source == "." || source == ".." {
		return fmt.Errorf("%.70q is not the name of a source", source)
	}
	if _, err := c.fetchAs(ctx, http.MethodPost, "/v1/confirm/"+source); err != nil {
		return fmt.Errorf("confirm the configuration: %w", err)
	}
	return nil
}

// fetchAs asks with an identity token. The session key that it names is never used.
func (c *Client) fetchAs(ctx context.Context, method, target string) ([]byte, error) {
	if err := c.known(); err != nil {
		return nil, err
	}
	unused, err := newSessionKey()
	if err != nil {
		return nil, err
	}
	return c.fetch(ctx, exchange{method: method, target: target, sign: c.identity(unused.key.PublicKey())})
}

// fetch asks again when a connection broke, before the answer or within it,
// unless it may not be asked twice: a POST.
func (c *Client) fetch(ctx context.Context, x exchange) ([]byte, error) {
	var reached atomic.Bool
	x.timeout, x.reached = c.cfg.Timeout, &reached
	for try := 1; ; try++ {
		text, err := c.ask(ctx, c.overStreams, x)
		broke := lost(err) && (reached.Load() || brokeOff(err)) && !errors.Is(err, errNoAnswer)
		if !broke || x.method == http.MethodPost || try >= openTries || !pause(ctx, backoff(try)) {
			return text, err
		}
	}
}
