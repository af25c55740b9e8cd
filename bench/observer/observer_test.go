package observer

import (
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scenery is made-up typing of n keys, half of them of passwords, and what passes:
// a record up and two down per request.
type scenery struct {
	keys    []Press
	records []Record
}

var epoch = time.Unix(1_800_000_000, 0)

func typedKeys(n int) *scenery {
	s, at := &scenery{}, epoch.Add(time.Second)
	for i := range n {
		at = at.Add(inWord.draw())
		s.keys = append(s.keys, Press{At: at, Secret: i/10%2 == 1})
	}
	return s
}

func jitter(d time.Duration) time.Duration { return d + rand.N(200*time.Microsecond) }

func (s *scenery) request(at time.Time, answer time.Duration, echo int) {
	s.records = append(s.records, Record{At: at, Conn: 1, Up: true, Size: 700}, Record{At: at.Add(jitter(answer)), Conn: 1, Size: 200})
	if echo > 0 {
		s.records = append(s.records, Record{At: at.Add(jitter(2 * answer)), Conn: 0, Size: echo})
	}
}

func TestWithoutCoverTheObserverFindsEverything(t *testing.T) {
	s := typedKeys(400)
	for _, k := range s.keys {
		echo := 40
		if k.Secret {
			echo = 0
		}
		s.request(jitterAt(k.At), 300*time.Microsecond, echo)
	}
	v := Judge(s.records, s.keys, 0)
	if v.Found.Value < 0.99 || v.Gaps.Above() < 1 || v.Secret.Value < 0.99 {
		t.Errorf("%+v", v)
	}
}

func jitterAt(at time.Time) time.Time { return at.Add(jitter(50 * time.Microsecond)) }

// ticked is traffic on a clock; late is by how much an answer to a key is slower.
func ticked(late time.Duration) Verdict {
	s := typedKeys(400)
	next := 0
	for at := epoch; at.Before(s.keys[len(s.keys)-1].At.Add(time.Second)); at = at.Add(4 * time.Millisecond) {
		answer := 300 * time.Microsecond
		for next < len(s.keys) && !s.keys[next].At.After(at) {
			answer += late
			next++
		}
		s.request(jitterAt(at), answer, 541)
	}
	return Judge(s.records, s.keys, 0)
}

func TestTrafficOnAClockTellsNothing(t *testing.T) {
	v := ticked(0)
	if v.Sizes != 1 || v.Gaps.Above() > 0.1 || v.Key.Value > 0.56 || v.Found.Value > 0.1 || v.Secret.Value > 0.62 {
		t.Errorf("%+v", v)
	}
}

func TestAnAnswerThatIsSlowerForKeysIsNoticed(t *testing.T) {
	if v := ticked(150 * time.Microsecond); v.Key.Value < 0.8 || v.Key.Within(0.02) {
		t.Errorf("%+v", v)
	}
}

func TestARecordingOfNothing(t *testing.T) {
	if v := Judge(nil, nil, 0); v.Records != 0 || v.Found.Of != 0 {
		t.Errorf("%+v", v)
	}
}

// The relay passes on what comes, and notes TLS records by their headers.
func TestTheRelayNotesRecords(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := server.Accept(); err == nil {
			io.Copy(conn, conn)
			conn.Close()
		}
	}()
	r, err := NewRelay(server.Addr().(*net.TCPAddr).Port, true)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sent := []byte("\x17\x03\x03\x00\x02ab\x17\x03\x03\x00\x00")
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != string(sent) {
		t.Errorf("%q, %v", got, err)
	}
	conn.Close()
	<-served
	r.Close()
	sizes := map[bool][]int{}
	for _, rec := range r.Records() {
		sizes[rec.Up] = append(sizes[rec.Up], rec.Size)
	}
	for _, up := range []bool{true, false} {
		if s := sizes[up]; len(s) != 2 || s[0] != 7 || s[1] != 5 {
			t.Errorf("up %v: records of %v", up, s)
		}
	}
}
