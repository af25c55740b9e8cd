package e2e

import (
	"strings"
	"testing"
)

// Two agents know the same key. What was signed for the one is worth nothing at
// the other, and who knows the one by its key does not talk to the other.
func TestTokensOfAnotherAgent(t *testing.T) {
	one := startHost(t, nil)
	other := startHost(t, func(_ *host, c object) { c["verifyKeys"] = []string{one.publicKey(one.key)} })
	alice := loadKey(t, one.key)
	here, there := newAttacker(t, one, "127.0.0.1"), newAttacker(t, other, "127.0.0.1")
	if here.aud == there.aud {
		t.Fatal("the agents have one host key")
	}
	open := here.open("debug", alice, `{"argv":["cat"]}`).String()
	for name, r := range map[string]string{
		"an open": open, "a list": here.list(alice).String(),
	} {
		if got := there.raw(r); got.code != "unauthorized" {
			t.Errorf("%s: %v", name, got)
		}
	}
	live := here.mustStart("debug", alice, `{"argv":["cat"]}`)
	if got := there.raw(live.stdin(0, "evil\n").String()); got.err != nil || got.status < 400 {
		t.Errorf("a keystroke: %v", got)
	}
	other.waitFor("the reason in the log", func() bool { return strings.Count(other.log.String(), "reason=audience ") == 2 })

	// The client refuses before it sends anything that could be used there.
	if got := other.runClient(nil, "exec", "--fingerprint", here.aud, "myhost", "--", "true"); got.code != 255 {
		t.Errorf("the other agent under the one's fingerprint: %+v", got)
	}
	var typed uint64
	if err := live.echoes("mine\n", &typed); err != nil {
		t.Error(err)
	}
}
