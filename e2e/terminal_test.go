package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// screen is a real terminal: a tmux server of its own with one window.
type screen struct {
	t      *testing.T
	socket string
}

// newScreen runs a command in a terminal of 100 by 30.
func newScreen(t *testing.T, h *host, command ...string) *screen {
	t.Helper()
	need(t, "tmux")
	s := &screen{t: t, socket: filepath.Join(h.dir, fmt.Sprintf("tmux-%d", time.Now().UnixNano()))}
	cmd := exec.Command("tmux", append([]string{"-S", s.socket, "-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "--"}, command...)...)
	cmd.Env = h.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", s.socket, "kill-server").Run() })
	s.tmux("set-option", "-g", "history-limit", "2000")
	return s
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (s *screen) keys(keys ...string) {
	s.t.Helper()
	s.tmux(append([]string{"send-keys"}, keys...)...)
}

func (s *screen) line(text string) {
	s.t.Helper()
	s.tmux("send-keys", "-l", text)
	s.keys("Enter")
}

func (s *screen) text() string { return s.tmux("capture-pane", "-p") }

// see waits until the screen shows something.
func (s *screen) see(what string) {
	s.t.Helper()
	if !eventually(20*time.Second, func() bool { return strings.Contains(s.text(), what) }) {
		s.t.Fatalf("the screen never showed %q:\n%s", what, s.text())
	}
}

// seeNot waits until the screen shows it no longer.
func (s *screen) seeNot(what string) {
	s.t.Helper()
	if !eventually(20*time.Second, func() bool { return !strings.Contains(s.text(), what) }) {
		s.t.Fatalf("the screen still shows %q:\n%s", what, s.text())
	}
}

// shellScreen is a terminal with a local shell in which the client runs, so
// that what the client leaves behind can be looked at.
func shellScreen(t *testing.T, h *host) *screen {
	t.Helper()
	s := newScreen(t, h, "env", "PS1=local$ ", "sh")
	s.see("local$")
	s.line(strings.Join(append(slices.Clone(h.through), agentBin), " ") + " shell -c " + h.client + " --accept-new debug myhost")
	return s
}

// remotePrompt makes the session's prompt one that only the session shows.
func (s *screen) remotePrompt() {
	s.t.Helper()
	s.line("PS1='remo''te$ '; clear")
	s.see("remote$")
	s.seeNot("local$")
}

func TestShellOnATerminal(t *testing.T) {
	h := startHost(t, nil)
	s := shellScreen(t, h)
	s.remotePrompt()

	s.line("tty; stty size; id -un; id -gn; echo $TERM")
	s.see("/dev/pts/")
	s.see("30 100")
	if os.Geteuid() == 0 {
		s.see("operator\noperator\n")
	}

	s.resize(90, 20)

	s.line("clear; echo sleep''ing; sleep 1000")
	s.see("sleeping\n")
	s.keys("C-c")
	s.see("^C\nremote$")
	s.line("echo status=$?")
	s.see("status=130")

	s.line("clear; echo nap''ping; sleep 1001") // no word that the screen still shows
	s.see("napping\n")
	s.keys("C-z")
	s.see("Stopped")
	s.line("kill %1; wait; clear; echo go''ne")
	s.see("gone")

	s.line("clear; seq 1 1000000")
	s.see("1000000\nremote$")

	s.line("exit 7")
	s.see("local$")
	s.line("echo code=$?; stty -a | grep -o ' echo ' | head -1")
	s.see("code=7")
	s.see(" echo")
}

func TestFullScreenPrograms(t *testing.T) {
	h := startHost(t, nil)
	need(t, "vim", "top")
	s := shellScreen(t, h)
	s.remotePrompt()
	file := fmt.Sprintf("/tmp/e2e-vim-%d", os.Getpid())
	defer os.Remove(file)

	s.line("vim -u NONE -n " + file)
	s.see("~")
	s.keys("i")
	s.tmux("send-keys", "-l", "written in vim")
	s.keys("Escape")
	s.line(":wq")
	s.see("remote$")
	s.line("clear; cat " + file)
	s.see("written in vim")

	s.line("clear; top -d 1")
	s.see("PID")
	s.keys("q")
	s.see("remote$")

	s.line("clear; tmux -f /dev/null -L e2e new-session 'PS1=inner$\\  exec sh'")
	s.see("inner$")
	s.line("echo in''side")
	s.see("inside")
	s.line("exit")
	s.see("[exited]")
	s.line("exit")
	s.see("local$")
}

func TestPasteOfAMegabyte(t *testing.T) {
	h := startHost(t, nil)
	s := shellScreen(t, h)
	s.remotePrompt()
	// Lines, as the tty's line discipline takes no line over 4 KiB.
	line := strings.Repeat("0123456789abcdef", 6) + "012\n"
	paste := strings.Repeat(line, (1<<20)/len(line))
	file := filepath.Join(h.dir, "paste")
	if err := os.WriteFile(file, []byte(paste), 0o600); err != nil {
		t.Fatal(err)
	}
	s.line(fmt.Sprintf("clear; stty -echo; echo rea''dy; head -c %d | cksum; stty echo", len(paste)))
	s.see("ready\n")
	s.tmux("load-buffer", file)
	s.tmux("paste-buffer", "-r")
	want := strings.Fields(h.run0("cksum", file))
	s.see(want[0] + " " + want[1])
}

func TestEscapesAndLostAgent(t *testing.T) {
	t.Parallel() // it mostly waits
	h := startHost(t, nil)
	t.Run("~? and ~. leave", func(t *testing.T) {
		s := shellScreen(t, h)
		s.remotePrompt()
		s.line("clear; echo clea''red")
		s.see("cleared\nremote$")
		s.tmux("send-keys", "-l", "~?")
		s.see("~.")
		s.keys("Enter")
		s.tmux("send-keys", "-l", "~.")
		s.see("local$")
		s.line("echo code=$?; stty -a | grep -o ' echo ' | head -1")
		s.see("code=255")
		s.see(" echo")
	})
	t.Run("suspend and go on", func(t *testing.T) {
		s := newScreen(t, h, "env", "PS1=local$ ", "bash", "--norc")
		s.see("local$")
		s.line(agentBin + " shell -c " + h.client + " --accept-new debug myhost")
		s.remotePrompt()
		s.keys("Enter")
		s.tmux("send-keys", "-l", "~")
		s.keys("C-z")
		s.see("Stopped")
		s.line("clear; stty -a | grep -o ' icanon ' | head -1")
		s.see(" icanon")
		s.line("fg")
		s.line("echo ba''ck")
		s.see("back")
		s.line("exit")
	})
	t.Run("the agent is killed", func(t *testing.T) {
		s := shellScreen(t, h)
		s.remotePrompt()
		if err := h.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-h.done
		h.cmd = nil
		s.see("local$")
		s.line("echo code=$?; stty -a | grep -o ' echo ' | head -1")
		s.see("code=255")
		s.see(" echo")
	})
}
