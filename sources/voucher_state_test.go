package sources

import (
	"encoding/json"
	"reflect"
	"testing"

	"shellagent/jwtauth"
)

func TestVoucherCrossesAnUpgrade(t *testing.T) {
	private, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	before := &Voucher{
		Source: "debug", Key: private.PublicKey(), Subject: "alice", command: "nobody: /bin/vouch",
		Claims: map[string]any{"team": "red", "level": 3.5, "of": []any{"a", true, nil}, "in": map[string]any{}},
	}
	text, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	var after Voucher
	if err := json.Unmarshal(text, &after); err != nil {
		t.Fatal(err)
	}
	if !after.Key.Equal(before.Key) || after.Source != before.Source || after.Subject != before.Subject ||
		after.command != before.command || !reflect.DeepEqual(after.Claims, before.Claims) {
		t.Errorf("was %+v, is %+v", before, after)
	}
	if json.Unmarshal([]byte(`{"key":{}}`), &after) == nil {
		t.Error("a voucher without a key was read")
	}
}
