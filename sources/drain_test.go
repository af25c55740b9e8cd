package sources

import (
	"strings"
	"testing"

	"shellagent/config"
)

func TestDrainMistakes(t *testing.T) {
	for drain, want := range map[string]string{
		`true`: "", `false`: "", `{}`: "", `{"required": true, "redact": ["a+"]}`: "",
		`"yes"`:                "drain is true, false or an object",
		`{"redact": ["("]}`:    "agent.json:1:",
		`{"redact": ["a*"]}`:   `"a*" matches nothing at all, and so everywhere`,
		`{"redacted": ["a+"]}`: "redacted",
	} {
		var c Config
		f, err := config.Decode("agent.json", []byte(`{"exec": {"user": "operator"}, "sources": {"a": {"drain": `+drain+`}}}`), &c)
		if err == nil {
			var p *Policy
			if p, err = New(c, Options{Accounts: host()}); err != nil {
				err = f.Locate(err)
			} else if on := p.sources["a"].drain != nil; on == (drain == "false") {
				t.Errorf("%s: %v", drain, on)
			}
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", drain, err, want)
		}
	}
}
