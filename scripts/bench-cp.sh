#!/usr/bin/env bash
# agent cp beside rsync -a -e 'agent ssh', through one agent on this machine, in
# turns: 10,000 small files and one of 2 GB, to the target and from it. Each row
# has the median seconds of both, and the median of each turn's ratio: below 1
# agent cp is the quicker one.
#
#	scripts/bench-cp.sh AGENT [ROUNDS [ROWS]]
#
# ROWS is a regular expression. The files are below BENCH_DIR (default: /dev/shm,
# where no disk has a part in it), which needs 5 GB.
set -euo pipefail
agent=$(readlink -f "$1") rounds=${2:-7} rows=${3:-.}
command -v rsync >/dev/null || { echo "rsync is missing" >&2; exit 1; }

dir=$(mktemp -d -p "${BENCH_DIR:-/dev/shm}")
pid=
trap '[ -z "$pid" ] || { kill "$pid" && wait "$pid" || true; }; rm -rf "$dir"' EXIT
export HOME=$dir/home XDG_CONFIG_HOME=$dir/home/config XDG_STATE_HOME=$dir/home/state
mkdir -p "$XDG_CONFIG_HOME/shellagent" "$dir/small" "$dir/out"
"$agent" keys generate --batch -o "$dir/key" >/dev/null 2>&1
port=$((20000 + RANDOM % 10000))
cat >"$dir/agent.json" <<END
{"listen": {"address": "127.0.0.1:$port"}, "stateDir": "$dir/state", "verifyKeys": ["$(cat "$dir/key.pub")"],
 "sources": {"debug": {"shell": "/bin/bash", "exec": {"user": "$(id -un)"}}}}
END
cat >"$XDG_CONFIG_HOME/shellagent/config.json" <<END
{"signingKeyPath": "$dir/key", "targets": {"host": {"hostname": "127.0.0.1", "port": $port, "source": "debug"}}}
END
chmod 600 "$dir/agent.json" "$XDG_CONFIG_HOME/shellagent/config.json"
"$agent" listen -c "$dir/agent.json" 2>"$dir/log" &
pid=$!
for ((i = 0; i < 100; i++)); do
	"$agent" exec -q --accept-new host -- true 2>/dev/null && break
	sleep 0.1
done

# 100 directories of 100 files of 0 to 8 kB, 40 MB in all.
head -c 50000000 /dev/urandom >"$dir/noise"
awk -v dir="$dir" 'BEGIN {
	srand(1); at = 0
	for (i = 0; i < 100; i++) {
		print "mkdir -p " dir "/small/d" i
		for (j = 0; j < 100; j++) { n = int(rand() * 8192); print "tail -c +" at + 1 " " dir "/noise | head -c " n " >" dir "/small/d" i "/f" j; at += n }
	}
}' | sh 2>/dev/null
rm "$dir/noise"
mkdir "$dir/large"
head -c 2000000000 /dev/urandom >"$dir/large/file"

took() { # seconds of a command
	local start=$EPOCHREALTIME
	"$@" >/dev/null 2>"$dir/said" || { echo "failed: $*" >&2; cat "$dir/said" >&2; exit 1; }
	awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}
clear_out() { rm -rf "$dir/out"; mkdir "$dir/out"; }
cp_to() { took "$agent" cp -q "$dir/$1" "host:$dir/out/"; }
cp_from() { took "$agent" cp -q "host:$dir/$1" "$dir/out/"; }
rsync_to() { took rsync -a -e "$agent ssh -q" "$dir/$1" "host:$dir/out/"; }
rsync_from() { took rsync -a -e "$agent ssh -q" "host:$dir/$1" "$dir/out/"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

printf '%-34s %10s %10s %7s\n' "" "agent cp" rsync ratio
for what in small large; do
	for way in to from; do
		[[ "$what $way" =~ $rows ]] || continue
		: >"$dir/ours" && : >"$dir/theirs" && : >"$dir/ratios"
		for ((round = 0; round < rounds; round++)); do
			for who in $( ((round % 2)) && echo cp rsync || echo rsync cp); do
				clear_out
				declare "$who=$("${who}_$way" "$what")"
				((round)) || diff -rq "$dir/$what" "$dir/out/$what" >&2
			done
			echo "$cp" >>"$dir/ours" && echo "$rsync" >>"$dir/theirs"
			awk -v a="$cp" -v b="$rsync" 'BEGIN { print a / b }' >>"$dir/ratios"
		done
		name="$([ $what = small ] && echo "10,000 small files" || echo "one file of 2 GB") $([ $way = to ] && echo "to the target" || echo "from the target")"
		printf '%-34s %9.2fs %9.2fs %7.2f\n' "$name" "$(median <"$dir/ours")" "$(median <"$dir/theirs")" "$(median <"$dir/ratios")"
	done
done
