package sshagent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"shellagent/jwtauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func text(parts ...string) (b []byte) {
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

const key = "the public key's blob"

var session = strings.Repeat("s", 32)

func authentication(session string, kind byte, user, service, method string, signed byte, behind ...string) []byte {
	return join(text(session), []byte{kind}, text(user, service, method), []byte{signed}, text(behind...))
}

func sign(data []byte, flags byte) []byte {
	return join([]byte{signRequest}, text(key, string(data)), []byte{0, 0, 0, flags})
}

func TestJudge(t *testing.T) {
	good := authentication(session, 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", key)
	bound := authentication(session, 50, "root", "ssh-connection", "publickey-hostbound-v00@openssh.com", 1, "ssh-ed25519", key, "the host's")
	file := join([]byte("SSHSIG"), text("file", "", "sha512", strings.Repeat("h", 64)))
	for name, test := range map[string]struct {
		request []byte
		wanted  byte
	}{
		"the keys":                        {[]byte{11}, 12},
		"the keys, and more":              {[]byte{11, 0}, 0},
		"authentication":                  {sign(good, 0), 14},
		"authentication, RSA":             {sign(good, 4), 14},
		"authentication, bound to a host": {sign(bound, 0), 14},
		"a file":                          {sign(file, 0), 14},
		"a file, SHA-256":                 {sign(join([]byte("SSHSIG"), text("git", "", "sha256", strings.Repeat("h", 32))), 2), 14},
		"flags that nobody has":           {sign(good, 8), 0},
		"no flags":                        {join([]byte{13}, text(key, string(good))), 0},
		"something behind":                {append(sign(good, 0), 0), 0},
		"something behind what is signed": {sign(append(bytes.Clone(good), 0), 0), 0},
		"something behind a file":         {sign(append(bytes.Clone(file), 0), 0), 0},
		"another's key":                   {sign(authentication(session, 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", "other"), 0), 0},
		"a question, not a signature":     {sign(authentication(session, 50, "root", "ssh-connection", "publickey", 0, "ssh-ed25519", key), 0), 0},
		"a password":                      {sign(authentication(session, 50, "root", "ssh-connection", "password", 1, "ssh-ed25519", key), 0), 0},
		"another service":                 {sign(authentication(session, 50, "root", "ssh-userauth", "publickey", 1, "ssh-ed25519", key), 0), 0},
		"another message":                 {sign(authentication(session, 51, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", key), 0), 0},
		"nobody":                          {sign(authentication(session, 50, "", "ssh-connection", "publickey", 1, "ssh-ed25519", key), 0), 0},
		"no session":                      {sign(authentication("", 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", key), 0), 0},
		"a long session":                  {sign(authentication(strings.Repeat("s", 65), 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", key), 0), 0},
		"bound to nothing":                {sign(authentication(session, 50, "root", "ssh-connection", "publickey-hostbound-v00@openssh.com", 1, "ssh-ed25519", key), 0), 0},
		"a file for nothing":              {sign(join([]byte("SSHSIG"), text("", "", "sha512", strings.Repeat("h", 64))), 0), 0},
		"a file by a hash of its own":     {sign(join([]byte("SSHSIG"), text("file", "", "md5", strings.Repeat("h", 16))), 0), 0},
		"a file by no hash":               {sign(join([]byte("SSHSIG"), text("file", "", "", "")), 0), 0},
		"a file's hash cut short":         {sign(join([]byte("SSHSIG"), text("file", "", "sha512", strings.Repeat("h", 63))), 0), 0},
		"anything":                        {sign([]byte("anything"), 0), 0},
		"nothing":                         {sign(nil, 0), 0},
		"an empty signature":              {[]byte{13}, 0},
		"SSH 1's keys":                    {[]byte{1}, 0},
		"add":                             {join([]byte{17}, text("ssh-ed25519")), 0},
		"add, constrained":                {join([]byte{25}, text("ssh-ed25519")), 0},
		"add a card":                      {[]byte{20}, 0},
		"remove":                          {join([]byte{18}, text(key)), 0},
		"remove all":                      {[]byte{19}, 0},
		"lock":                            {join([]byte{22}, text("secret")), 0},
		"unlock":                          {join([]byte{23}, text("secret")), 0},
		"an extension":                    {join([]byte{27}, text("query")), 0},
		"a type that there is not":        {[]byte{200}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			wanted, why := judge(test.request)
			if wanted != test.wanted || (why == "") != (wanted != 0) {
				t.Errorf("it is %d (%s), want %d", wanted, why, test.wanted)
			}
		})
	}
}

// connected is a client of a filter, before an agent with one key.
func connected(t *testing.T, refused func(string)) (agent.ExtendedAgent, ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: private, Comment: "mine"}); err != nil {
		t.Fatal(err)
	}
	local, real := net.Pipe()
	ours, theirs := net.Pipe()
	served, filtered := make(chan struct{}), make(chan error, 1)
	go func() { defer close(served); _ = agent.ServeAgent(keys, real) }()
	go func() { filtered <- Filter(ours, local, refused) }()
	t.Cleanup(func() {
		theirs.Close()
		if err := <-filtered; err != nil {
			t.Errorf("the filter ended with %v", err)
		}
		local.Close()
		<-served
	})
	return agent.NewClient(theirs), private
}

// A client that is not ours signs in to a server that is not ours, and gets
// nothing else.
func TestThroughFilter(t *testing.T) {
	var refused []string
	client, private := connected(t, func(what string) { refused = append(refused, what) })
	signers, err := client.Signers()
	if err != nil || len(signers) != 1 {
		t.Fatalf("it has %d keys, %v", len(signers), err)
	}
	signIn(t, signers[0])
	if token, err := jwtauth.Sign(t.Context(), elsewhere{client, signers[0]}, jwtauth.TypeIdentity, claims(t)); err == nil {
		t.Errorf("it signs a token of Shell Agent's: %s", token)
	}
	for name, do := range map[string]func() error{
		"sign": func() error {
			_, err := client.Sign(signers[0].PublicKey(), []byte("eyJhbGciOiJFZERTQSJ9.e30"))
			return err
		},
		"add":    func() error { return client.Add(agent.AddedKey{PrivateKey: private}) },
		"remove": client.RemoveAll,
		"lock":   func() error { return client.Lock([]byte("secret")) },
		"extend": func() error { _, err := client.Extension("query", nil); return err },
	} {
		if err := do(); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	if len(refused) < 5 {
		t.Errorf("told of %q alone", refused)
	}
	if keys, err := client.List(); err != nil || len(keys) != 1 {
		t.Errorf("afterwards it has %d keys, %v", len(keys), err)
	}
}

// elsewhere signs tokens as whoever has a forwarded agent would.
type elsewhere struct {
	agent.Agent
	key ssh.Signer
}

func (e elsewhere) PublicKey() jwtauth.PublicKey {
	key, _, err := jwtauth.ParsePublicKey(string(ssh.MarshalAuthorizedKey(e.key.PublicKey())))
	if err != nil {
		panic(err)
	}
	return key
}

func (e elsewhere) Sign(_ context.Context, input []byte) ([]byte, error) {
	signature, err := e.Agent.Sign(e.key.PublicKey(), input)
	if err != nil {
		return nil, err
	}
	return signature.Blob, nil
}

// claims are good ones: without the filter they are signed.
func claims(t *testing.T) jwtauth.Claims {
	t.Helper()
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	c := jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(time.Now()), ID: jwtauth.NewID(), Session: key.PublicKey(),
		RequestHash: jwtauth.RequestHash("POST", "/v1/shell/debug", nil), Audience: key.PublicKey().Thumbprint(),
	}
	if _, err := jwtauth.Sign(t.Context(), key, jwtauth.TypeIdentity, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// signIn has an SSH client and an SSH server meet.
func signIn(t *testing.T, signer ssh.Signer) {
	t.Helper()
	_, host, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hostSigner, err := ssh.NewSignerFromKey(host)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(k.Marshal(), signer.PublicKey().Marshal()) {
			return nil, io.EOF
		}
		return nil, nil
	}}
	config.AddHostKey(hostSigner)
	ours, theirs := socketPair(t)
	done := make(chan error, 1)
	go func() {
		conn, _, _, err := ssh.NewServerConn(theirs, config)
		if err == nil {
			conn.Close()
		}
		done <- err
	}()
	conn, _, _, err := ssh.NewClientConn(ours, "", &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(hostSigner.PublicKey()),
	})
	if err != nil {
		t.Errorf("signing in: %v", err)
	} else {
		conn.Close()
	}
	if err := <-done; err != nil {
		t.Errorf("the server: %v", err)
	}
}

func socketPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// fixed is a side that has said everything it will say.
type fixed struct {
	io.Reader
	io.Writer
}

func framed(messages ...[]byte) []byte {
	var all []byte
	for _, m := range messages {
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(m))), m...)
	}
	return all
}

func TestMalformed(t *testing.T) {
	for name, said := range map[string][]byte{
		"an empty message": {0, 0, 0, 0},
		"too long":         {0, 4, 0, 1, 11},
		"cut in its head":  {0, 0},
		"cut in its body":  {0, 0, 0, 2, 11},
	} {
		if err := Filter(fixed{bytes.NewReader(said), io.Discard}, nil, nil); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func TestAgentThatMisbehaves(t *testing.T) {
	list := framed([]byte{11})
	for name, answer := range map[string][]byte{"it is gone": nil, "an empty message": {0, 0, 0, 0}, "too long": {1, 0, 0, 0}} {
		if err := Filter(fixed{bytes.NewReader(list), io.Discard}, fixed{bytes.NewReader(answer), io.Discard}, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var told bytes.Buffer
	if err := Filter(fixed{bytes.NewReader(list), &told}, fixed{bytes.NewReader(framed([]byte{14, 1})), io.Discard}, nil); err != nil || told.String() != "\x00\x00\x00\x01\x05" {
		t.Errorf("an answer of another kind becomes %q, %v", told.String(), err)
	}
}

// FuzzFilter: what reaches the agent is what may.
func FuzzFilter(f *testing.F) {
	good := authentication(session, 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", key)
	f.Add(framed([]byte{11}, sign(good, 0), []byte{19}))
	f.Add(framed(sign(join([]byte("SSHSIG"), text("file", "", "sha512", strings.Repeat("h", 64))), 0)))
	f.Add(framed(sign([]byte("eyJhbGciOiJFZERTQSJ9.e30"), 0)))
	f.Fuzz(func(t *testing.T, said []byte) {
		var passed, told bytes.Buffer
		agent := fixed{bytes.NewReader(bytes.Repeat(framed([]byte{12, 0, 0, 0, 0}), 64)), &passed}
		_ = Filter(fixed{bytes.NewReader(said), &told}, agent, nil)
		for passed.Len() > 0 {
			message, err := receive(&passed, nil)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case len(message) == 1 && message[0] == requestIdentities:
			case message[0] == signRequest && (bytes.Contains(message, []byte("SSHSIG")) || bytes.Contains(message, []byte("ssh-connection"))):
			default:
				t.Fatalf("%q reaches the agent", message)
			}
		}
	})
}
