package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// banned runs the shipped filter over lines and returns the addresses that it
// counts, one for each line that matches.
func banned(t *testing.T, lines, mode string) []string {
	t.Helper()
	need(t, "fail2ban-regex")
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	filter, err := filepath.Abs("../examples/fail2ban/filter.d/shellagent.conf")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(output(t, "fail2ban-regex", "--out", "ip", file, filter+"[mode="+mode+"]"))
}

// A real agent's own lines, in both formats: what counts is counted, and nothing
// else that it logs.
func TestFail2banCountsRefusals(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			h := startHost(t, func(h *host, c object) { c["log"] = object{"format": format} })
			stranger := filepath.Join(h.dir, "stranger")
			h.run0(agentBin, "keys", "generate", "-o", stranger)
			if got := h.exec(nil, "-n", "debug", "myhost", "--", "true"); got.code != 0 {
				t.Fatal(got.stderr)
			}
			for _, refused := range [][]string{{"-i", stranger, "debug", "myhost"}, {"nothere", "myhost"}} {
				if got := h.exec(nil, append(append([]string{"-n"}, refused...), "--", "true")...); got.code != 255 {
					t.Fatalf("%v: code %d", refused, got.code)
				}
			}
			url := fmt.Sprintf("https://127.0.0.1:%d", h.port)
			for _, request := range [][]string{
				{"-H", "Authorization: Bearer x.y.z", url + "/v1/sessions"},
				{url + "/v1/sessions"},
				{url + "/v1/a?=remote=192.0.2.9:1%20"},
				{url + "/wp-login.php"},
			} {
				_ = exec.Command("curl", append([]string{"-sk", "-m", "5"}, request...)...).Run()
			}
			// The front's own refusals are gathered before they are logged.
			h.waitFor("the front's lines", func() bool {
				return strings.Contains(h.log.String(), "no_token") && strings.Contains(h.log.String(), "target_form")
			})
			h.stop()
			for mode, reasons := range map[string][]string{
				"normal":     {"unknown_key", "unknown_source", "token_malformed"},
				"aggressive": {"unknown_key", "unknown_source", "token_malformed", "no_token", "target_form"},
			} {
				want := 0
				for line := range strings.Lines(h.log.String()) {
					for _, reason := range reasons {
						if strings.Contains(line, "reason="+reason+" ") || strings.Contains(line, `"reason":"`+reason+`"`) {
							want++
						}
					}
				}
				got := banned(t, h.log.String(), mode)
				if want < len(reasons) || len(got) != want {
					t.Errorf("%s: %d lines counted, want %d (at least %d):\n%s", mode, len(got), want, len(reasons), h.log)
				}
				for _, ip := range got {
					if ip != "127.0.0.1" {
						t.Errorf("%s: it counts %s", mode, ip)
					}
				}
			}
		})
	}
}

func TestFail2banReadsEveryPlaceALineMayComeFrom(t *testing.T) {
	const text = `time=2026-03-01T10:00:00.123Z level=INFO msg=refused reason=signature err="signature: no \"good\" one" method=POST target=/v1/shell/debug session="" key=x remote=`
	const json = `{"time":"2026-03-01T10:00:00.123+02:00","level":"INFO","msg":"refused","reason":"replay","err":"a \"b\"","session":"","remote":"`
	var lines, want []string
	for _, c := range []struct{ what, line, counted string }{
		{"text", text + "192.0.2.1:1", "192.0.2.1"},
		{"text, IPv6", text + "[2001:db8::1]:1", "2001:db8::1"},
		{"text, gathered", "time=2026-03-01T10:00:00Z level=INFO msg=refused reason=claims remote=2001:db8::2 count=3 by=front", "2001:db8::2"},
		{"JSON", json + `192.0.2.2:1"}`, "192.0.2.2"},
		{"JSON, gathered", json + `192.0.2.3","count":3,"by":"front"}`, "192.0.2.3"},
		{"syslog", "Mar  1 10:00:00 myhost shellagent[12]: " + text + "192.0.2.4:1", "192.0.2.4"},
		{"journalctl -o short-iso", "2026-03-01T10:00:00+0000 myhost shellagent[12]: " + json + `192.0.2.5:1"}`, "192.0.2.5"},

		{"an address in a quoted text", text[:strings.LastIndex(text, " ")] + ` target="/v1/a=b\" remote=192.0.2.9:1 x=\""`, ""},
		{"another message", strings.Replace(text, "msg=refused", `msg="session opened"`, 1) + "192.0.2.9:1", ""},
		{"a message in a message", `time=2026-03-01T10:00:00Z level=INFO msg="front says" line="` + text + `192.0.2.9:1"`, ""},
		{"a clock that is wrong", strings.Replace(text, "reason=signature", "reason=stale", 1) + "192.0.2.9:1", ""},
		{"another program", "Mar  1 10:00:00 myhost sshd[12]: " + text + "192.0.2.9:1", ""},
		{"JSON in a text", json[:strings.LastIndex(json, ",")] + `,"target":"\",\"remote\":\"192.0.2.9:1\"}"}`, ""},
	} {
		lines = append(lines, c.line+"\n")
		if c.counted != "" {
			want = append(want, c.counted)
		}
	}
	if got := banned(t, strings.Join(lines, ""), "normal"); !slices.Equal(got, want) {
		t.Errorf("counted %v, want %v of\n%s", got, want, strings.Join(lines, ""))
	}
}
