#!/bin/bash
# Draws docs/dashboard.svg: a minute of a real agent with some sessions, asked
# for by the dashboard's queries from a real Prometheus. Everything else is in a
# temporary directory and on 127.0.0.1. As root, with prometheus and python3 installed.
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo "run this as root: the agent's front has a user of its own then" >&2; exit 1; }
command -v prometheus >/dev/null || { echo "prometheus is missing: make tools installs it" >&2; exit 1; }
out=${1:-docs/dashboard.svg} seconds=${2:-60}
dir=$(mktemp -d)
pids=()
finish() {
	status=$?
	trap - EXIT INT TERM HUP
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait || true
	[ "$status" -eq 0 ] || tail -n 20 "$dir"/*.log >&2 || true
	rm -rf "$dir"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

within() { # SECONDS WHAT COMMAND…
	local until=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $until ] || { echo "waited in vain for $what" >&2; exit 1; }
		sleep 0.1
	done
}

export XDG_CONFIG_HOME=$dir/config XDG_STATE_HOME=$dir/state
agent=$dir/agent
cp bin/agent "$agent"
go build -o "$dir/picture" ./examples/grafana/picture
for key in host_key alice bob stranger; do "$agent" keys generate --batch -o "$dir/$key" >/dev/null 2>&1; done
mkdir -m 0700 "$dir/state.agent"
mv "$dir"/host_key* "$dir/state.agent/"
metrics=$(free) prometheus=$(free)
configure() {
	cat >"$dir/agent.json.new" <<-JSON
	{
	  "listen": {"address": "127.0.0.1:0"},
	  "stateDir": "$dir/state.agent",
	  "metrics": {"address": "127.0.0.1:$metrics"},
	  "audit": {"sinks": [
	    {"name": "siem", "type": "file", "path": "$dir/siem.jsonl"},
	    {"name": "down", "type": "https", "url": "http://127.0.0.1:1/"},
	  ]},
	  "verifyKeys": [
	    {"subject": "alice", "keys": ["$(cat "$dir/alice.pub")"]},
	    {"subject": "bob", "keys": ["$(cat "$dir/bob.pub")"], "sources": ["deploy"]},
	  ],
	  "exec": {"user": "nobody", "workDir": "/"},
	  "sources": {
	    "debug": {"shell": "/bin/sh", "record": true},
	    "deploy": {"shell": "/bin/sh"},
	    "root": {"shell": "/bin/sh", "exec": {"user": "root"}},
	  },
	  $1
	}
	JSON
	chmod 0600 "$dir/agent.json.new"
	mv "$dir/agent.json.new" "$dir/agent.json"
}
configure ''
"$agent" listen -c "$dir/agent.json" --port-file "$dir/port" 2>"$dir/agent.log" &
broker=$!
pids+=("$broker")
within 20 'the agent' test -s "$dir/port"

sed "s/127.0.0.1:9464/127.0.0.1:$metrics/; s/_interval: 15s/_interval: 1s/" examples/prometheus/prometheus.yml >"$dir/prometheus.yml"
cp examples/prometheus/rules.yml "$dir"
(cd "$dir" && exec prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address="127.0.0.1:$prometheus" 2>prometheus.log) &
pids+=($!)
within 30 'prometheus' grep -q 'Server is ready' "$dir/prometheus.log"

fingerprint=$("$agent" keys fingerprint "$dir/state.agent/host_key.pub")
# Both take the place of the shell that calls them, so that a signal reaches them.
as() { # KEY SOURCE SCRIPT
	exec "$agent" exec -q --batch -n -i "$dir/$1" -p "$(cat "$dir/port")" --fingerprint "$fingerprint" "$2" 127.0.0.1 \
		--command "$3" >/dev/null 2>>"$dir/client.log"
}
typist() { # types five lines a second for so many seconds
	exec "$agent" exec -q --batch -i "$dir/alice" -p "$(cat "$dir/port")" --fingerprint "$fingerprint" debug 127.0.0.1 \
		-- cat < <(for ((i = 0; i < $1 * 5; i++)); do echo "line $i"; sleep 0.2; done) >/dev/null 2>>"$dir/client.log"
}

end=$((SECONDS + seconds))
typist $((seconds - 10)) & pids+=($!)
turn=0
while [ $SECONDS -lt $end ]; do
	turn=$((turn + 1))
	as alice debug 'head -c 200000 /dev/urandom | base64; sleep 2' & pids+=($!)
	[ $((turn % 3)) -ne 0 ] || { as bob deploy 'sleep 7' & pids+=($!); }
	case $turn in
		8) as alice root 'sleep 12' & pids+=($!) ;;
		12 | 13 | 30) (as stranger debug true) || true; (as bob root true) || true ;;
		16) pkill -9 -P "$broker" -f front || true ;;
		22) configure '"sauces": {},'; kill -HUP "$broker" ;;
		28) configure ''; kill -HUP "$broker" ;;
		36) cp "$agent" "$agent.new"; mv "$agent.new" "$agent"; kill -HUP "$broker" ;;
	esac
	sleep 1
done
"$dir/picture" -prometheus "http://127.0.0.1:$prometheus" -last "${seconds}s" -o "$out"
echo "$out is drawn"
