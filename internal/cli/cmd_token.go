package cli

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/sshargs"
	"shellagent/jwtauth"
	"shellagent/shell"
)

func tokenCommand(s *surroundings) *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Make and read the tokens that requests carry",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(tokenShowCommand(s))
	return c
}

// request is what a token is made for.
type request struct {
	method, path, body string
	nonce              string
}

func tokenShowCommand(s *surroundings) *cobra.Command {
	r, q := &reach{}, &request{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "show {TARGET | TOKEN | -}",
		Short: "Sign and print an identity token, or read one",
		Long: `Sign an identity token for one request to a target and print it with its header,
its claims and the curl line that sends it; -q prints the token alone. A token
works once, within five seconds, for exactly this method, path and body.

Given a token, or - for one on standard input, print what is in it. Its signature
is not checked.`,
		Example: `  agent token show myhost
  curl … -H "Authorization: Bearer $(agent token show -q myhost)" https://myhost:4000/v1/sessions
  agent token show - < token`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTarget(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" || looksLikeToken(args[0]) {
				return s.readToken(args[0], asJSON)
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return s.showToken(ctx, r, q, args[0], asJSON)
		},
	}
	r.register(c)
	jsonFlag(c, &asJSON)
	f := c.Flags()
	f.StringVar(&q.method, "method", "GET", "`METHOD` of the request")
	f.StringVar(&q.path, "path", "/v1/sessions", "`PATH` of the request, below the agent's prefix")
	f.StringVar(&q.body, "body", "", "`FILE` that holds the request's body")
	f.StringVar(&q.nonce, "nonce", "", "`NONCE` that the agent answered with")
	return c
}

// shownToken is the JSON of a token.
type shownToken struct {
	Version int             `json:"version"`
	Header  json.RawMessage `json:"header"`
	Claims  json.RawMessage `json:"claims"`
	Token   string          `json:"token"`
	Curl    string          `json:"curl,omitempty"`
}

func (s *surroundings) showToken(ctx context.Context, r *reach, q *request, address string, asJSON bool) error {
	if !strings.HasPrefix(q.path, "/") || clean(q.path) != q.path || strings.ContainsAny(q.path, " \"'\\") {
		return misuse("--path %q is not a path such as /v1/sessions", q.path)
	}
	if q.method == "" || strings.Trim(q.method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return misuse("--method %q is not a method such as POST", q.method)
	}
	_, name, err := addressArgs([]string{address})
	if err != nil {
		return err
	}
	c, err := s.address(r, name)
	if err != nil {
		return err
	}
	body, err := readBody(q.body)
	if err != nil {
		return Usage(err)
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	token, err := c.signFor(ctx, q, body)
	if exit, ok := exitOf(ctx); ok {
		return exit
	}
	if err != nil {
		return err
	}
	if r.quiet && !asJSON {
		return s.print(token + "\n")
	}
	trust, err := c.curlTrust(ctx)
	if exit, ok := exitOf(ctx); ok {
		return exit
	}
	if err != nil {
		return failWith(codeTransport, err)
	}
	return s.printToken(token, c.curl(q, trust), asJSON)
}

// signFor makes the token of a request. The session key it names is thrown
// away: a session that it opens can be read, and takes no input.
func (c *contact) signFor(ctx context.Context, q *request, body []byte) (string, error) {
	session, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		return "", err
	}
	return jwtauth.Sign(ctx, signer{c.keys[0]}, jwtauth.TypeIdentity, jwtauth.Claims{
		IssuedAt:    jwtauth.NumericDateOf(time.Now()),
		ID:          jwtauth.NewID(),
		RequestHash: jwtauth.RequestHash(q.method, q.path, body),
		Audience:    c.peer.HostKey.Thumbprint(),
		Session:     session.PublicKey(),
		Nonce:       q.nonce,
	})
}

func readBody(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, shell.MaxCallBody+1))
	if err == nil && len(body) > shell.MaxCallBody {
		err = fmt.Errorf("%s is larger than a request's body may be (%d bytes)", path, shell.MaxCallBody)
	}
	return body, err
}

// curlTrust are the options with which curl accepts the agent with the settled
// host key and no other: its certificate authority, or the key of its present
// certificate, which the host key signed and which lives for a day at most.
func (c *contact) curlTrust(ctx context.Context) ([]string, error) {
	state, err := c.peer.Handshake(ctx)
	if err != nil {
		return nil, err
	}
	if !c.peer.ByAuthority() {
		sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
		return []string{"--insecure", "--pinnedpubkey", "sha256//" + base64.StdEncoding.EncodeToString(sum[:])}, nil
	}
	if c.target.CAPath != "" {
		return []string{"--cacert", sshargs.ShellWord(c.target.CAPath)}, nil
	}
	return nil, nil
}

// curl is a line that makes a fresh token each time it runs, since one lives
// for seconds.
func (c *contact) curl(q *request, trust []string) string {
	words := append([]string{"curl"}, trust...)
	if q.method != "GET" {
		words = append(words, "-X", q.method)
	}
	show := []string{c.ui.name, "token show -q"}
	for _, flag := range [][2]string{
		{"-c", c.reach.config}, {"-i", c.reach.identity}, {"--ca", c.reach.ca}, {"--fingerprint", c.reach.fingerprint},
		{"--body", q.body}, {"--nonce", q.nonce},
	} {
		if flag[1] != "" {
			show = append(show, flag[0], sshargs.ShellWord(flag[1]))
		}
	}
	if c.reach.port != 0 {
		show = append(show, "-p", fmt.Sprint(c.reach.port))
	}
	if q.method != "GET" {
		show = append(show, "--method", q.method)
	}
	if q.path != "/v1/sessions" {
		show = append(show, "--path", sshargs.ShellWord(q.path))
	}
	words = append(words, "-H", `"Authorization: Bearer $(`+strings.Join(append(show, sshargs.ShellWord(c.target.Name)), " ")+`)"`)
	if q.body != "" {
		words = append(words, "--data-binary", sshargs.ShellWord("@"+q.body))
	}
	return strings.Join(append(words, sshargs.ShellWord(c.target.BaseURL.String()+q.path)), " ")
}

func looksLikeToken(s string) bool { return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 }

func (s *surroundings) readToken(arg string, asJSON bool) error {
	if arg == "-" {
		text, err := io.ReadAll(io.LimitReader(s.stdin, shell.MaxToken+2))
		if err != nil {
			return err
		}
		arg = strings.TrimSpace(string(text))
	}
	if _, err := jwtauth.Parse(arg); err != nil {
		return fmt.Errorf("not a token: %w", err)
	}
	return s.printToken(arg, "", asJSON)
}

// printToken prints a token that has the right form.
func (s *surroundings) printToken(token, curl string, asJSON bool) error {
	parts := strings.Split(token, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return err
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	if !json.Valid(header) || !json.Valid(claims) {
		return fmt.Errorf("not a token: its header or claims are not JSON")
	}
	if asJSON {
		return s.printJSON(shownToken{1, header, claims, token, curl})
	}
	var b strings.Builder
	for _, line := range [][2]string{{"header", string(header)}, {"claims", string(claims)}, {"token", token}, {"curl", curl}} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%-7s %s\n", line[0], clean(line[1]))
		}
	}
	return s.print(b.String())
}
