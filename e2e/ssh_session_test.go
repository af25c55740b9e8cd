package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ansible runs one of Ansible's programs against two sources of the host: the
// user's, and root's, which becomes the user.
func TestSSHAnsible(t *testing.T) {
	needRoot(t)
	need(t, "ansible", "ansible-playbook", "scp", "su")
	u := newSSHUser(t, func(h *host, config object) {
		config["sources"].(object)["admin"] = object{"shell": "/bin/bash", "exec": object{"user": "root", "group": "root"}}
	})
	remote := u.remoteDir()
	write := func(name, text string) string {
		path := filepath.Join(u.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	inventory := write("inventory", `[debug]
one ansible_host=myhost ansible_user=debug
[admin]
two ansible_host=myhost ansible_user=admin
[all:vars]
ansible_python_interpreter=/usr/bin/python3
`)
	write("page.j2", "hello {{ ansible_user }} from {{ inventory_hostname }}\n")
	playbook := write("play.yml", `
- hosts: debug
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
    - ansible.builtin.copy: {src: inventory, dest: "{{ dir }}/copied", mode: "0640"}
    - ansible.builtin.template: {src: page.j2, dest: "{{ dir }}/page"}
    - ansible.builtin.fetch: {src: "{{ dir }}/page", dest: "fetched", flat: true}
- hosts: admin
  gather_facts: false
  become: true
  become_method: su
  become_user: operator
  tasks:
    - ansible.builtin.command: id -un
      register: me
    - ansible.builtin.assert: {that: me.stdout == "operator"}
    - ansible.builtin.command: {cmd: "touch {{ dir }}/became", creates: "{{ dir }}/became"}
`)
	plain := append(u.env, "ANSIBLE_HOME="+u.dir, "ANSIBLE_NOCOLOR=1", "ANSIBLE_INVENTORY="+inventory, "ANSIBLE_LOCALHOST_WARNING=0",
		"ANSIBLE_PIPELINING=0", "ANSIBLE_REMOTE_TMP="+remote+"/tmp", "ANSIBLE_SCP_EXTRA_ARGS=-O -S "+u.ssh, "ANSIBLE_SFTP_EXTRA_ARGS=-S "+u.ssh)
	for _, c := range []struct{ name, variable string }{
		{"pipelining", "ANSIBLE_PIPELINING=1"},
		{"piped", "ANSIBLE_SSH_TRANSFER_METHOD=piped"},
		{"scp", "ANSIBLE_SSH_TRANSFER_METHOD=scp"},
		{"sftp", "ANSIBLE_SSH_TRANSFER_METHOD=sftp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u.env = append(plain[:len(plain):len(plain)], c.variable)
			if c.variable == "ANSIBLE_PIPELINING=1" {
				u.env = append(u.env, "ANSIBLE_SSH_TRANSFER_METHOD=piped") // of copies
				if told := u.must("ansible", "debug", "-m", "ping"); !strings.Contains(told, "pong") {
					t.Errorf("ping: %s", told)
				}
			}
			u.must("sh", "-c", "rm -rf fetched; rm -f "+remote+"/copied "+remote+"/page "+remote+"/became")
			u.must("ansible-playbook", "-e", "dir="+remote, playbook)
			u.must("cmp", inventory, remote+"/copied")
			if page, err := os.ReadFile(filepath.Join(u.dir, "fetched")); string(page) != "hello debug from one\n" {
				t.Errorf("the page that came back is %q, %v", page, err)
			}
			if owner := u.must("stat", "-c", "%U %a", remote+"/copied", remote+"/became"); !strings.HasPrefix(owner, "operator 640\noperator ") {
				t.Errorf("owners and modes: %s", owner)
			}
		})
	}
}

// mosh asks for the address that it came to, and goes on over UDP.
func TestSSHMosh(t *testing.T) {
	need(t, "mosh", "mosh-server", "mosh-client", "script")
	u := newSSHUser(t, func(_ *host, config object) {
		config["sources"].(object)["debug"].(object)["killOnExit"] = false // its server outlives the session
	})
	for _, c := range []struct {
		name string
		args []string
	}{
		{"remote", []string{"--experimental-remote-ip=remote"}},
		{"proxy", nil}, // through a ProxyCommand of mosh's own
	} {
		t.Run(c.name, func(t *testing.T) {
			line := append(append([]string{"mosh"}, c.args...), "--no-init", "debug@myhost", "--", "sh", "-c", `'echo mosh is $((40+2)); sleep 2'`)
			got := u.call("", "script", "-qec", "stty rows 24 cols 80; "+strings.Join(line, " "), "/dev/null")
			if got.code != 0 || !strings.Contains(got.stdout, "mosh is 42") {
				t.Errorf("%v: code %d\n%q\n%s", line, got.code, got.stdout, got.stderr)
			}
		})
	}
}

// docker's calls, as github.com/docker/cli has them in cli/connhelper: bytes both
// ways, each ending by itself.
func TestSSHDocker(t *testing.T) {
	u := newSSHUser(t, nil)
	remote := u.remoteDir()
	stand := remote + "/docker"
	u.must(u.ssh, "myhost", "printf '#!/bin/sh\\ntest \"$*\" = \"system dial-stdio\" && exec cat\\n' >"+stand+"; chmod +x "+stand)
	blob := strings.Repeat("GET /_ping HTTP/1.1\r\n\x00\xff", 100000)
	got := u.call(blob, u.ssh, "-o", "ConnectTimeout=30", "-T", "-l", "debug", "-p", fmt.Sprint(u.port), "--", "myhost", stand, "system", "dial-stdio")
	if got.code != 0 || got.stdout != blob {
		t.Errorf("code %d, %d bytes of %d: %s", got.code, len(got.stdout), len(blob), got.stderr)
	}
	if _, err := exec.LookPath("docker"); err != nil {
		t.Log("NOT RUN: docker's own client, which is not here")
	}
}

// What Remote-SSH of VS Code does before it needs a forward: its logs show
// "Checking ssh with "ssh -V"", then a script on the standard input of bash
// (microsoft/vscode-remote-release, issues 9409 and 10331).
func TestSSHOfVSCode(t *testing.T) {
	u := newSSHUser(t, nil)
	if got := u.call("", u.ssh, "-V"); got.code != 0 || got.stdout != "" || !strings.HasPrefix(got.stderr, "OpenSSH_") {
		t.Errorf("-V: %+v", got)
	}
	u.must(u.ssh, "-G", "myhost")
	script := "echo \"12ab: running\"\nuname -s\necho \"listeningOn==none==\"\n"
	got := u.call(script, u.ssh, "-T", "-o", "ConnectTimeout=15", "myhost", "bash")
	if got.code != 0 || got.stdout != "12ab: running\nLinux\nlisteningOn==none==\n" {
		t.Errorf("the script: %+v", got)
	}
	// Its tunnel is a forward: see TestSSHForwardOfVSCode. A source that allows none
	// is told of, and its shell is there.
	if got := u.call(script, u.ssh, "-T", "-D", fmt.Sprint(freePort(t)), "myhost", "bash"); got.code != 0 || !strings.Contains(got.stderr, "nothing is forwarded") {
		t.Errorf("-D: %+v", got)
	}
}
