#!/bin/sh
# The main job, from a clean checkout: keys, an agent, and a shell through it,
# all on 127.0.0.1 and in a temporary directory. Leaves nothing running.
set -eu

agent=${1:-bin/agent}
dir=$(mktemp -d)
pid=
finish() {
	status=$?
	trap - EXIT INT TERM HUP
	if [ -n "$pid" ]; then
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	fi
	if [ "$status" -ne 0 ] && [ -f "$dir/agent.log" ]; then
		printf '\nthe agent said:\n' >&2
		cat "$dir/agent.log" >&2
	fi
	rm -rf "$dir"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

export XDG_CONFIG_HOME="$dir/config" XDG_STATE_HOME="$dir/state"

say "1. a key for the agent (the host key) and one for you"
"$agent" keys generate --batch -o "$dir/host_key"
"$agent" keys generate --batch -o "$dir/alice"

say "2. an agent on 127.0.0.1, which lets your key open the source \"debug\""
mkdir -m 0700 "$dir/agent"
mv "$dir/host_key" "$dir/host_key.pub" "$dir/agent/"
cat >"$dir/agent.json" <<JSON
{
  "listen": {"address": "127.0.0.1:0"},
  "stateDir": "$dir/agent",
  "verifyKeys": ["$(cat "$dir/alice.pub")"],
  "exec": {"user": "$(id -un)"},
  "sources": {
    "debug": {
      "shell": "/bin/sh",
    },
  },
}
JSON
chmod 0600 "$dir/agent.json"
"$agent" check -c "$dir/agent.json"
"$agent" listen -c "$dir/agent.json" --port-file "$dir/port" 2>"$dir/agent.log" &
pid=$!
tries=0
until [ -s "$dir/port" ]; do
	kill -0 "$pid" 2>/dev/null || exit 1
	tries=$((tries + 1))
	[ "$tries" -le 200 ] || { echo "the agent did not start within 20 s" >&2; exit 1; }
	sleep 0.1
done
port=$(cat "$dir/port")

# The host key is known here without asking anybody: it was made above.
set -- -i "$dir/alice" -p "$port" --fingerprint "$("$agent" keys fingerprint "$dir/agent/host_key.pub")"

if [ -t 0 ] && [ -t 1 ]; then
	say "3. a shell through it: agent shell debug 127.0.0.1    (exit or ~. leaves it)"
	"$agent" shell "$@" debug 127.0.0.1 || true
else
	say "3. no terminal here, so a script through it: agent exec debug 127.0.0.1 --command …"
	"$agent" exec "$@" debug 127.0.0.1 --command '
		echo "hello from $(id -un) in a session of Shell Agent"
		uname -sm
		seq 1 100000 | cksum' </dev/null
fi
say "done: the agent is stopped and its files are gone"
