package agent

import (
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/internal/forward"
	"shellagent/internal/forwardd"
	"shellagent/shell"
)

func TestJudge(t *testing.T) {
	g := &shell.Forward{
		Local:  []shell.Destination{{Host: "db", Low: 5432, High: 5432}, {Prefix: netip.MustParsePrefix("10.0.0.0/8"), Low: 80, High: 90}, {Path: "/run/*.sock"}},
		Remote: []shell.Destination{{Host: "localhost", Low: 1024, High: 65535}, {Path: "/tmp/*"}},
		Agent:  true,
	}
	inside, outside := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1")
	loopback := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	tcp := func(do, host string, port uint16, addresses ...netip.Addr) forwardd.Question {
		return forwardd.Question{Do: do, Kind: forward.TCP, Host: host, Port: port, Addresses: addresses}
	}
	path := func(do, kind, path string) forwardd.Question {
		return forwardd.Question{Do: do, Kind: kind, Path: path}
	}
	for _, tt := range []struct {
		q    forwardd.Question
		want forwardd.Permit
		ok   bool
	}{
		{tcp("open", "db", 5432), forwardd.Permit{Lookup: true}, true},
		{tcp("open", "db", 5432, inside, outside), forwardd.Permit{Addresses: []netip.Addr{inside, outside}}, true},
		{tcp("open", "web", 80), forwardd.Permit{Lookup: true}, true}, // it may be in the network
		{tcp("open", "web", 80, inside, outside), forwardd.Permit{Addresses: []netip.Addr{inside}}, true},
		{tcp("open", "web", 80, outside), forwardd.Permit{}, false},
		{tcp("open", "web", 5432), forwardd.Permit{Lookup: true}, false},
		{tcp("open", "", 80, outside), forwardd.Permit{}, false},
		{path("open", "unix", "/run/x.sock"), forwardd.Permit{}, true},
		{path("open", "unix", "/tmp/x"), forwardd.Permit{}, false},
		{path("listen", "unix", "/tmp/x"), forwardd.Permit{}, true},
		{path("accept", "unix", "/tmp/x"), forwardd.Permit{}, true},
		{path("listen", "unix", "/run/x.sock"), forwardd.Permit{}, false},
		{tcp("listen", "localhost", 0, loopback...), forwardd.Permit{Addresses: loopback}, true},
		{tcp("accept", "localhost", 41000, loopback...), forwardd.Permit{Addresses: loopback}, true},
		{tcp("listen", "*", 8080), forwardd.Permit{}, false},
		{path("listen", "agent", "/tmp/a/agent.sock"), forwardd.Permit{}, true},
		{path("accept", "agent", "/tmp/a/agent.sock"), forwardd.Permit{}, true},
		{path("open", "agent", "/tmp/a/agent.sock"), forwardd.Permit{}, false},
		{path("listen", "agent", "agent.sock"), forwardd.Permit{}, false}, // no upgrade would take it over
	} {
		if got, ok := judge(g, tt.q); ok != tt.ok || ok && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v: %+v, %v", tt.q, got, ok)
		}
		for _, nothing := range []*shell.Forward{nil, {}} {
			if _, ok := judge(nothing, tt.q); ok {
				t.Errorf("%+v is allowed by nothing", tt.q)
			}
		}
	}
}

func TestDestinationsAreNamed(t *testing.T) {
	one := []netip.Addr{netip.MustParseAddr("::1")}
	for want, q := range map[string]forwardd.Question{
		"db:5432":   {Kind: forward.TCP, Host: "db", Port: 5432, Addresses: one},
		"[::1]:80":  {Kind: forward.TCP, Port: 80, Addresses: one},
		"*:8080":    {Kind: forward.TCP, Host: "*", Port: 8080},
		"/run/x":    {Kind: forward.Unix, Path: "/run/x"},
		"agent":     {Kind: forward.Agent, Path: "/tmp/x"},
		"":          {Kind: forward.TCP},
		"127.0.0.1": {Kind: forward.Unix, Path: "127.0.0.1"},
	} {
		if got := destination(q); got != want {
			t.Errorf("%+v is %q, want %q", q, got, want)
		}
	}
}

// tunnel is a session of forwards whose helper is the test.
type tunnel struct {
	helper *forwardd.Channel
	all    *forwards

	mu     sync.Mutex
	grant  shell.Grant
	events []shell.Event
	hungUp string
}

func (s *tunnel) ID() string         { return "S1" }
func (s *tunnel) Remote() netip.Addr { return netip.MustParseAddr("192.0.2.9") }
func (s *tunnel) Grant() shell.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grant
}

func (s *tunnel) HangUp(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hungUp = reason
}

func (s *tunnel) regrant(g *shell.Forward) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grant = shell.Grant{Source: "tunnel", Key: "K1", Credential: shell.Credential{User: "operator", UID: 7}, Forward: g}
}

// told waits for so many events.
func (s *tunnel) told(t *testing.T, n int) []shell.Event {
	t.Helper()
	var events []shell.Event
	eventually(t, "events", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		events = s.events
		return len(events) >= n
	})
	return events
}

func newTunnel(t *testing.T, g *shell.Forward) (*tunnel, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, channel := os.NewFile(uintptr(fds[1]), "helper"), os.NewFile(uintptr(fds[0]), "agent")
	s := &tunnel{}
	s.regrant(g)
	s.all = newForwards(slog.New(slog.DiscardHandler), func(e shell.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	})
	s.all.begin(s, channel, nil)
	s.helper = forwardd.NewChannel(raw)
	t.Cleanup(func() {
		s.helper.Close()
		eventually(t, "the end", func() bool {
			s.all.mu.Lock()
			defer s.all.mu.Unlock()
			return len(s.all.live) == 0
		})
		channel.Close()
	})
	return s, raw
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

var anywhere = &shell.Forward{Local: []shell.Destination{{Host: "*", Low: 1, High: 65535}}, Agent: true}

// What is asked is decided by the grant of that moment, and told.
func TestForwardsAreDecidedAndTold(t *testing.T) {
	s, _ := newTunnel(t, anywhere)
	q := forwardd.Question{Do: forwardd.DoOpen, Kind: forward.TCP, Host: "db", Port: 5432}
	if p, err := s.helper.Ask(t.Context(), q); err != nil || !p.Lookup {
		t.Fatalf("%+v, %v", p, err)
	}
	q.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.5")}
	if p, err := s.helper.Ask(t.Context(), q); err != nil || len(p.Addresses) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	s.helper.Ended(q, forwardd.End{FromClient: 3, ToClient: 4, Seconds: 1.5, Broken: true})
	s.helper.Ended(forwardd.Question{}, forwardd.End{Code: forward.CodeLimit, Never: true})
	s.told(t, 3)
	s.regrant(nil)
	if _, err := s.helper.Ask(t.Context(), q); err == nil || err.Error() != "the source allows no connection to db:5432 (allow.localForward)" {
		t.Errorf("got %v", err)
	}
	events := s.told(t, 4)
	var kinds []shell.EventKind
	for _, e := range events {
		kinds = append(kinds, e.Kind)
		if e.Session != "S1" || e.Source != "tunnel" || e.UID != 7 || !e.Remote.IsValid() {
			t.Errorf("%+v", e)
		}
	}
	if want := []shell.EventKind{shell.EventForwardOpened, shell.EventForwardEnded, shell.EventForwardFailed, shell.EventForwardDenied}; !slices.Equal(kinds, want) {
		t.Errorf("told %v", kinds)
	}
	if e := events[1]; e.Input != 3 || e.Output != 4 || e.Duration != 1500*time.Millisecond || !e.Detail.Forward.Broken || e.Detail.Forward.Destination != "db:5432" {
		t.Errorf("%+v, %+v", e, e.Detail.Forward)
	}
	if d := events[3].Detail.Forward; d.Code != "denied" || d.Addresses[0] != q.Addresses[0] {
		t.Errorf("%+v", d)
	}
}

func TestAgentSocketsAreKnownWhileTheyLive(t *testing.T) {
	s, _ := newTunnel(t, anywhere)
	q := forwardd.Question{Do: forwardd.DoListen, Kind: forward.Agent, Path: "/tmp/x/agent.sock"}
	if _, err := s.helper.Ask(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kid  string
		uid  uint32
		path string
		want bool
	}{{"K1", 7, q.Path, true}, {"K2", 7, q.Path, false}, {"K1", 8, q.Path, false}, {"K1", 7, q.Path + "x", false}, {"K1", 7, "", false}} {
		if s.all.isAgentSocket(tt.kid, tt.uid, tt.path) != tt.want {
			t.Errorf("%+v", tt)
		}
	}
	s.helper.Ended(q, forwardd.End{})
	s.told(t, 2)
	if s.all.isAgentSocket("K1", 7, q.Path) {
		t.Error("it is known after its end")
	}
}

// Whoever is no helper loses the session.
func TestWhatIsNoQuestionEndsTheSession(t *testing.T) {
	s, raw := newTunnel(t, anywhere)
	raw.Write([]byte("open sesame"))
	eventually(t, "the session's end", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.hungUp != ""
	})
}

// What is asked while all stands still is answered afterwards, and nothing is lost.
func TestForwardsStandStill(t *testing.T) {
	s, _ := newTunnel(t, anywhere)
	q := forwardd.Question{Do: forwardd.DoOpen, Kind: forward.TCP, Port: 80, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")}}
	socket := forwardd.Question{Do: forwardd.DoListen, Kind: forward.Agent, Path: "/tmp/x/agent.sock"}
	if _, err := s.helper.Ask(t.Context(), socket); err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	stop := make(chan struct{})
	asked := make([]int, 4)
	for i := range asked {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.helper.Ask(t.Context(), q); err != nil {
					t.Error(err)
					return
				}
				asked[i]++
			}
		})
	}
	for range 20 {
		sockets := s.all.freeze()
		if !reflect.DeepEqual(sockets, map[string][]string{"S1": {socket.Path}}) {
			t.Errorf("%v", sockets)
		}
		before := len(s.told(t, 1))
		<-time.After(2 * time.Millisecond)
		if now := len(s.told(t, 1)); now != before {
			t.Errorf("%d were decided meanwhile", now-before)
		}
		s.all.goOn()
		s.told(t, before+1)
	}
	close(stop)
	asking.Wait()
	want := 1
	for _, n := range asked {
		want += n
	}
	if got := len(s.told(t, want)); got != want {
		t.Errorf("%d of %d were told", got, want)
	}
}

func TestStateOfForwardsIsChecked(t *testing.T) {
	for name, edit := range map[string]func(*sessionRecord){
		"sockets without a channel": func(s *sessionRecord) { s.AgentSockets = []string{"/tmp/x"} },
		"a channel without a right": func(s *sessionRecord) { s.Program.Channel = 9 },
		"a relative socket": func(s *sessionRecord) {
			s.Program.Channel, s.Session.Opened.Forward, s.AgentSockets = 9, anywhere, []string{"x"}
		},
		"too many sockets": func(s *sessionRecord) {
			s.Program.Channel, s.Session.Opened.Forward, s.AgentSockets = 9, anywhere, make([]string, maxAgentSockets+1)
		},
	} {
		s := goodSession(t)
		if err := s.checkForwards(); err != nil {
			t.Fatal(err)
		}
		edit(&s)
		if err := s.checkForwards(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	s := goodSession(t)
	s.Program.Channel, s.Session.Opened.Forward, s.AgentSockets = 9, anywhere, []string{"/tmp/x"}
	if err := s.checkForwards(); err != nil {
		t.Error(err)
	}
}
