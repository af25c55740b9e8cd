package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// restart: a stop ends the sessions and says so, and what sessions left behind
// ends too.
func (p packaged) restart() {
	p.sh(`sed -i 's|"shell"|"killOnExit": false, "shell"|' /etc/shellagent/sources.d/debug.json; systemctl reload shellagent`)
	p.sh(p.client(`debug 127.0.0.1 --command 'setsid sleep 4711 >/dev/null 2>&1 </dev/null &
		until pgrep -x -f "sleep 4711"; do sleep 0.1; done'`) + `; pgrep -x -f 'sleep 4711'`)
	p.sh(`nohup ` + p.client(`-n debug 127.0.0.1 -- sleep 4712`) + ` >/run/client 2>&1 & echo $! >/run/client.pid`)
	p.until("the session", `pgrep -x -f 'sleep 4712'`)
	p.sh(`systemctl restart shellagent`)
	p.until("the client's word for it", `grep -q stopping /run/client`)
	p.sh(`! pgrep -x -f 'sleep 471[12]'`)
	p.sh(`systemctl kill --kill-whom=main --signal=KILL shellagent`)
	p.until("the agent to come back", `[ "$(systemctl show --property NRestarts --value shellagent)" = 1 ]; `+p.client("debug 127.0.0.1 -- true"))
}

func (p packaged) socketActivation() {
	p.sh(`systemctl stop shellagent; systemctl enable --quiet --now shellagent.socket`)
	p.expect("before a connection", p.sh(`systemctl is-active shellagent.service shellagent.socket || true`), "inactive\nactive")
	p.expect("the first connection", p.sh(p.client("debug 127.0.0.1 -- id -un")), "operator")
	p.expect("over IPv6", p.sh(p.client("debug ::1 -- id -un")), "operator")
	p.expect("after it", p.sh(`systemctl is-active shellagent.service`), "active")
	// A client that comes while the agent restarts waits. One that the agent that
	// goes has accepted still is told to come again (GOAWAY), curl's 16; none is
	// refused.
	p.sh(`systemctl restart --no-block shellagent
		for i in 1 2 3; do
			code=0
			curl -sk -m 20 https://127.0.0.1:4000/healthz || code=$?
			[ $code = 16 ] || exit $code
		done
		exit $code`)
	p.sh(`systemctl disable --quiet --now shellagent.socket; systemctl restart shellagent`)
}

// fail2ban: the real one reads the real journal with the shipped filter. What a
// session writes to the journal in the agent's words bans nobody.
func (p packaged) fail2ban() {
	p.sh(`cp -r /mnt/share/fail2ban/filter.d /mnt/share/fail2ban/jail.d /etc/fail2ban/
		cat >/etc/fail2ban/jail.d/zz-test.local <<-'END'
			[sshd]
			enabled = false
			[shellagent]
			ignoreself = false
			ignoreip =
			maxretry = 3
			banaction =
			action =
		END
		systemctl start fail2ban`)
	p.until("fail2ban", `fail2ban-client ping`)
	p.sh(p.client(`debug 127.0.0.1 --command 'for i in 1 2 3 4 5; do
			logger -t shellagent level=INFO msg=refused reason=unknown_key remote=192.0.2.1:1
		done'`))
	p.until("the forged lines to be in the journal", `[ "$(journalctl -q -o cat | grep -c 192.0.2.1)" -ge 5 ]`)
	p.sh(`runuser -u operator -- agent-cli keys generate --batch -o /home/operator/key
		for i in 1 2 3; do ! runuser -u operator -- agent-cli exec --accept-new -i /home/operator/key debug 127.0.0.1 -- true; done`)
	p.until("the ban", `grep -q 127.0.0.1 <<<"$(fail2ban-client status shellagent)"`)
	if banned := p.sh(`fail2ban-client status shellagent`); strings.Contains(banned, "192.0.2.1") {
		p.t.Errorf("a session's forged lines have banned an address:\n%s", banned)
	}
	p.sh(`systemctl stop fail2ban; rm /etc/fail2ban/jail.d/*shellagent* /etc/fail2ban/filter.d/shellagent.conf /etc/fail2ban/jail.d/zz-test.local`)
}

// brokenDeb packs a version whose program does not start.
func brokenDeb(t *testing.T, d debs) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	output(t, "dpkg-deb", "--raw-extract", filepath.Join(d.dir, "shellagent_1.2.3_amd64.deb"), root)
	output(t, "sed", "-i", "s/^Version: .*/Version: 1.2.9/", filepath.Join(root, "DEBIAN/control"))
	if err := os.WriteFile(filepath.Join(root, "usr/bin/shellagent"), []byte("\x7fELF, but cut short"), 0o755); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(filepath.Dir(root), "shellagent_1.2.9_amd64.deb")
	output(t, "dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", root, deb)
	return deb
}

// running is the main process and the version that it says it is.
func (p packaged) running() (pid, version string) {
	p.t.Helper()
	pid = p.sh(`systemctl show --property MainPID --value shellagent`)
	return pid, p.sh(`/proc/` + pid + `/exe status --json | sed -n 's/^  "agent": "\([^ "]*\).*/\1/p'`)
}

// transfer keeps a session busy in both directions until it is told to stop.
func (p packaged) transfer() {
	p.sh(`rm -f /run/stop; (set +e; i=0; while [ ! -e /run/stop ]; do seq $i $((i + 999)); i=$((i + 1000)); sleep 0.02; done | tee /run/up |
		nohup ` + p.client(`debug 127.0.0.1 --command 'cat; exit 9'`) + ` >/run/down 2>/run/client; echo ${PIPESTATUS[2]} >/run/code) >/dev/null 2>&1 &`)
	p.until("the session to answer", `[ "$(stat -c %s /run/down)" -gt 100000 ]`)
}

// transferred ends the transfer and compares what went up with what came down.
func (p packaged) transferred() {
	p.t.Helper()
	p.sh(`size=$(stat -c %s /run/down); echo $size >/run/size`)
	p.until("more to come down", `[ "$(stat -c %s /run/down)" -gt $(($(cat /run/size) + 100000)) ]`)
	p.sh(`touch /run/stop`)
	p.until("the end of the session", `[ -s /run/code ]`)
	p.expect("its exit code", p.sh(`cat /run/code`), "9")
	p.sh(`cmp /run/up /run/down; rm /run/code`)
}

// brokenUpgrade: the old program goes on under its sessions, and the upgrade says so.
func (p packaged) brokenUpgrade() {
	pid, version := p.running()
	p.transfer()
	said := p.sh(`dpkg -i /mnt/share/shellagent_1.2.9_amd64.deb 2>&1`)
	if !strings.Contains(said, "the agent of version 1.2.3 goes on, with its sessions: the new one does not start") || !strings.Contains(said, "systemctl reload shellagent") {
		p.t.Errorf("the upgrade does not say that the old version goes on:\n%s", said)
	}
	if nowPID, now := p.running(); nowPID != pid || now != version {
		p.t.Errorf("process %s of version %s runs, before it was %s of %s", nowPID, now, pid, version)
	}
	// Its front is of the old version too, whatever lies on the disk now.
	p.sh(`pkill -KILL -u shellagent`)
	p.until("another front", p.client("debug 127.0.0.1 -- true"))
	p.transferred()
}

// upgrade: the new version runs at once, in the same process and with the session
// that was open, which loses nothing. What the administrator wrote stays.
func (p packaged) upgrade() {
	pid, _ := p.running()
	restarts := p.sh(`systemctl show --property NRestarts --value shellagent`)
	p.transfer()
	said := p.sh(`dpkg -i /mnt/share/shellagent_1.3.0*.deb /mnt/share/shellagent-client_1.3.0*.deb 2>&1`)
	if strings.Contains(said, "goes on") {
		p.t.Errorf("the upgrade says that the old version goes on:\n%s", said)
	}
	if now, version := p.running(); now != pid || version != nextVersion {
		p.t.Errorf("process %s of version %s runs, want %s of %s", now, version, pid, nextVersion)
	}
	p.transferred()
	p.expect("the service", p.sh(`systemctl show --property ActiveState,SubState,NRestarts shellagent | sort`),
		"ActiveState=active\nNRestarts="+restarts+"\nSubState=running")
	p.expect("a session after the upgrade", p.sh(p.client("debug 127.0.0.1 -- id -un")), "operator")
	p.expect("what the administrator wrote", p.sh(`grep -c operator /etc/shellagent/sources.d/debug.json`), "1")

	// From a session of the agent itself.
	p.sh(`echo '{"sources": {"root": {"exec": {"user": "root"}, "shell": "/bin/bash"}}}' >/etc/shellagent/sources.d/root.json; systemctl reload shellagent`)
	p.expect("an upgrade from within", p.sh(p.client(`root 127.0.0.1 --command 'dpkg -i /mnt/share/shellagent_1.3.0*.deb >/run/dpkg 2>&1; echo code $?'`)), "code 0")
	p.sh(`! grep 'goes on' /run/dpkg; [ /proc/` + pid + `/exe -ef /usr/bin/shellagent ]; rm /etc/shellagent/sources.d/root.json; systemctl reload shellagent`)

	// Files that were taken out of force stay out of it.
	p.sh(`cp /etc/shellagent/agent.json /run/good.json; sed -i 's|"ssh-ed25519|// &|' /etc/shellagent/agent.json; ! agent reload --confirm 1s`)
	said = p.sh(`dpkg -i /mnt/share/shellagent_1.3.0*.deb 2>&1`)
	if !strings.Contains(said, "what its files say is not in force") {
		p.t.Errorf("the upgrade puts files in force that were rolled back:\n%s", said)
	}
	p.expect("the policy in force", p.sh(p.client("debug 127.0.0.1 -- id -un")), "operator")
	p.sh(`cp /run/good.json /etc/shellagent/agent.json; agent reload; [ /proc/` + pid + `/exe -ef /usr/bin/shellagent ]`)
}

func (p packaged) upgradeDisabled() {
	p.sh(`systemctl disable --quiet shellagent; dpkg -i /mnt/share/shellagent_1.3.0*.deb`)
	p.expect("a service that was disabled", p.sh(`systemctl is-enabled shellagent || true`), "disabled")
	p.sh(`systemctl stop shellagent; dpkg -i /mnt/share/shellagent_1.3.0*.deb 2>&1`)
	p.expect("a service that was disabled and stopped", p.sh(`systemctl is-active shellagent || true`), "inactive")
	p.sh(`systemctl enable --quiet shellagent; dpkg -i /mnt/share/shellagent_1.3.0*.deb 2>&1`)
	p.until("a service that was stopped", p.client("debug 127.0.0.1 -- true"))
}

func (p packaged) remove() {
	p.sh(`echo '{"sources": {"root": {"exec": {"user": "root"}, "shell": "/bin/bash"}}}' >/etc/shellagent/sources.d/root.json
		systemctl reload shellagent`)
	got := p.try(p.client(`root 127.0.0.1 --command 'dpkg -r shellagent'`))
	if got.code == 0 || !strings.Contains(got.stderr, "systemd-run") {
		p.t.Errorf("removal from a session of the agent: code %d, %s", got.code, got.stderr)
	}
	p.expect("the agent after that", p.sh(`systemctl is-active shellagent; dpkg-query -W -f '${db:Status-Status}' shellagent`), "active\ninstalled")
	p.sh(`dpkg -r shellagent`)
	p.sh(`! pgrep -x shellagent; ! pgrep -x agent; ! curl -sk -m 2 https://127.0.0.1:4000/healthz`)
	p.expect("the service", p.sh(`systemctl is-active shellagent || true`), "inactive")
	p.expect("what stays", p.sh(`cd /; ls -d etc/shellagent/agent.json etc/shellagent/sources.d/debug.json var/lib/shellagent/host_key`),
		"etc/shellagent/agent.json\netc/shellagent/sources.d/debug.json\nvar/lib/shellagent/host_key")
}

func (p packaged) purge() {
	p.sh(`echo '{}' >/etc/shellagent/client.json; dpkg -P shellagent`)
	p.expect("with the client installed", p.sh(`find /etc/shellagent /var/lib/shellagent 2>/dev/null || true`), "/etc/shellagent\n/etc/shellagent/client.json")
	p.sh(`dpkg -P shellagent-client`)
	left := p.sh(everyFile + ` | comm -13 /run/before - | grep -v -E '^/var/(log|cache|lib/(dpkg|systemd|fail2ban))/|^/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$' || true
		getent passwd shellagent || true; getent group shellagent || true
		find /var/lib/dpkg/info /var/lib/systemd /etc -name '*shellagent*'
		systemctl list-unit-files --no-legend '*shellagent*' || true`)
	p.expect("what a purge leaves", left, "")
}
