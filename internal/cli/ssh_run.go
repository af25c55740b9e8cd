package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"shellagent/internal/sshargs"
	"shellagent/internal/terminal"
	"shellagent/shell"
	"shellagent/shell/shellhttp"
	"shellagent/targets"
)

// refuseMissing refuses what cannot be done, rather than do the rest without it.
func refuseMissing(call *sshargs.Command) error {
	switch named := subsystem(call); {
	case call.Tunnel != "":
		return errors.New("-w: Shell Agent has no tunnels (docs/ssh.md)")
	case named != "" && named != shell.SubsystemSFTP:
		return fmt.Errorf("-s %s: there is one subsystem, %s (docs/ssh.md)", named, shell.SubsystemSFTP)
	}
	return nil
}

// subsystem is -s's, or "".
func subsystem(call *sshargs.Command) string {
	if call.Settings.Get("sessiontype") != "subsystem" {
		return ""
	}
	return strings.Join(call.Words, " ")
}

// sshRun opens a session and shows it.
func (s *surroundings) sshRun(ctx context.Context, call *sshargs.Command, r *reach) error {
	if call.Settings.Yes("forwardx11") {
		s.ui.warn("X11 is not forwarded: Shell Agent has no such thing")
	}
	source, err := s.sshSource(call, r)
	if err != nil {
		return err
	}
	request := shell.OpenRequest{Subsystem: subsystem(call)}
	if request.Subsystem == "" {
		if request.Command, err = s.sshWords(call, r, source); err != nil {
			return err
		}
	}
	if call.Settings.Yes("forkafterauthentication") {
		if !isBackground() {
			return inBackground()
		}
		holdBackground()
	}
	forward, err := s.sshForwarding(call)
	if err != nil {
		return err
	}
	if call.Settings.Get("sessiontype") == "none" {
		return s.sshOnly(ctx, call, r, source, forward)
	}
	env, err := s.sshEnv(call)
	if err != nil {
		return err
	}
	p := &program{noInput: call.Settings.Yes("stdinnull"), env: env, cover: "on", forward: forward}
	if p.share, err = s.sshShare(call, r); err != nil {
		return err
	}
	onTerminal := s.sshTerminal(call, request)
	// Under cover nothing can be compressed, and a terminal has little to gain.
	p.compress = compressFlag{call.Settings.Yes("compression") && !onTerminal && p.share == "off", &pflag.FlagSet{}}
	local, err := s.sshLocal(call, r, source)
	if err != nil {
		return err
	}
	p.begun = func() error {
		if local != nil {
			local()
		}
		if isBackground() {
			return goToBackground()
		}
		return nil
	}
	s.escapes = sshEscapes(call)
	return s.runProgram(ctx, r, p, source, call.Host, request, onTerminal)
}

// sshSource is the user of a command line, else the target's own source.
func (s *surroundings) sshSource(call *sshargs.Command, r *reach) (string, error) {
	source := call.Settings.Get("user")
	if source != "" {
		if _, _, err := targets.SplitAddress(source, "host"); err != nil {
			return "", fmt.Errorf("the user's place is the source's: %w", err)
		}
		return source, nil
	}
	config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
	if err != nil {
		return "", Usage(err)
	}
	target, err := config.Target(call.Host, r.port)
	if err != nil {
		return "", err
	}
	if target.Source == "" && !config.Has(call.Host) {
		return "", errors.New(howToAdd(call.Host, s.configFile(call)))
	}
	return target.PickSource("")
}

// howToAdd says how a host becomes a target.
func howToAdd(host, file string) string {
	return fmt.Sprintf(`%s is no target of %s: add {"targets": {"%s": {"hostname": "ADDRESS", "source": "SOURCE"}}} there, or say SOURCE@HOST`, host, file, host)
}

func (s *surroundings) configFile(call *sshargs.Command) string {
	if file, err := sshConfig(call.ConfigFile); err == nil && file != "" {
		return file
	}
	return targets.DefaultPaths(s.getenv).User
}

// sshWords are the line that the source's shell is to run, or "".
func (s *surroundings) sshWords(call *sshargs.Command, r *reach, source string) (string, error) {
	if len(call.Words) > 0 {
		return strings.Join(call.Words, " "), nil
	}
	line := call.Settings.Get("remotecommand")
	if line == "" || line == "none" {
		return "", nil
	}
	return s.expandFor(line, call, r, source)
}

// sshTerminal says whether the program runs on a terminal.
func (s *surroundings) sshTerminal(call *sshargs.Command, request shell.OpenRequest) bool {
	if request.Subsystem != "" {
		return false
	}
	asked := call.Settings.Get("requesttty")
	switch asked {
	case "no":
		return false
	case "force":
		return true
	}
	if asked != "yes" && request.Command != "" {
		return false
	}
	if terminal.Is(s.stdin) && !call.Settings.Yes("stdinnull") {
		return true
	}
	if asked == "yes" {
		s.ui.note("Pseudo-terminal will not be allocated because stdin is not a terminal.")
	}
	return false
}

func sshEscapes(call *sshargs.Command) terminal.Escapes {
	char, ok := sshargs.EscapeByte(call.Settings.Get("escapechar"))
	if char == '~' {
		char = 0 // the usual one
	}
	return terminal.Escapes{Char: char, Off: !ok}
}

// sshEnv are the variables of SendEnv and SetEnv, as -e has them. SetEnv's are
// the stronger, and what is more than possible is left out.
func (s *surroundings) sshEnv(call *sshargs.Command) ([]string, error) {
	values := map[string]string{}
	for _, pattern := range sendPatterns(call.Settings.All("sendenv")) {
		for _, variable := range os.Environ() {
			name, value, _ := strings.Cut(variable, "=")
			if matched, _ := path.Match(pattern, name); matched && isVariable(name) {
				values[name] = value
			}
		}
	}
	set := map[string]bool{} // of those that SetEnv has twice, the first counts
	for _, variable := range call.Settings.All("setenv") {
		name, value, found := strings.Cut(variable, "=")
		if !found || !isVariable(name) {
			return nil, fmt.Errorf("SetEnv: %q is not NAME=VALUE", variable)
		}
		if !set[name] {
			set[name], values[name] = true, value
		}
	}
	var env []string
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	if len(env) > shell.MaxOpenEnv {
		s.ui.warn("SendEnv: %d variables are more than the %d that are possible; the rest is left out", len(env), shell.MaxOpenEnv)
		env = env[:shell.MaxOpenEnv]
	}
	return env, nil
}

// sendPatterns applies those that begin with "-", which take others away.
func sendPatterns(patterns []string) []string {
	var kept []string
	for _, pattern := range patterns {
		away, is := strings.CutPrefix(pattern, "-")
		if !is {
			kept = append(kept, pattern)
			continue
		}
		kept = slices.DeleteFunc(kept, func(p string) bool { matched, _ := path.Match(away, p); return matched })
	}
	return kept
}

// sshWait is -N: signed in, nothing runs, until this program is ended.
func (s *surroundings) sshWait(ctx context.Context, call *sshargs.Command, r *reach) error {
	c, err := s.address(r, call.Host)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	if err := c.settle(ctx); err != nil {
		return err
	}
	client, err := c.try(ctx, func(client *shellhttp.Client) error {
		_, err := client.Sessions(ctx)
		return err
	})
	if err != nil {
		return err
	}
	defer client.Close()
	s.ui.debug("signed in to %s", call.Host)
	stay, err := s.sshStay(ctx, call, c)
	if err != nil {
		return err
	}
	if isBackground() {
		if err := goToBackground(); err != nil {
			return err
		}
	}
	err = stay(ctx)
	if exit, ok := exitOf(ctx); ok {
		return exit
	}
	return err
}

// sshAnswer is -G.
func (s *surroundings) sshAnswer(call *sshargs.Command, r *reach) error {
	c, err := s.address(r, call.Host)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(c.target.BaseURL.Port())
	if err != nil {
		return err
	}
	to := sshargs.Destination{Hostname: c.target.BaseURL.Hostname(), Port: port, User: call.Settings.Get("user")}
	if to.User == "" {
		to.User = c.target.Source
	}
	return s.print(call.Answer(to))
}
