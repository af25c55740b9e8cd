package driver

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sh is a client that is a shell script.
func sh(script string) Command {
	return Command{Argv: []string{"/bin/sh", "-c", script}, Env: os.Environ()}
}

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, errors.New("the test's time is over"))
	t.Cleanup(cancel)
	return ctx
}

func TestAwaitFindsMarksInPiecesAndKeepsTheRest(t *testing.T) {
	for name, start := range map[string]func(context.Context, Command) (*Client, error){"terminal": OnTerminal, "pipes": OnPipes} {
		t.Run(name, func(t *testing.T) {
			c, err := start(within(t, 20*time.Second), sh("[ ! -t 0 ] || stty -echo; echo go; read x; printf noise-re; read x; printf 'ady>abc'; read x"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Await("go"); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := c.Send([]byte("\n")); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Await("ready>"); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 3)
			if _, err := c.Fill(got); err != nil || string(got) != "abc" {
				t.Errorf("%q, %v", got, err)
			}
			if err := c.Send([]byte("\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestATerminalIsOne(t *testing.T) {
	c, err := OnTerminal(within(t, 20*time.Second), sh("test -t 0 && test -t 1 && stty size </dev/tty"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Await("24 80\r\n"); err != nil {
		t.Error(err)
	}
}

func TestErrorsSayWhatTheClientSaid(t *testing.T) {
	for name, c := range map[string]struct {
		start  func(context.Context, Command) (*Client, error)
		script string
		limit  time.Duration
		want   string
	}{
		"ended on pipes":     {OnPipes, "echo it is broken >&2; exit 3", 20 * time.Second, "it is broken"},
		"ended on terminal":  {OnTerminal, "echo it is broken; exit 3", 20 * time.Second, "it is broken"},
		"silent on pipes":    {OnPipes, "exec sleep 60", 200 * time.Millisecond, "the test's time is over"},
		"silent on terminal": {OnTerminal, "exec sleep 60", 200 * time.Millisecond, "the test's time is over"},
	} {
		t.Run(name, func(t *testing.T) {
			cl, err := c.start(within(t, c.limit), sh(c.script))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			if _, err := cl.Await("never"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q in it", err, c.want)
			}
		})
	}
}

func TestAnExitStatusIsAnError(t *testing.T) {
	c, err := OnPipes(within(t, 20*time.Second), sh("exit 7"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Wait(); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("%v", err)
	}
}

func TestAMissingClientIsAnError(t *testing.T) {
	c, err := OnTerminal(within(t, time.Second), Command{Argv: []string{"/nowhere/client"}})
	if err == nil || c != nil {
		t.Errorf("%v, %v", c, err)
	}
}

// The time that is taken is that of what came, not of when it was asked for.
func TestTimesAreInOrder(t *testing.T) {
	c, err := OnPipes(within(t, 20*time.Second), sh("echo one; read x; echo two"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	one, err := c.Await("one\n")
	if err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	if err := c.Send([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	two, err := c.Await("two\n")
	if err != nil {
		t.Fatal(err)
	}
	end, err := c.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if one.Before(c.Started()) || asked.Before(one) || !two.After(asked) || end.Before(asked) {
		t.Errorf("started %v, one %v, asked %v, two %v, end %v", c.Started(), one, asked, two, end)
	}
}

func TestDiscardCountsWhatComes(t *testing.T) {
	c, err := OnPipes(within(t, 20*time.Second), sh("printf 12345; exec sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Discard(500 * time.Millisecond); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
