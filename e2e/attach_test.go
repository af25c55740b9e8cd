package e2e

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sessionIDs lists the sessions as the client tells them.
func (h *host) sessionIDs() (ids []string) {
	h.t.Helper()
	var list struct {
		Sessions []struct {
			ID string `json:"sid"`
		} `json:"sessions"`
	}
	got := h.runClient(nil, "sessions", "--json", "--accept-new", "myhost")
	if err := json.Unmarshal([]byte(got.stdout), &list); err != nil {
		h.t.Fatalf("%v: %q, %q", err, got.stdout, got.stderr)
	}
	for _, s := range list.Sessions {
		ids = append(ids, s.ID)
	}
	return ids
}

// attachScreen is another terminal that comes back to a session.
func attachScreen(t *testing.T, h *host, args ...string) *screen {
	t.Helper()
	s := newScreen(t, h, "env", "PS1=local$ ", "sh")
	s.see("local$")
	s.line(agentBin + " attach -c " + h.client + " myhost " + strings.Join(args, " "))
	return s
}

func TestDetachAndAttach(t *testing.T) {
	need(t, "vim")
	h := startHost(t, nil)
	first := shellScreen(t, h)
	first.remotePrompt()
	first.line("clear; echo be''fore; kept=here")
	first.see("before\nremote$")
	first.tmux("send-keys", "-l", "~d")
	first.see("come back with:\n")
	first.see("agent attach myhost ")
	first.see("local$")
	first.line("echo code=$?; stty -a | grep -o ' echo ' | head -1")
	first.see("code=0")
	first.see(" echo")

	// An editor that is left leaves nothing of itself.
	editor := attachScreen(t, h)
	editor.see("before")
	editor.line("clear; vim -u NONE -N '+set mouse=a'")
	editor.see("~\n~\n~")
	editor.keys("Enter")
	editor.tmux("send-keys", "-l", "~d")
	editor.see("come back with:\n")
	const asked = "#{alternate_on} #{mouse_any_flag} #{keypad_flag} #{keypad_cursor_flag} #{cursor_flag}"
	if got := editor.tmux("display-message", "-p", asked); got != "0 0 0 0 1\n" {
		t.Errorf("the terminal is left with %s: %s", asked, got)
	}
	editor = attachScreen(t, h)
	editor.see("~\n~\n~")
	editor.tmux("send-keys", "-l", ":q!")
	editor.keys("Enter")
	editor.see("remote$")
	editor.tmux("send-keys", "-l", "clear; echo be''fore")
	editor.keys("Enter")
	editor.see("before\nremote$")
	editor.tmux("send-keys", "-l", "~d")
	editor.see("come back with:\n")

	// Without a name it is the one that waits; what was shown is shown again.
	second := attachScreen(t, h)
	second.see("before")
	second.line("echo $kept and af''ter")
	second.see("here and after")

	// A program that fills the screen draws it anew, in the new terminal's size.
	second.line("vim -u NONE -N")
	second.see("~\n~\n~")
	second.keys("i")
	second.tmux("send-keys", "-l", "written in the second terminal")
	second.see("INSERT")
	third := newScreen(t, h, "env", "PS1=local$ ", "sh")
	third.see("local$")
	third.tmux("resize-window", "-x", "70", "-y", "15")
	third.line(agentBin + " attach -c " + h.client + " myhost " + h.sessionIDs()[0][:8])
	third.see("written in the second terminal\n~\n")
	third.see("INSERT")

	// The client before is told, and does not come back by itself.
	second.see("another client has taken this session over")
	second.see("local$")
	second.line("echo code=$?")
	second.see("code=255")

	third.keys("Escape")
	third.tmux("send-keys", "-l", ":q!")
	third.keys("Enter")
	third.see("remote$")
	third.line("clear; stty size; exit 9")
	third.see("15 70")
	third.see("local$")
	third.line("echo code=$?")
	third.see("code=9")
	if left := h.sessionIDs(); len(left) != 0 {
		t.Errorf("sessions left: %q", left)
	}
	if got := h.runClient(nil, "attach", "myhost"); got.code != 1 || !strings.Contains(got.stderr, "no session of yours") {
		t.Errorf("attach to nothing: code %d, %q", got.code, got.stderr)
	}
}

func TestAnOutageIsShownAndGoesAway(t *testing.T) {
	h := startHost(t, nil)
	p := newCutting(t, h.port, faults{})
	h.targetPort(p.port())
	s := shellScreen(t, h)
	s.remotePrompt()
	s.line("clear; echo clea''red")
	s.see("cleared\nremote$")
	before := s.text()
	p.out.Store(true)
	p.cutAll()
	s.see("the connection to myhost is lost, trying again (~. leaves)")
	s.tmux("send-keys", "-l", "echo typed mean''while")
	p.out.Store(false)
	s.seeNot("is lost")
	s.keys("Enter")
	s.see("typed meanwhile\nremote$")
	if text := s.text(); !strings.HasPrefix(text, strings.TrimRight(before, "\n")) {
		t.Errorf("the outage left something on the screen:\n%s\nbefore:\n%s", text, before)
	}
	// Leaving does not wait for a connection.
	p.out.Store(true)
	p.cutAll()
	s.see("is lost")
	began := time.Now()
	s.keys("Enter")
	s.tmux("send-keys", "-l", "~.")
	s.see("local$")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("leaving took %v", took)
	}
}

// A client that is suspended says so; its session waits for it, detached, and
// goes on where it was.
func TestASuspendedClientComesBack(t *testing.T) {
	h := startHost(t, nil)
	s := newScreen(t, h, "env", "PS1=local$ ", "bash", "--norc")
	s.see("local$")
	s.line(agentBin + " shell -c " + h.client + " --accept-new debug myhost")
	s.remotePrompt()
	s.line("clear; (while sleep 0.3; do echo tick; done | head -5; echo do''ne) &")
	s.see("[1] ") // or what the client says stands where the line ends, and is broken
	s.keys("Enter")
	s.tmux("send-keys", "-l", "~")
	s.keys("C-z")
	s.see("suspended; the session is kept for 60 s")
	s.see("Stopped")
	if got := h.runClient(nil, "sessions", "myhost"); !strings.Contains(got.stdout, "detached") {
		t.Errorf("the list shows %q", got.stdout)
	}
	old := h.frontPID()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.waitFor("another front", func() bool { pid := h.frontPID(); return pid != 0 && pid != old && h.healthy() })
	if soaking() { // longer than a silent client is taken for attached
		<-time.After(35 * time.Second)
	}
	s.line("clear; fg")
	s.see("tick\ndone")
	s.line("clear; echo ba''ck")
	s.see("back\nremote$")
	s.line("exit 6")
	s.see("local$")
	s.line("echo code=$?")
	s.see("code=6")
}

func TestWatch(t *testing.T) {
	need(t, "vim")
	h := startHost(t, nil)
	p := newCutting(t, h.port, faults{})
	h.targetPort(p.port())
	user := shellScreen(t, h)
	user.remotePrompt()
	user.line("clear; echo shown be''fore")
	user.see("shown before")

	watcher := newScreen(t, h, "env", "PS1=local$ ", "sh")
	watcher.see("local$")
	watcher.line(agentBin + " watch -c " + h.client + " myhost")
	watcher.see("shown before")
	user.see("this session is watched from 127.0.0.1")

	user.line("clear; echo shown la''ter")
	watcher.see("shown later")
	// Both come back by themselves.
	p.out.Store(true)
	p.cutAll()
	watcher.see("is lost, trying again (q leaves)")
	p.out.Store(false)
	watcher.seeNot("is lost")
	user.line("clear; echo shown after the c''ut")
	watcher.see("shown after the cut")
	// The session's own client is back, too: what it is told from now on is not
	// followed by what it has missed, which clears the screen.
	user.see("shown after the cut")
	// Whoever watches types nothing, and leaves without a trace in the session.
	watcher.tmux("send-keys", "-l", "echo typed by nobo''dy")
	watcher.keys("Enter")
	// A vim that asks the terminal nothing leaves no answer to the shell.
	user.line("clear; vim -u NONE -N --cmd 'set t_RV= t_u7= t_RF= t_RB='")
	watcher.see("~\n~\n~")
	watcher.keys("q")
	watcher.see("local$")
	watcher.line("echo code=$?; stty -a | grep -o ' echo ' | head -1")
	watcher.see("code=0")
	watcher.see(" echo")
	user.tmux("send-keys", "-l", ":q!")
	user.keys("Enter")
	user.see("remote$")
	if text := user.text(); strings.Contains(text, "typed by nobody") {
		t.Errorf("a watcher typed:\n%s", text)
	}
	// At a prompt nothing draws over what the user is told, as vim does when the
	// client that came back has it draw anew.
	watcher.line("clear; " + agentBin + " watch -c " + h.client + " myhost")
	user.see("this session is watched from 127.0.0.1")
	watcher.keys("q")
	watcher.see("local$")
	user.see("nobody watches this session any more")
	user.line("clear; exit 3")
	user.see("local$")
}
