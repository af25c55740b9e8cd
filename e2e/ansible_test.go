package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAnsibleRoleIsClean(t *testing.T) {
	need(t, "ansible-lint")
	dir := t.TempDir() // it writes beside what it reads
	output(t, "cp", "-r", "../examples/ansible", dir)
	lint := exec.CommandContext(t.Context(), "ansible-lint", "--offline", "--strict", "--nocolor", "--profile", "production", "site.yml", "roles/shellagent", "inventory.yml")
	lint.Dir = filepath.Join(dir, "ansible")
	lint.Env = append(os.Environ(), "HOME="+dir, "ANSIBLE_HOME="+dir)
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("ansible-lint: %v\n%s", err, out)
	}
}

// The role runs on a system of its own: installs, changes nothing when nothing
// changed, stops at a mistake, and takes a key away.
func TestAnsibleRole(t *testing.T) {
	needRoot(t)
	need(t, "ansible-playbook")
	d := packages(t)
	m := bootMachine(t, 4*time.Minute)
	share(t, m, filepath.Join(d.dir, "shellagent*_1.2.3_amd64.deb"), "../examples/ansible")
	m.sh(`id operator || useradd -m -s /bin/bash -g operator operator
		dpkg -i /mnt/share/shellagent-client_*.deb; agent-cli keys generate --batch -o /root/key`)
	key := m.sh(`cat /root/key.pub`)
	session := `agent-cli exec --accept-new -i /root/key debug 127.0.0.1 -- id -un`
	vars := object{
		"shellagent_deb":         "/mnt/share/shellagent_1.2.3_amd64.deb",
		"shellagent_verify_keys": []object{{"subject": "alice", "keys": []string{key}}},
		"shellagent_sources":     object{"debug": object{"exec": object{"user": "operator"}, "shell": "/bin/bash"}},
	}

	m.step("install", func() {
		told := m.play(vars, 0)
		if fingerprint := m.sh(`agent keys fingerprint /var/lib/shellagent/host_key.pub | sed -n 1p`); !strings.Contains(told, fingerprint) {
			m.t.Errorf("it does not tell the fingerprint %s:\n%s", fingerprint, told)
		}
		if got := m.sh(session); got != "operator" {
			m.t.Errorf("a session is %q's", got)
		}
	})
	m.step("again", func() {
		if told := m.play(vars, 0); !strings.Contains(told, "changed=0") {
			m.t.Errorf("a second run changes something:\n%s", told)
		}
	})
	m.step("a mistake", func() {
		vars["shellagent_settings"] = object{"sorces": object{}}
		if told := m.play(vars, 2); !regexp.MustCompile(`\d+:\d+: .*sorces`).MatchString(told) {
			m.t.Errorf("it does not tell the place of the mistake:\n%s", told)
		}
		m.sh(session)
		delete(vars, "shellagent_settings")
	})
	m.step("a key taken out", func() {
		m.sh(`nohup agent-cli exec -n -i /root/key debug 127.0.0.1 -- sleep 4714 >/run/client 2>&1 &`)
		m.until("the session", `pgrep -x -f 'sleep 4714'`)
		vars["shellagent_verify_keys"] = []object{}
		m.play(vars, 0)
		m.until("the session's end", `! pgrep -x -f 'sleep 4714'`)
		if got := m.try(session); got.code != 255 {
			m.t.Errorf("the key still opens: code %d, %s", got.code, got.stdout)
		}
	})
}

// play runs the shipped playbook against the machine itself and returns what it
// printed.
func (m *machine) play(vars object, code int) string {
	m.t.Helper()
	data, err := json.Marshal(vars)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.share, "vars.json"), data, 0o644); err != nil {
		m.t.Fatal(err)
	}
	got := m.try(`cd /mnt/share/ansible; printf '[shellagent]\nlocalhost ansible_connection=local\n' >/run/inventory
		ANSIBLE_NOCOLOR=1 ANSIBLE_PIPELINING=1 ANSIBLE_GATHER_SUBSET='!all' ansible-playbook -i /run/inventory -e @/mnt/share/vars.json site.yml`)
	if got.code != code {
		m.t.Fatalf("ansible-playbook ended with %d, want %d:\n%s%s\nthe agent's journal:\n%s", got.code, code, got.stdout, got.stderr, m.journal())
	}
	return got.stdout
}
