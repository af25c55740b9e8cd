package agent

import (
	"errors"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shellagent/jwtauth"
)

// desk is a configuration file with what became of its reloads.
type desk struct {
	*inForce
	t        *testing.T
	file     string
	obeyed   []*loaded
	observed []error
}

// newDesk begins with a file that lets the given sources be opened by nobody.
func newDesk(t *testing.T, sources ...string) *desk {
	t.Helper()
	d := &desk{t: t, file: filepath.Join(t.TempDir(), "agent.json")}
	d.write(sources...)
	l, err := load(d.file)
	if err != nil {
		t.Fatal(err)
	}
	d.inForce = newInForce(slog.New(slog.DiscardHandler), l,
		func(next *loaded) (int, error) { d.obeyed = append(d.obeyed, next); return 1, nil },
		func(err error) { d.observed = append(d.observed, err) })
	return d
}

func (d *desk) write(sources ...string) {
	d.t.Helper()
	me, err := user.Current()
	if err != nil {
		d.t.Fatal(err)
	}
	text := `{"exec": {"user": "` + me.Username + `"}, "sources": {`
	for _, s := range sources {
		text += `"` + s + `": {"shell": "/bin/sh"},`
	}
	d.writeText(text + "}}")
}

func (d *desk) writeText(text string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) ask(confirm time.Duration) reloaded {
	d.t.Helper()
	out, err := d.inForce.ask(confirm)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// want checks which sources are in force, and whether the files say the same.
func (d *desk) want(apart bool, sources ...string) {
	d.t.Helper()
	s := d.standing()
	if got, want := strings.Join(s.Sources, " "), strings.Join(sources, " "); got != want {
		d.t.Errorf("in force: %s, want %s", got, want)
	}
	if (s.Apart != "") != apart {
		d.t.Errorf("apart: %q, want that: %v", s.Apart, apart)
	}
}

// pass lets time go by in a test's own clock, and what is due then happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestReloadAsked(t *testing.T) {
	d := newDesk(t, "a")
	d.write("a", "b")
	out := d.ask(0)
	if strings.Join(out.Changes, ",") != "changed: sources.b (new)" || out.Ended != 1 || out.Trial != 0 || len(out.Warnings) != 2 {
		t.Errorf("%+v", out)
	}
	d.want(false, "a", "b")

	d.writeText(`{"sources": {"c": {"shel": "/bin/sh"}}}`)
	_, err := d.inForce.ask(time.Minute)
	if err == nil || !strings.Contains(err.Error(), "agent.json:1:") {
		t.Errorf("a broken file: %v", err)
	}
	d.want(true, "a", "b")
	if n := len(d.observed); n != 2 || d.observed[0] != nil || d.observed[1] == nil {
		t.Errorf("observed %v", d.observed)
	}
}

func TestTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "a")
		d.write("b")
		if out := d.ask(time.Minute); out.Trial != 1 {
			t.Fatalf("%+v", out)
		}
		d.want(false, "b")
		pass(59 * time.Second)
		if s := d.standing().Trial; s == nil || s.State != "waiting" {
			t.Errorf("%+v", s)
		}
		// What happens to the files meanwhile does not end it.
		d.write("b", "c")
		d.reload(aFileChange)
		d.want(false, "b", "c")
		pass(2 * time.Second)
		d.want(true, "a")
		if s := d.standing().Trial; s == nil || *s != (trialState{ID: 1, State: "rolled back"}) {
			t.Errorf("%+v", s)
		}
		if last := d.observed[len(d.observed)-1]; last == nil || !strings.Contains(last.Error(), "nobody confirmed") {
			t.Errorf("observed %v", last)
		}

		// It comes back only when somebody asks.
		d.reload(aFileChange)
		d.want(true, "a")
		d.reload(aSignal)
		d.want(false, "b", "c")
	})
}

func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "a")
		old := d.config.policy
		if err := d.confirm(old, "alice"); !errors.Is(err, errNoTrial) {
			t.Errorf("without a trial: %v", err)
		}
		d.write("b")
		d.ask(time.Minute)
		if err := d.confirm(old, "alice"); !errors.Is(err, errNoTrial) {
			t.Errorf("under the policy before: %v", err)
		}
		for range 2 { // the first answer may be lost
			if err := d.confirm(d.config.policy, "alice"); err != nil {
				t.Error(err)
			}
		}
		pass(2 * time.Minute)
		d.want(false, "b")
		if s := d.standing().Trial; s == nil || *s != (trialState{ID: 1, State: "confirmed", By: "alice"}) {
			t.Errorf("%+v", s)
		}
		d.write("c")
		d.ask(0)
		if err := d.confirm(d.config.policy, "alice"); !errors.Is(err, errNoTrial) {
			t.Errorf("after another reload: %v", err)
		}
	})
}

// A reload without a trial ends one; one with a trial goes back as far.
func TestTrialReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "a")
		d.write("b")
		d.ask(time.Minute)
		pass(30 * time.Second)
		d.write("c")
		if out := d.ask(time.Minute); out.Trial != 2 || !strings.Contains(strings.Join(out.Changes, "\n"), "sources.a (removed)") {
			t.Errorf("%+v", out)
		}
		pass(31 * time.Second) // the first would have ended
		d.want(false, "c")
		pass(30 * time.Second)
		d.want(true, "a")

		d.ask(time.Minute)
		d.write("d")
		d.ask(0)
		pass(2 * time.Minute)
		d.want(false, "d")

		// Nothing changed, nothing to confirm.
		if out := d.ask(time.Minute); out.Trial != 0 || len(out.Changes) != 0 || out.Since.IsZero() {
			t.Errorf("%+v", out)
		}
	})
}

// What the agent took over as the files changed is on trial too, for a while.
func TestTrialOfUnattendedChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "a")
		d.write("b")
		d.reload(aFileChange)
		pass(time.Minute)
		d.write("c")
		d.reload(aFileChange)
		pass(time.Minute)
		if out := d.ask(time.Minute); out.Trial == 0 {
			t.Errorf("%+v", out)
		}
		pass(2 * time.Minute)
		d.want(true, "a")

		d.ask(0)
		d.want(false, "c")
		d.write("d")
		d.reload(aFileChange)
		pass(unprovenFor + time.Second)
		if out := d.ask(time.Minute); out.Trial != 0 {
			t.Errorf("%+v", out)
		}
	})
}

func TestStopDuringTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "a")
		d.write("b")
		d.ask(time.Minute)
		d.stop()
		pass(2 * time.Minute)
		if len(d.obeyed) != 1 {
			t.Error("an agent that stopped went back")
		}
	})
}

func TestReloadOnChange(t *testing.T) {
	d := newDesk(t, "a")
	if files := d.watch(); len(files) < 2 || files[0] != d.file {
		t.Errorf("watched: %v", files)
	}
	d.writeText(`{"reloadOnChange": false}`)
	d.ask(0)
	if files := d.watch(); files != nil {
		t.Errorf("watched: %v", files)
	}
	select {
	case <-d.news:
	default:
		t.Error("the watcher is not told")
	}
}

// A certificate is judged with the rest, before anything is in force.
func TestBrokenCertificate(t *testing.T) {
	d := newDesk(t, "a")
	d.writeText(`{"listen": {"certPath": "cert.pem", "keyPath": "key.pem"}}`)
	_, err := d.inForce.ask(0)
	if err == nil || !strings.Contains(err.Error(), "agent.json:1:25: ") {
		t.Errorf("%v", err)
	}
	d.want(true, "a")
}

func TestChanges(t *testing.T) {
	key := func(name string) string {
		k, err := jwtauth.GeneratePrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		return k.PublicKey().AuthorizedKey(name)
	}
	alice, bob := key("alice"), key("bob")
	d := newDesk(t)
	text := func(more, keys string) string {
		return `{"exec": {"user": "root"}, ` + more + `"sources": {"debug": {"shell": "/bin/sh", "verifyKeys": [` + keys + `]}}}`
	}
	read := func(more, keys string) *loaded {
		d.writeText(strings.ReplaceAll(text(more, keys), `"root"`, `"`+userName(t)+`"`))
		l, err := load(d.file)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	before := read(`"log": {"level": "info"}, "targets": {}, `, `"`+alice+`", {"subject": "b", "keys": ["`+bob+`"]}`)
	after := read(`"jwtRule": "true", "log": {"level": "warn"}, "targets": {"x": {}}, `, `{"subject": "b", "keys": ["`+bob+`"], "notAfter": "2040-12-31"}`)
	got := changes(t.Context(), before, after, time.Now())
	want := []string{
		"changed: jwtRule", "changed: log.level", "changed: sources.debug.verifyKeys",
		"debug: alice (", "debug: b (",
	}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i, line := range got {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("%q, want %q…", line, want[i])
		}
	}
	if !strings.Contains(got[3], "may not come any more (runs as") || !strings.Contains(got[4], "until 2040-12-31") {
		t.Errorf("%q", got[3:])
	}
	if again := changes(t.Context(), after, after, time.Now()); len(again) != 0 {
		t.Errorf("the same: %q", again)
	}
	if names := before.needRestart(after); len(names) != 1 || names[0] != "log" {
		t.Errorf("restart: %q", names)
	}
}

func userName(t *testing.T) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return me.Username
}

// Another program knows nothing to go back to, so none takes over in a trial.
func TestNoUpgradeDuringATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "debug")
		if err := d.onTrial(); err != nil {
			t.Error(err)
		}
		d.write("debug", "more")
		d.ask(time.Minute)
		if _, err := d.hold(); err == nil || d.onTrial() == nil {
			t.Error("the trial is not minded")
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		release, err := d.hold()
		if err != nil {
			t.Fatal(err)
		}
		if d.mu.TryLock() {
			t.Error("the configuration may be read again meanwhile")
		}
		release()
		d.reload(aSignal)
	})
}
