package sources

import (
	"slices"
	"testing"

	"shellagent/jwtauth"
)

func TestLostKeys(t *testing.T) {
	lines, thumbs := map[string]string{}, map[string]string{}
	for _, name := range []string{"stays", "removed", "revoked", "before"} {
		var key jwtauth.PublicKey
		key, lines[name] = newKey(t, name)
		thumbs[name] = key.Thumbprint()
	}
	const sources = `"exec": {"user": "operator"}, "sources": {"a": {}}`
	before := mustParse(t, `{`+sources+`, "revokedKeys": ["$before!"],
		"verifyKeys": ["$stays!", {"subject": "bob", "keys": ["$removed!"]}, "$revoked!", "$before!"]}`, lines, Options{})
	after := mustParse(t, `{`+sources+`, "revokedKeys": ["$before!", "$revoked!"],
		"verifyKeys": ["$stays!", "$revoked!", "$before!"]}`, lines, Options{})
	lost := after.Lost(before)
	if len(lost) != 2 || !slices.Contains(lost, LostKey{thumbs["removed"], "bob", false}) ||
		!slices.Contains(lost, LostKey{thumbs["revoked"], "", true}) {
		t.Errorf("got %+v", lost)
	}
	if lost := after.Lost(after); lost != nil {
		t.Errorf("against itself: %+v", lost)
	}
}
