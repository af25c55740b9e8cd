package e2e

import (
	"strings"
	"testing"
	"time"
)

// countedUp is what `seq 1 100000` prints.
func countedUp(h *host) string { return h.run0("seq", "1", "100000") }

// What comes back with -C is what comes back without, in far fewer bytes.
func TestCompressed(t *testing.T) {
	h := startHost(t, nil)
	want := countedUp(h)
	r := relayed(t, h)
	taken := func(args ...string) int {
		t.Helper()
		start := time.Now()
		got := h.exec(nil, append(args, "debug", "myhost", "--", "seq", "1", "100000")...)
		if got.code != 0 || got.stdout != want {
			t.Fatalf("%v: code %d, %d bytes, want %d; %s", args, got.code, len(got.stdout), len(want), got.stderr)
		}
		sum := 0
		for size, n := range sizesOf(r.Records(), start, false) {
			sum += size * n
		}
		return sum
	}
	plain, packed, events := taken(), taken("-C"), taken("--compress", "--sse")
	if plain < len(want) || packed > plain/2 || events > plain/2 {
		t.Errorf("%d bytes came without, %d with -C, %d as events, for %d", plain, packed, events, len(want))
	}
}

// Cover and compression are not had together, whoever asks for both.
func TestCompressionIsNeverUnderCover(t *testing.T) {
	h := startHost(t, func(h *host, config object) {
		source := h.debugSource()
		source["cover"] = "required"
		config["sources"] = object{"debug": source}
	})
	for _, c := range []struct{ args, want string }{
		{"-C --cover on debug myhost -- true", "exclude each other"},
		{"-C --share debug myhost -- true", "exclude each other"},
		{"-C -t debug myhost -- true", "leave --cover off and -C out"},
	} {
		if r := h.exec(nil, strings.Fields(c.args)...); r.code != 2 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: code %d, %s", c.args, r.code, r.stderr)
		}
	}
	if r := h.exec(nil, "-C", "debug", "myhost", "--", "echo", "on pipes"); r.stdout != "on pipes\n" {
		t.Errorf("%+v", r)
	}
}

// A compressed stream whose connections break goes on at the byte where it was.
func TestCompressedThroughCuts(t *testing.T) {
	h := startHost(t, nil)
	want := countedUp(h)
	c := newCutting(t, h.port, faults{cuts: 8, life: 700 * time.Millisecond})
	h.writeJSON(h.client, object{
		"signingKeyPath": h.key,
		"targets":        object{"myhost": object{"hostname": "127.0.0.1", "port": c.port(), "source": "debug"}},
	})
	if r := h.exec(nil, "debug", "myhost", "--", "true"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	c.arm()
	got := h.exec(nil, "-q", "-C", "debug", "myhost", "--command", "for i in 1 2 3 4; do seq 1 100000; sleep 0.5; done")
	if got.code != 0 || got.stdout != strings.Repeat(want, 4) {
		t.Errorf("code %d, %d bytes of %d; %s", got.code, len(got.stdout), 4*len(want), got.stderr)
	}
	if c.made.Load() == 0 {
		t.Error("nothing was cut")
	}
}
