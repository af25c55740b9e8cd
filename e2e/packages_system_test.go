package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The life of the package on a system of its own, from installation to purge.
// Each step needs what the one before left.
func TestPackageOnASystem(t *testing.T) {
	needRoot(t)
	d := packages(t)
	m := bootMachine(t, 8*time.Minute)
	share(t, m, filepath.Join(d.dir, "shellagent*_1.2.3_amd64.deb"), filepath.Join(d.next, "*.deb"), brokenDeb(t, d), "../examples/fail2ban")
	p := packaged{m}
	m.step("install", p.install)
	m.step("it lets nobody in", p.letsNobodyIn)
	m.step("a key and a source", p.configure)
	m.step("recordings and the audit trail", p.records)
	m.step("limits", p.limits)
	m.step("fork bomb", p.forkBomb)
	m.step("journal", p.journal)
	m.step("reload of a broken configuration", p.brokenReload)
	m.step("exposure", p.exposure)
	m.step("confined", p.confined)
	m.step("restart", p.restart)
	m.step("socket activation", p.socketActivation)
	m.step("fail2ban", p.fail2ban)
	m.step("upgrade to a program that does not start", p.brokenUpgrade)
	m.step("upgrade under a session", p.upgrade)
	m.step("upgrade of a disabled service", p.upgradeDisabled)
	m.step("remove", p.remove)
	m.step("purge", p.purge)
}

// share copies files and directories to where the machine sees them.
func share(t *testing.T, m *machine, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil || len(files) == 0 {
			t.Fatalf("nothing is called %s (%v)", p, err)
		}
		for _, f := range files {
			if out, err := exec.Command("cp", "-rL", f, m.share).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
}

// packaged is a machine with the packages.
type packaged struct{ *machine }

// client runs the installed client as a person with a key.
func (p packaged) client(args string) string {
	return "runuser -u alice -- agent-cli exec --accept-new -i /home/alice/key " + args
}

func (p packaged) expect(what, got, want string) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

// everyFile lists what a package may leave behind. The machine sees what others
// write meanwhile to /var/tmp of the one below it.
const everyFile = `find /etc /usr /var /srv \( -path /usr/local -o -path /var/tmp \) -prune -o -print | sort`

func (p packaged) install() {
	p.sh(`id operator || useradd -m -s /bin/bash -g operator operator
		useradd -m -s /bin/bash alice
		` + everyFile + ` >/run/before
		dpkg -i /mnt/share/*_1.2.3_amd64.deb`)
	p.expect("state of the service", p.sh(`systemctl show --property Type,ActiveState,SubState,UnitFileState,NRestarts shellagent | sort`),
		"ActiveState=active\nNRestarts=0\nSubState=running\nType=notify\nUnitFileState=enabled")
	p.until("the agent to answer", `[ "$(curl -sk https://127.0.0.1:4000/healthz)" = ok ]`)
	p.expect("state directory", p.sh(`stat -c '%A %U' /var/lib/shellagent /var/lib/shellagent/host_key`), "drwx------ root\n-rw------- root")
	p.expect("the front's user", p.sh(`ps -o user= --ppid "$(systemctl show --property MainPID --value shellagent)"`), "shellagent")
	p.expect("verification of the units", p.sh(`systemd-analyze verify shellagent.service shellagent.socket 2>&1`), "")
	p.expect("files as packed", p.sh(`dpkg --verify shellagent shellagent-client`), "")
	p.expect("manual pages", p.sh(`man -w agent shellagent agent-exec agent-cli shellagent-client | wc -l`), "5")
}

func (p packaged) letsNobodyIn() {
	p.sh(`agent check`)
	p.sh(`runuser -u alice -- agent-cli keys generate --batch -o /home/alice/key`)
	if got := p.try(p.client("debug 127.0.0.1 -- true")); got.code != 255 || !strings.Contains(got.stderr, "refused") {
		p.t.Errorf("an agent without keys: code %d, %s", got.code, got.stderr)
	}
}

// configure adds a source in a file of its own and a key as the comments in
// agent.json say.
func (p packaged) configure() {
	p.sh(`cat >/etc/shellagent/sources.d/debug.json <<-'END'
			{"sources": {"debug": {"exec": {"user": "operator", "group": "operator"}, "shell": "/bin/bash"}}}
		END
		sed -i "s|// \"ssh-ed25519 AAAA… alice\"|\"$(cat /home/alice/key.pub)\"|" /etc/shellagent/agent.json
		systemctl reload shellagent`)
	p.until("a session of another user", p.client("debug 127.0.0.1 -- true"))
	p.expect("the session", p.sh(p.client(`debug 127.0.0.1 --command 'id -un; id -Gn; pwd; exit 7' || echo $?`)), "operator\n"+p.sh(`id -Gn operator`)+"\n/home/operator\n7")
	p.expect("the other client", p.sh(`runuser -u alice -- agent exec -i /home/alice/key debug@127.0.0.1 -- id -un`), "operator")
}

// records has a session recorded, and looks at it and at the trail with what the
// package brings, as root and as the session's user.
func (p packaged) records() {
	p.sh(`cat >/etc/shellagent/sources.d/recorded.json <<-'END'
			{"sources": {"recorded": {"exec": {"user": "operator", "group": "operator"}, "record": true}}}
		END
		systemctl reload shellagent`)
	p.until("a recorded session", p.client("recorded 127.0.0.1 -- echo on the record"))
	const first = `f=$(ls /var/lib/shellagent/recordings/*/*/*/*.cast.zst | head -1); `
	p.until("a complete recording", first+`agent verify "$f"`)
	p.expect("the recording", p.sh(first+`agent export "$f" | grep '"o"' | grep -c 'on the record'`), "1")
	p.expect("its replay", p.sh(first+`agent replay "$f" </dev/null | tr -d '\r'`), "on the record")
	p.until("the trail of it", `grep -q recorded <<<"$(agent log --source recorded --event recording.complete)"`)
	p.sh(`agent verify /var/lib/shellagent/audit`)
	if got := p.try(first + `runuser -u operator -- agent export "$f"`); got.code == 0 || !strings.Contains(got.stderr, "permission denied") {
		p.t.Errorf("the session's user reads the recording: %+v", got)
	}
	p.expect("manual pages", p.sh(`man -w agent-replay agent-export agent-verify agent-log | wc -l`), "4")
	p.sh(`ls /usr/share/doc/shellagent/audit.md.gz && rm /etc/shellagent/sources.d/recorded.json && systemctl reload shellagent`)
}

// allowed is what the unit's limits come to on this machine: without
// CAP_SYS_RESOURCE systemd gets as near to them as it may.
func (p packaged) allowed() (files, oom string) {
	const resource = 24 // CAP_SYS_RESOURCE, linux/capability.h
	has, err := strconv.ParseUint(p.sh(`sed -n 's/^CapBnd:.//p' /proc/1/status`), 16, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	if has>>resource&1 == 1 {
		return "524288", "-900"
	}
	return p.sh(`ulimit -Hn`), p.sh(`cat /proc/1/oom_score_adj`)
}

// limits shows that the unit's are in force for the agent and that a session is
// what it is elsewhere.
func (p packaged) limits() {
	files, oom := p.allowed()
	p.expect("the unit's limits", p.sh(`systemctl show shellagent --property LimitNOFILE,LimitNOFILESoft,LimitCORE,LimitCORESoft,OOMScoreAdjust,OOMPolicy,TasksMax,Delegate,KillMode |
		sed 's/^TasksMax=[0-9]*$/TasksMax=N/' | sort`),
		"Delegate=yes\nKillMode=mixed\nLimitCORE=infinity\nLimitCORESoft=0\nLimitNOFILE=524288\nLimitNOFILESoft=1024\nOOMPolicy=continue\nOOMScoreAdjust=-900\nTasksMax=N")
	p.expect("the agent's limits", p.sh(`pid=$(systemctl show --property MainPID --value shellagent)
		awk '/core file/ { print $5, $6 } /open files/ { print ($4 > 1024), $5 }' /proc/$pid/limits
		cat /proc/$pid/oom_score_adj`),
		"0 unlimited\n1 "+files+"\n"+oom)
	session := p.sh(p.client(`debug 127.0.0.1 --command '
		ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; umask; cat /proc/self/oom_score_adj
		sed -n "s/^\\(NoNewPrivs\\|SigIgn\\|SigBlk\\|CapEff\\|CapBnd\\|Seccomp\\):.//p" /proc/self/status
		env | grep -c -E "^(NOTIFY_SOCKET|LISTEN_|INVOCATION_ID|JOURNAL_STREAM|STATE_DIRECTORY)"; true'`))
	// make's posix_spawn leaves glibc's own two signals ignored (bits 31 and 32),
	// which this whole system inherits from the test.
	session = regexp.MustCompile(`(?m)^0{7}[0-3][08]0{7}$`).ReplaceAllString(session, strings.Repeat("0", 16))
	system := p.sh(`sed -n 's/^CapBnd:.//p; s/^Seccomp:.//p' /proc/1/status`)
	capabilities, seccomp, _ := strings.Cut(system, "\n")
	p.expect("a session's limits", session, strings.Join([]string{
		"1024", files, "0", "unlimited", "0022", "0",
		"0000000000000000", "0000000000000000", "0000000000000000", capabilities, "0", seccomp, "0",
	}, "\n"))
	group := p.sh(p.client(`debug 127.0.0.1 -- grep ^0: /proc/self/cgroup`))
	if !regexp.MustCompile(`^0::/system\.slice/shellagent\.service/shellagent-[a-z0-9]+$`).MatchString(group) {
		p.t.Errorf("a session's control group is %s", group)
	}
}

// forkBomb: a session that forks without end leaves others theirs.
func (p packaged) forkBomb() {
	unit := p.sh(`g=$(systemctl show --property ControlGroup --value shellagent); 
		for d in /sys/fs/cgroup/unified$g /sys/fs/cgroup$g; do if [ -d $d ]; then echo $d; break; fi; done`)
	if p.try(`grep -qw pids "`+unit+`/cgroup.controllers"`).code != 0 {
		p.until("a word about it in the journal", `grep -q 'processes are not limited' <<<"$(journalctl -q -o cat -u shellagent)"`)
		p.t.Log("NOT RUN: the fork bomb: this machine's cgroup v2 has no pids controller")
		return
	}
	p.expect("who is beside the sessions", p.sh(`cat "`+unit+`/cgroup.procs"; ls -d "`+unit+`"/*/`), unit+"/shellagent.agent/")
	const forks = `i=0; while [ $i -lt 20000 ]; do sleep 1000 </dev/null >/dev/null 2>&1 & i=$((i+1)); done`
	if got := p.try(p.client(`debug 127.0.0.1 -- sh -c '` + forks + `; echo all'`)); strings.Contains(got.stdout, "all") || got.code == 0 {
		p.t.Errorf("20000 processes could be forked: %+v", got)
	}
	p.sh(p.client(`-n debug 127.0.0.1 -- sh -c '`+forks+`; true' 2>/dev/null; true`) + ` &
		[ "$(` + p.client("debug 127.0.0.1 -- id -un") + `)" = operator ]; wait`)
}

func (p packaged) journal() {
	p.until("the lines of the session's life", `for line in "the agent is ready" "session opened" "session ended" refused; do
			grep -q "msg=\"*$line" <<<"$(journalctl -q -o cat SYSLOG_IDENTIFIER=shellagent _SYSTEMD_UNIT=shellagent.service _UID=0)"
		done`)
}

// brokenReload: what runs goes on, systemctl fails, and the journal has the place.
func (p packaged) brokenReload() {
	p.sh(`cp /etc/shellagent/agent.json /run/good.json; echo '{"listen": {},, }' >/etc/shellagent/agent.json`)
	if got := p.try(`systemctl reload shellagent`); got.code == 0 {
		p.t.Error("systemctl reload succeeds with a broken configuration")
	}
	p.until("the place of the mistake", `grep -q 'agent\.json:1:' <<<"$(journalctl -q -o cat -u shellagent)"`)
	p.expect("a session under the policy in force", p.sh(p.client("debug 127.0.0.1 -- id -un")), "operator")
	p.sh(`cp /run/good.json /etc/shellagent/agent.json; systemctl reload shellagent`)
	p.expect("a session after the repair", p.sh(p.client("debug 127.0.0.1 -- id -un")), "operator")
}

var scoreLine = regexp.MustCompile(`exposure level for shellagent\.service: ([0-9.]+) `)

// score is what systemd-analyze makes of the unit as it is loaded.
func (p packaged) score() string {
	p.t.Helper()
	found := scoreLine.FindStringSubmatch(p.sh(`systemd-analyze security --no-pager shellagent.service`))
	if found == nil {
		p.t.Fatal("systemd-analyze security tells no exposure level")
	}
	return found[1]
}

// documented says whether packaging/README.md has a score in its table, and
// README.md in its sentence.
func (p packaged) documented(unit, score, sentence string) {
	p.t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		p.t.Fatal(err)
	}
	if want := fmt.Sprintf(sentence, score); !strings.Contains(strings.Join(strings.Fields(string(readme)), " "), want) {
		p.t.Errorf("README.md does not have the measured exposure: %s", want)
	}
	text, err := os.ReadFile("../packaging/README.md")
	if err != nil {
		p.t.Fatal(err)
	}
	if row := "| " + unit + " | " + score + " |"; !strings.Contains(string(text), row) {
		p.t.Errorf("packaging/README.md does not have the measured exposure: %s", row)
	}
}

func (p packaged) exposure() {
	p.documented("`shellagent.service`", p.score(), "`systemd-analyze security` gives the agent %s of 10")
}

// confined: the drop-in that is shipped as an example works with sessions.
func (p packaged) confined() {
	p.sh(`mkdir /etc/systemd/system/shellagent.service.d
		cp /usr/share/doc/shellagent/examples/confined.conf /etc/systemd/system/shellagent.service.d/
		systemctl daemon-reload; systemctl restart shellagent`)
	p.documented("with `confined.conf`", p.score(), "unprivileged commands, it gives %s.")
	p.expect("a confined session", p.sh(p.client(`debug 127.0.0.1 --command '
		id -un; touch /usr/x 2>/dev/null || echo read-only; touch ~/x && echo home; grep ^NoNewPrivs /proc/self/status'`)),
		"operator\nread-only\nhome\nNoNewPrivs:\t1")
	p.expect("on a terminal", p.sh(p.client(`-t debug 127.0.0.1 --command 'tty | sed s/[0-9]*$/N/; stat -c %U $(tty)'`)+` | tr -d '\r'`), "/dev/pts/N\noperator")
	p.sh(`rm -r /etc/systemd/system/shellagent.service.d; systemctl daemon-reload; systemctl restart shellagent`)
}
