package sources

import (
	"errors"
	"os"
	"testing"

	"shellagent/config"
	"shellagent/shell"
)

func FuzzKeyEntry(f *testing.F) {
	_, line := newKey(f, "label")
	for _, seed := range []string{
		quoted(line), `{"subject": "alice", "keys": [` + quoted(line) + `], "from": ["10.0.0.0/8", "::1"], "notAfter": "2026-12-31", "sources": ["s"]}`,
		`{"keys": []}`, `""`, `7`, `{"keys": ["x"], "from": [], "sources": []}`, `{"keys": null}`, `["a"]`, `{"subject": "\u0000", "keys": ["ed25519public:AAAA:id"]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var list struct {
			Keys []KeyEntry `json:"k"`
		}
		if _, err := config.Decode("f", []byte(`{"k": [`+text+`]}`), &list); err != nil {
			return
		}
		for _, e := range list.Keys {
			entries, errs := e.compile("/k/0")
			for _, err := range errs {
				var p config.PointerError
				if !errors.As(err, &p) {
					t.Errorf("%v has no pointer", err)
				}
			}
			for _, n := range entries {
				if n.key.IsZero() || len(n.thumb) != 43 || n.limited != (e.From != nil) || n.all != (e.Sources == nil) {
					t.Errorf("%q became %+v", text, n)
				}
			}
		}
	})
}

// FuzzPolicy: whatever is configured, a stranger gets nothing, and nothing
// panics.
func FuzzPolicy(f *testing.F) {
	stranger, _ := newKey(f, "")
	for _, name := range []string{"../examples/agent.json", "../examples/etcha/agent.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`{"sources": {"a/b~": {"exec": {"user": "$subject"}, "shell": ["x"], "commands": [["*"]]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var c agentFile
		file, err := config.Decode("f", []byte(text), &c)
		if err != nil {
			return
		}
		c.VerifyKeysDir, c.RevokedKeysFile = "", ""
		p, err := New(c.Config, Options{Accounts: host(), newVerifier: noVerifier})
		if err != nil {
			for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
				var pointer config.PointerError
				if !errors.As(e, &pointer) {
					t.Errorf("%v has no pointer", e)
				}
			}
			_ = file.Locate(err).Error()
			return
		}
		p.Summary(t.Context(), at)
		for _, s := range p.Sources() {
			q := ask(p, s, stranger)
			if _, err := p.Decide(t.Context(), q); reasonOf(err) != shell.ReasonUnknownKey {
				t.Errorf("source %q: %v", s, err)
			}
		}
	})
}
