package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// inner is a second agent, which is a target of the first one's person. Nothing
// but what goes through another host has to reach it.
func (u *sshUser) inner(name string, more object) *host {
	u.t.Helper()
	h := startHost(u.t, func(h *host, config object) {
		config["verifyKeys"] = []string{u.publicKey(u.key)}
		forwards(nil)(h, config)
	})
	entry := object{"hostname": "127.0.0.1", "port": h.port, "source": "debug"}
	for key, value := range more {
		entry[key] = value
	}
	u.addTarget(name, entry)
	return h
}

// addTarget gives the person's configuration one more target.
func (u *sshUser) addTarget(name string, entry object) {
	u.t.Helper()
	u.targets[name] = entry
	u.writeJSON(filepath.Join(u.dir, "config", "shellagent", "config.json"), object{"signingKeyPath": u.key, "targets": u.targets})
}

func TestSSHJump(t *testing.T) {
	u := newSSHUser(t, forwards(nil))
	u.targets = object{"myhost": object{"hostname": "127.0.0.1", "port": u.port, "source": "debug"}}
	u.inner("middle", nil)
	last := u.inner("last", nil)
	for _, name := range []string{"middle", "last"} {
		if got := u.call("", u.ssh, "-oStrictHostKeyChecking=accept-new", "-J", "myhost", name, "true"); got.code != 0 {
			t.Fatalf("first contact with %s: %+v", name, got)
		}
	}
	for _, args := range [][]string{
		{"-J", "myhost", "last"}, {"-J", "debug@myhost,middle", "last"}, {"-oProxyJump=myhost", "last"}, {"-J", fmt.Sprintf("ssh://debug@127.0.0.1:%d", u.port), "last"},
		{"-oProxyCommand=" + u.ssh + " -W [%h]:%p myhost", "last"}, {"-oProxyCommand=" + u.ssh + " -W %h:%p -J middle myhost", "last"},
		{"-J", "myhost", "-L", fmt.Sprintf("%d:127.0.0.1:%d", freePort(t), last.port), "last"},
	} {
		got := u.call("typed", append(append([]string{u.ssh}, args...), "echo said; cat; echo bad >&2; exit 7")...)
		if got.code != 7 || got.stdout != "said\ntyped" || !strings.Contains(got.stderr, "bad") {
			t.Errorf("%q: %+v", args, got)
		}
	}
	// What comes to the last host comes from the one before.
	line := "echo $SSH_CONNECTION"
	if through, straight := u.must(u.ssh, "-J", "myhost", "last", line), u.must(u.ssh, "last", line); !strings.HasPrefix(through, "127.0.0.1 ") || through == straight {
		t.Errorf("it comes from %q, and straight from %q", through, straight)
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"a jump host that is none": {[]string{"-J", "nosuchhost", "last", "true"}, "nosuchhost is no target"},
		"one that is not there":    {[]string{"-J", fmt.Sprintf("debug@127.0.0.1:%d", freePort(t)), "last", "true"}, "through 127.0.0.1"},
		"a target that is not":     {[]string{"-J", "myhost", fmt.Sprintf("debug@127.0.0.1:%d", freePort(t)), "true"}, "connection refused"},
		"one that is not allowed":  {[]string{"-J", "myhost", "debug@192.0.2.1", "true"}, "the source allows no connection to 192.0.2.1"},
	} {
		if got := u.call("", append([]string{u.ssh, "-oConnectTimeout=5"}, c.args...)...); got.code != 255 || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What a target's entry says of the way to it is everybody's.
func TestJumpOfATarget(t *testing.T) {
	u := newSSHUser(t, forwards(nil))
	u.targets = object{"myhost": object{"hostname": "127.0.0.1", "port": u.port, "source": "debug"}}
	far := u.inner("far", object{"jump": "myhost"})
	u.inner("farther", object{"jump": "far"})
	u.must(u.ssh, "-oStrictHostKeyChecking=accept-new", "far", "true")
	u.must(u.ssh, "-oStrictHostKeyChecking=accept-new", "farther", "true")
	through := func() int { return strings.Count(u.log.String(), "argv=[forward]") }
	for name, c := range map[string]struct {
		line []string
		want string
	}{
		"exec":        {[]string{agentBin, "exec", "--accept-new", "far", "--", "echo", "there"}, "there\n"},
		"ssh":         {[]string{u.ssh, "-4", "far", "echo there"}, "there\n"},
		"ssh -J":      {[]string{u.ssh, "-J", "far", "farther", "echo there"}, "there\n"},
		"two on":      {[]string{u.ssh, "farther", "echo there"}, "there\n"},
		"shared":      {[]string{agentBin, "exec", "--share=2s", "far", "--", "echo", "there"}, "there\n"},
		"on several":  {[]string{agentBin, "exec", "far,myhost", "--", "true"}, ""},
		"of sessions": {[]string{agentBin, "exec", "far", "--command", agentBin + " version | wc -l"}, "1\n"},
	} {
		before := through()
		if got := u.call("", c.line...); got.code != 0 || got.stdout != c.want {
			t.Errorf("%s: %+v", name, got)
		}
		u.waitFor(name+" to be seen", func() bool { return through() > before })
	}
	before := through()
	if got := u.must(u.ssh, "-oProxyJump=none", "far", "echo there"); got != "there\n" || through() != before {
		t.Errorf("straight: %q, through %d", got, through()-before)
	}
	// Nothing is left at the host between.
	u.waitFor("all to have ended", func() bool {
		return strings.Count(u.log.String(), "session opened") == strings.Count(u.log.String(), "session ended")
	})
	u.addTarget("round", object{"hostname": "127.0.0.1", "port": far.port, "source": "debug", "jump": "about"})
	u.addTarget("about", object{"hostname": "127.0.0.1", "port": far.port, "source": "debug", "jump": "round"})
	if got := u.call("", u.ssh, "round", "true"); got.code != 255 || !strings.Contains(got.stderr, "do they lead in a circle?") {
		t.Errorf("a circle: %+v", got)
	}
}

// sshServer is an SSH server that is not ours, for a client that is not ours. It
// takes one key, and answers a command with its text.
func sshServer(t *testing.T, publicKey string) (port int, hostKey string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	allowed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(publicKey))
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(allowed.Marshal()) {
			return nil, fmt.Errorf("another key")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	return accepting(t, func(conn net.Conn) { answerSSH(conn, config) }), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

func answerSSH(conn net.Conn, config *ssh.ServerConfig) {
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	defer server.Close()
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for request := range requests {
			_ = request.Reply(request.Type == "exec", nil)
			if request.Type == "exec" {
				_, _ = fmt.Fprintf(channel, "asked for %s\n", request.Payload[4:])
				_, _ = channel.SendRequest("exit-status", false, []byte{0, 0, 0, 5})
				channel.Close()
			}
		}
	}
}

// Debian's ssh reaches an ordinary SSH server through -W.
func TestOpenSSHThroughStdio(t *testing.T) {
	need(t, "ssh", "ssh-keygen")
	u := newSSHUser(t, forwards(nil))
	key := filepath.Join(u.dir, "openssh")
	u.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	port, hostKey := sshServer(t, u.publicKey(key))
	known := filepath.Join(u.dir, "openssh-known")
	if err := os.WriteFile(known, []byte(fmt.Sprintf("[127.0.0.1]:%d %s\n", port, hostKey)), 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	line := []string{theirs, "-F", "none", "-i", key, "-oBatchMode=yes", "-oUserKnownHostsFile=" + known, "-oProxyCommand=" + u.ssh + " -W %h:%p myhost"}
	for range 3 {
		got := u.call("", append(line, "-p", fmt.Sprint(port), "root@127.0.0.1", "something")...)
		if got.code != 5 || got.stdout != "asked for something\n" {
			t.Errorf("%+v", got)
		}
	}
}

// keeper is an ssh-agent with a key of the person's.
func (u *sshUser) keeper(key string) (socket string) {
	u.t.Helper()
	socket = filepath.Join(openDir(u.t), "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	u.listens(socket)
	u.env = append(u.env, "SSH_AUTH_SOCK="+socket)
	u.must("ssh-add", "-q", key)
	return socket
}

// What SSH signs is signed for the other host. A token of ours is not, and nobody
// there adds, removes or locks keys.
func TestForwardedAgent(t *testing.T) {
	need(t, "ssh-agent", "ssh-add", "ssh-keygen")
	u := newSSHUser(t, forwards(nil))
	key := filepath.Join(u.dir, "openssh")
	u.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "the person's key", "-f", key)
	u.keeper(key)
	line := `set -e; ssh-add -l; cd "$(mktemp -d)"; ssh-add -L >key.pub; echo text >file
ssh-keygen -q -Y sign -f key.pub -n file file; echo "somebody $(cat key.pub)" >allowed
ssh-keygen -Y verify -f allowed -I somebody -n file -s file.sig <file
ls -l "$SSH_AUTH_SOCK" | cut -c1-10; rm -r "$PWD"`
	got := u.call("", u.ssh, "-A", "myhost", line)
	if got.code != 0 || !strings.Contains(got.stdout, "the person's key") || !strings.Contains(got.stdout, `Good "file" signature`) || !strings.Contains(got.stdout, "srw-------") {
		t.Errorf("%+v", got)
	}
	for name, command := range map[string]string{
		"to remove keys":  "ssh-add -D",
		"to lock":         "printf 'x\\nx\\n' | SSH_ASKPASS=/bin/false setsid -w ssh-add -x </dev/null",
		"to sign a token": fmt.Sprintf("HOME=$(mktemp -d) %s token show -q --accept-new 127.0.0.1:%d", agentBin, u.port),
	} {
		if got := u.call("", u.ssh, "-A", "myhost", command); got.code == 0 || strings.Contains(got.stdout, "eyJ") {
			t.Errorf("%s: %+v", name, got)
		} else if name != "to lock" && !strings.Contains(got.stderr, "was asked by myhost for") {
			t.Errorf("%s: the person is not told: %+v", name, got)
		}
	}
	if got := u.must("ssh-add", "-l"); !strings.Contains(got, "the person's key") {
		t.Errorf("afterwards: %q", got)
	}
	// Without -A there is none, and one that is named is another.
	if got := u.must(u.ssh, "myhost", "echo ${SSH_AUTH_SOCK-none}"); got != "none\n" {
		t.Errorf("without -A: %q", got)
	}
	if got := u.call("", u.ssh, "-oForwardAgent=/nonexistent", "myhost", "ssh-add -l"); got.code == 0 || strings.Contains(got.stdout, "the person's key") {
		t.Errorf("another agent: %+v", got)
	}
	if got := u.call("", u.ssh, "-oForwardAgent=$SSH_AUTH_SOCK", "-tt", "myhost", "ssh-add -l"); got.code != 0 || !strings.Contains(got.stdout, "the person's key") {
		t.Errorf("a variable, on a terminal: %+v", got)
	}
	// On to the next host, with the key that stays here.
	port, hostKey := sshServer(t, u.publicKey(key))
	onward := fmt.Sprintf(`set -e; cd "$(mktemp -d)"; echo '[127.0.0.1]:%d %s' >known
ssh -F none -oBatchMode=yes -oUserKnownHostsFile=known -p %d root@127.0.0.1 onward || code=$?; rm -r "$PWD"; exit $code`, port, hostKey, port)
	if got := u.call("", u.ssh, "-A", "myhost", onward); got.code != 5 || got.stdout != "asked for onward\n" {
		t.Errorf("onward: %+v", got)
	}
}
