package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shellagent/shell"
	"shellagent/shell/shellhttp"
	"shellagent/targets"
)

// defaultConnectTimeout bounds the making of a connection and the wait for the
// start of an answer.
const defaultConnectTimeout = 15 * time.Second

// reach are the flags of every command that reaches an agent.
type reach struct {
	config         string
	identity       string
	port           int
	acceptNew      bool
	fingerprint    string
	ca             string
	batch          bool
	compress       bool
	connectTimeout time.Duration
	events         bool
	quiet, verbose bool

	cover bool // of a terminal; a flag of some commands

	ssh sshReach // what only ssh's command line can say
}

func (r *reach) register(c *cobra.Command) {
	r.registerWithoutPort(c)
	c.Flags().IntVarP(&r.port, "port", "p", 0, portUsage)
}

const portUsage = "`PORT` of the agent (default: the target's, else 4000)"

// registerWithoutPort leaves out the one flag that another letter stands for in
// programs which people know.
func (r *reach) registerWithoutPort(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&r.config, "config", "c", "", "client configuration `FILE`, instead of the user's and the system's")
	f.StringVarP(&r.identity, "identity", "i", "", "private key `FILE` to sign with, or a public one whose private half ssh-agent has")
	f.BoolVar(&r.acceptNew, "accept-new", false, "accept the host key of an agent that is met for the first time")
	f.StringVar(&r.fingerprint, "fingerprint", "", "accept the agent with this host key `FINGERPRINT` and no other")
	f.StringVar(&r.ca, "ca", "", "PEM `FILE` of the certificate authorities to trust, instead of the system's")
	f.BoolVar(&r.batch, "batch", false, "never ask anything: fail instead")
	f.DurationVar(&r.connectTimeout, "connect-timeout", defaultConnectTimeout, "how `LONG` to wait for a connection or an answer")
	f.BoolVar(&r.events, "sse", false, "receive output as Server-Sent Events instead of in binary frames")
	f.BoolVarP(&r.quiet, "quiet", "q", false, "no notes, errors only")
	f.BoolVarP(&r.verbose, "verbose", "v", false, "tell what is being done")
}

// encoding is how output comes.
func (r *reach) encoding() shellhttp.Encoding {
	if r.events {
		return shellhttp.SSE
	}
	return shellhttp.Frames
}

// check refuses what cannot be meant, and tells the ui how much to say.
func (r *reach) check(u *ui) error {
	if r.port < 0 || r.port > 65535 {
		return misuse("port %d is not between 1 and 65535", r.port)
	}
	if r.connectTimeout <= 0 {
		return misuse("--connect-timeout must be more than 0, such as 15s")
	}
	if r.fingerprint != "" {
		if err := targets.CheckFingerprint(r.fingerprint); err != nil {
			return misuse("--fingerprint: %v", err)
		}
	}
	u.quiet, u.verbose = r.quiet, r.verbose
	return nil
}

// program are the flags of the commands that run one.
type program struct {
	compress                  compressFlag
	forceTerminal, noTerminal bool
	noInput                   bool
	env                       []string
	cover                     coverFlag
	// begun, unless nil, is called once the session was opened.
	begun func() error
	share shareFlag
	// forward is carried beside the program; nil is nothing.
	forward *forwarding
	// timeout bounds the whole, from the connection on; 0 is no limit.
	timeout time.Duration
}

// limited returns a context that ends with the time limit, a *timeLimit.
func (p *program) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, p.timeout, &timeLimit{p.timeout})
}

func (p *program) register(c *cobra.Command) {
	f := c.Flags()
	p.compress.register(c)
	f.BoolVarP(&p.forceTerminal, "terminal", "t", false, "run on a terminal, even when standard input is none")
	f.BoolVarP(&p.noTerminal, "no-terminal", "T", false, "run on pipes, even when standard input is a terminal")
	f.BoolVarP(&p.noInput, "no-input", "n", false, "give no input: the program reads an end at once")
	f.StringArrayVarP(&p.env, "env", "e", nil, "offer the environment variable `NAME[=VALUE]`; the source decides what it takes")
	p.cover.register(c)
	p.share.register(c)
}

func (p *program) beginning() error {
	if p.begun == nil {
		return nil
	}
	return p.begun()
}

func (p *program) check() error {
	if p.timeout < 0 {
		return misuse("--timeout must be more than 0, such as 30s")
	}
	if p.forceTerminal && p.noTerminal {
		return misuse("-t and -T exclude each other")
	}
	if err := p.cover.check(); err != nil {
		return err
	}
	return p.compress.settle(p)
}

// offered are the variables of -e. A NAME alone that is not set is left out.
func (p *program) offered(getenv func(string) string) (map[string]string, error) {
	if len(p.env) == 0 {
		return nil, nil
	}
	env := make(map[string]string, len(p.env))
	for _, text := range p.env {
		name, value, given := strings.Cut(text, "=")
		if !isVariable(name) {
			return nil, misuse("-e %q: %q is not the name of a variable", text, name)
		}
		if !given {
			value = getenv(name)
		}
		if strings.ContainsRune(value, 0) {
			return nil, misuse("-e %s: a value cannot contain a zero byte", name)
		}
		if given || value != "" {
			env[name] = value
		}
	}
	if len(env) > shell.MaxOpenEnv {
		return nil, misuse("-e: %d variables, at most %d are possible", len(env), shell.MaxOpenEnv)
	}
	return env, nil
}

func isVariable(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	return name != "" && strings.Trim(name, letters+"0123456789") == "" && strings.Contains(letters, name[:1])
}

// addressArgs checks that the words before "--" are [SOURCE] TARGET.
func addressArgs(words []string) (source, target string, err error) {
	if len(words) == 0 {
		return "", "", misuse("which target? name one: SOURCE TARGET, SOURCE@TARGET, or TARGET")
	}
	if len(words) > 2 {
		return "", "", misuse("%q is too much: one SOURCE and one TARGET are possible", words[2])
	}
	source, target, err = targets.SplitAddress(words...)
	if err != nil {
		return "", "", &usageError{err.Error()}
	}
	return source, target, nil
}

// cleanTerm is TERM as the agent takes it.
func cleanTerm(term string) string {
	if term == "" || len(term) > shell.MaxTermName || clean(term) != term {
		return "dumb"
	}
	return term
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}
