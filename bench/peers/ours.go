package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"shellagent/bench/driver"
)

// Ours is this agent, met with one of the two clients.
type Ours struct {
	site   *Site
	name   string
	client string
	port   int
	server *server
	config string
	state  string // directory
	// sharing says that there is a connection for clients to share, with either of
	// the two.
	sharing *bool
}

// nobody is an age recipient whose identity was not kept.
const nobody = "age1p4tm3q98jfl552qedl8ggq2r86rfq4qc7u6nxhw5a40leqd7kp8s8ns5cl"

// object is JSON in the making.
type object = map[string]any

// StartOurs starts an agent with its defaults and returns it as met with the
// binary that is everything, and with the client for laptops. The name tells its
// files from those of other agents on the site.
func StartOurs(ctx context.Context, s *Site, name string) (agent, client *Ours, err error) {
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	public, err := publicKey(s.key)
	if err != nil {
		return nil, nil, err
	}
	addresses := []string{fmt.Sprintf("127.0.0.1:%d", port)}
	targets := object{"loopback": object{"hostname": "127.0.0.1", "port": port}}
	for _, a := range s.Addresses {
		addresses = append(addresses, fmt.Sprintf("%s:%d", a, port))
		targets[a.String()] = object{"hostname": a.String(), "port": port}
	}
	source := func(more object) object {
		more["shell"], more["exec"] = shell, object{"user": account}
		return more
	}
	o := &Ours{site: s, name: "ours", client: s.Agent, port: port, state: filepath.Join(s.Dir, name+"-state"), sharing: new(bool)}
	agentFile, clientFile := name+".json", name+"-client.json"
	files := object{
		agentFile: object{
			"listen": object{"address": addresses}, "stateDir": o.state, "verifyKeys": []string{public},
			"sources": object{
				"bench": source(object{}), "many": source(object{"maxSessions": 5000}),
				string(RecordedPlain):     source(object{"record": true}),
				string(RecordedEncrypted): source(object{"record": object{"recipients": []string{nobody}}}),
			},
		},
		clientFile: object{"signingKeyPath": s.key, "targets": targets},
	}
	for file, content := range files {
		text, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return nil, nil, err
		}
		if _, err := s.write(file, string(text)); err != nil {
			return nil, nil, err
		}
	}
	o.config = filepath.Join(s.Dir, clientFile)
	cmd := exec.Command(s.Agent, "listen", "-c", filepath.Join(s.Dir, agentFile))
	cmd.Env = s.environment()
	if o.server, err = s.listen(ctx, cmd, name, s.Agent, port); err != nil {
		return nil, nil, err
	}
	if err := o.meet(targets); err != nil {
		return nil, nil, err
	}
	laptop := *o
	laptop.name, laptop.client = "ours (agent-cli)", s.Client
	return o, &laptop, nil
}

// meet accepts the host key under each of the names, so that nothing is asked later.
func (o *Ours) meet(targets object) error {
	for name := range targets {
		cmd := exec.Command(o.client, "exec", "-c", o.config, "--accept-new", "--batch", "-n", "-T", "bench", name, "--command", "true")
		cmd.Env = o.site.environment()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("first contact with the agent: %w: %s%s", err, out, lastOf(o.server.log))
		}
	}
	return nil
}

// Name implements Peer.
func (o *Ours) Name() string { return o.name }

// Command implements Peer.
func (o *Ours) Command(a Ask) (driver.Command, error) {
	argv := []string{o.client, "exec", "-c", o.config}
	switch {
	case a.Command == "":
		argv[1] = "shell"
	case a.Terminal:
		argv = append(argv, "-t")
	default:
		argv = append(argv, "-T")
	}
	if a.Cover != "" {
		argv = append(argv, "--cover", a.Cover)
	}
	if a.Compress {
		argv = append(argv, "-C")
	}
	if a.Shared {
		if err := o.share(); err != nil {
			return driver.Command{}, err
		}
		argv = append(argv, "--share=1h")
	}
	if a.Through != 0 {
		argv = append(argv, "-p", strconv.Itoa(a.Through), "--accept-new", "-q")
	}
	if a.Cipher != "" {
		return driver.Command{}, fmt.Errorf("a choice of ciphers: %w", ErrNotOffered)
	}
	source, target := "bench", "loopback"
	if a.Many {
		source = "many"
	}
	if a.Recorded != Unrecorded {
		source = string(a.Recorded)
	}
	c := driver.Command{Env: o.site.environment()}
	if a.Line != nil {
		target, c.Start = a.Line.Near().String(), a.Line.Start
	}
	argv = append(argv, source, target)
	if a.Command != "" {
		argv = append(argv, "--command", a.Command)
	}
	c.Argv = argv
	if a.Cover != "" || a.Compress {
		return c, o.accepts(a)
	}
	return c, nil
}

// share makes the connection that clients share, and ends it with the site.
func (o *Ours) share() error {
	run := func(args ...string) error {
		cmd := exec.Command(o.client, args...)
		cmd.Env = o.site.environment()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("share a connection: %w: %s", err, out)
		}
		return nil
	}
	if *o.sharing {
		return nil
	}
	if err := run("exec", "-c", o.config, "--share=1h", "--batch", "-n", "bench", "loopback", "--command", "true"); err != nil {
		return err
	}
	*o.sharing = true
	o.site.later(func() { _ = run("share", "stop", "--now") })
	return nil
}

// accepts tries whether the client takes flags that not every version has.
func (o *Ours) accepts(a Ask) error {
	flags := []string{"exec", "-c", o.config, "--batch", "-n", "-T"}
	if a.Cover != "" {
		flags = append(flags, "--cover", a.Cover)
	}
	if a.Compress {
		flags = append(flags, "-C")
	}
	cmd := exec.Command(o.client, append(flags, "bench", "loopback", "--command", "true")...)
	cmd.Env = o.site.environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cover %q, compress %s: %w by this version: %s", a.Cover, strconv.FormatBool(a.Compress), ErrNotOffered, out)
	}
	return nil
}

// Port is where the server listens on 127.0.0.1.
func (o *Ours) Port() int { return o.port }

// Servers implements Peer: the broker and the front.
func (o *Ours) Servers() ([]int, error) { return o.server.processes() }

// Forget removes what was recorded, so that a disk does not fill over the rounds.
func (o *Ours) Forget() { _ = os.RemoveAll(filepath.Join(o.state, "recordings")) }
