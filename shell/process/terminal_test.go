package process

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	xterm "golang.org/x/term"

	"shellagent/shell"
)

func TestTerminal(t *testing.T) {
	h := newHost(t, HostConfig{})
	who := self(t)
	if os.Geteuid() == 0 {
		who = other(t)
	}

	t.Run("size and name are there from the start", func(t *testing.T) {
		term := &shell.Terminal{Winsize: shell.Winsize{Cols: 123, Rows: 45, XPixel: 1230, YPixel: 900}}
		s := begin(t, h, script(who, `tty; echo "$SSH_TTY"; stty size; cat`), term)
		s.out.await(t, s.TTY()+"\r\n"+s.TTY()+"\r\n45 123\r\n")
		s.give("\x04")
		if exit := s.finish(); exit.Code != 0 {
			t.Error(exit)
		}
	})
	t.Run("pixels", func(t *testing.T) {
		s := begin(t, h, command(who, "cat"), &shell.Terminal{Winsize: shell.Winsize{Cols: 9, Rows: 8, XPixel: 7, YPixel: 6}})
		var ws *unix.Winsize
		err := s.streams.(*terminal).control(func(fd int) (err error) {
			ws, err = unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
			return err
		})
		if err != nil || *ws != (unix.Winsize{Col: 9, Row: 8, Xpixel: 7, Ypixel: 6}) {
			t.Errorf("%+v, %v", ws, err)
		}
		s.HangUp(0)
		s.finish()
	})
	t.Run("modes are sane", func(t *testing.T) {
		out, _ := result(t, h, command(who, "stty", "-a"), terminal80())
		for _, mode := range []string{" iutf8", " echo ", " icanon ", " isig ", " icrnl ", " opost ", " onlcr", "intr = ^C", "erase = ^?", "eof = ^D"} {
			if !strings.Contains(strings.ReplaceAll(out, "\r\n", " "), mode) {
				t.Errorf("no %q in %q", mode, out)
			}
		}
	})
	t.Run("it is the user's", func(t *testing.T) {
		out, _ := result(t, h, script(who, `stat -L -c '%U %G %a' /proc/self/fd/0; [ -r "$SSH_TTY" ] && [ -w "$SSH_TTY" ] && echo mine`), terminal80())
		want := who.User + " tty 620\r\nmine\r\n"
		if os.Geteuid() != 0 && strings.Contains(out, " 600") {
			want = who.User + " " + who.Group + " 600\r\nmine\r\n"
		}
		if out != want {
			t.Errorf("%q, want %q", out, want)
		}
	})
	t.Run("it is the controlling terminal of a session leader", func(t *testing.T) {
		out, _ := result(t, h, script(who, `exec 3</dev/tty && ps -o sid=,pgid=,tpgid= -p $$ | tr -s ' ' '\n' | sort -u | grep -c .`), terminal80())
		if out != "1\r\n" {
			t.Errorf("%q", out)
		}
	})
	t.Run("SSH_CONNECTION", func(t *testing.T) {
		for _, c := range []struct{ client, server, want string }{
			{"192.0.2.1:1234", "192.0.2.2:4000", "192.0.2.1 1234 192.0.2.2 4000"},
			{"[::ffff:192.0.2.1]:1234", "", "192.0.2.1 1234 UNKNOWN 65535"},
			{"[2001:db8::1]:1", "[2001:db8::2]:2", "2001:db8::1 1 2001:db8::2 2"},
			{"", "192.0.2.2:4000", ""},
		} {
			client, _ := netip.ParseAddrPort(c.client)
			server, _ := netip.ParseAddrPort(c.server)
			env := environment([]string{"SSH_CONNECTION=forged"}, Options{Client: client, Server: server}, "")
			if got := lookUp(env, "SSH_CONNECTION"); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		}
	})
}

func TestKeysOfTheTerminal(t *testing.T) {
	h := newHost(t, HostConfig{})
	who := self(t)

	t.Run("Ctrl-C ends what runs", func(t *testing.T) {
		s := begin(t, h, script(who, "echo ready; sleep 1000"), terminal80())
		s.out.await(t, "ready")
		s.give("\x03")
		if exit := s.finish(); exit != (shell.Exit{Code: 130, Signal: "INT"}) {
			t.Errorf("%+v", exit)
		}
	})
	t.Run("Ctrl-Z stops a job of a shell", func(t *testing.T) {
		g := command(who, "bash", "--norc", "-i")
		s := begin(t, h, g, terminal80())
		word := unique()
		s.give("sleep " + word + "\n")
		eventually(t, "sleep runs", func() bool { return len(running(t, word)) > 0 })
		s.give("\x1a")
		s.out.await(t, "Stopped")
		s.give("exit\nexit\n")
		s.finish()
	})
	t.Run("a resize is told at once", func(t *testing.T) {
		s := begin(t, h, script(who, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done"), terminal80())
		s.out.await(t, "ready")
		if err := s.Resize(shell.Winsize{Cols: 101, Rows: 52}); err != nil {
			t.Fatal(err)
		}
		s.out.await(t, "52 101")
		if err := s.Signal("KILL"); err != nil {
			t.Fatal(err)
		}
		if exit := s.finish(); exit.Signal != "KILL" {
			t.Errorf("%+v", exit)
		}
	})
}

func TestEndOfInputOnATerminal(t *testing.T) {
	h := newHost(t, HostConfig{})
	who := self(t)
	for _, given := range []string{"", "a line\n", "a part of a line", "two\nlines\r", "ends\x04"} {
		t.Run(fmt.Sprintf("%q", given), func(t *testing.T) {
			s := begin(t, h, script(who, "stty -echo; echo ready; cat; echo end"), terminal80())
			s.out.await(t, "ready\r\n")
			s.give(given)
			if err := s.Stdin().Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(s.Stdin(), "more"); err == nil {
				t.Error("input after the end of input")
			}
			s.finish()
			want := strings.NewReplacer("\n", "\r\n", "\r", "\r\n", "\x04", "").Replace(given)
			if got := strings.TrimPrefix(s.out.String(), "ready\r\n"); got != want+"end\r\n" {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
	t.Run("a shell at its prompt", func(t *testing.T) {
		s := begin(t, h, command(who, "bash", "--norc", "-i"), terminal80())
		s.give("PS1='pro''mpt> '\n")
		s.out.await(t, "prompt> ")
		eventually(t, "readline", func() bool { return s.lflag()&unix.ICANON == 0 })
		if err := s.Stdin().Close(); err != nil {
			t.Fatal(err)
		}
		if exit := s.finish(); exit.Code != 0 {
			t.Errorf("%+v", exit)
		}
	})
	t.Run("a raw terminal gets nothing", func(t *testing.T) {
		s := begin(t, h, script(who, "stty raw -echo; echo ready; head -c 3 | od -An -tx1; sleep 1000"), terminal80())
		s.out.await(t, "ready")
		s.give("ab")
		if err := s.Stdin().Close(); err != nil {
			t.Fatal(err)
		}
		if got := endOfInput(&unix.Termios{}, true, 'b'); got != nil {
			t.Errorf("%q", got)
		}
		s.HangUp(0)
		s.finish()
	})
}

func (s *started) lflag() uint32 {
	var modes *unix.Termios
	err := s.streams.(*terminal).control(func(fd int) (err error) {
		modes, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return modes.Lflag
}

func TestEndOfInputTyped(t *testing.T) {
	modes := func(lflag, iflag uint32) *unix.Termios {
		m := &unix.Termios{Lflag: lflag, Iflag: iflag}
		m.Cc[unix.VEOF], m.Cc[unix.VEOL] = 'Z', ';'
		return m
	}
	line := modes(unix.ICANON|unix.ISIG, unix.ICRNL)
	for _, c := range []struct {
		name  string
		modes *unix.Termios
		given string
		want  string
	}{
		{"nothing", line, "", "Z"},
		{"line", line, "x\n", "Z"},
		{"part", line, "x", "ZZ"},
		{"return", line, "x\r", "Z"},
		{"return that is no newline", modes(unix.ICANON, 0), "x\r", "ZZ"},
		{"newline that is none", modes(unix.ICANON, unix.INLCR), "x\n", "ZZ"},
		{"eof", line, "xZ", "Z"},
		{"eol", line, "x;", "Z"},
		{"nul", line, "x\x00", "ZZ"},
		{"line editor", modes(unix.ISIG, 0), "x", "Z"},
		{"raw", modes(0, 0), "x", ""},
		{"disabled", &unix.Termios{Lflag: unix.ICANON}, "x", ""},
	} {
		var last byte
		if c.given != "" {
			last = c.given[len(c.given)-1]
		}
		if got := string(endOfInput(c.modes, c.given != "", last)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What is typed is written without waiting, as far as the terminal has room.
func TestTypingDoesNotWaitForATerminal(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	defer master.Close()
	term := &terminal{name: slave.Name(), slave: slave}
	if term.master = dupNonblocking(int(master.Fd()), master.Name()); term.master == nil {
		t.Fatal("no descriptor")
	}
	defer term.close()
	term.in.terminal, term.in.prompt = term, term.in.attempt
	if err := term.out.open(term.master); err != nil {
		t.Fatal(err)
	}
	term.conn = term.out.conn
	if _, err := xterm.MakeRaw(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	key := []byte("x")
	if allocs := testing.AllocsPerRun(100, func() {
		if n, err := term.in.WritePrompt(key); n != 1 || err != nil {
			t.Fatalf("WritePrompt = %d, %v", n, err)
		}
	}); allocs > 0 {
		t.Errorf("a key allocates %v times", allocs)
	}
	// Nobody reads: at some point nothing is taken, and nobody waits.
	taken := 0
	for n := 1; n > 0; taken += n {
		if n, err = term.in.WritePrompt(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d bytes were taken", taken)
}
