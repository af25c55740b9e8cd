#!/usr/bin/env bash
# Thousands of cuts, kills and upgrades, once, for an hour and a half at most; then
# every Go test again and again under the race detector: ROUNDS times at most, and
# no round begins after MINUTES. The last lines are the counts.
#
#	scripts/soak.sh [ROUNDS [MINUTES]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-20} minutes=${2:-120}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/testreport" ./scripts/testreport

status=0
SHELLAGENT_SOAK=1 go test -race -count=1 -timeout 90m -v \
	-run '^(TestEveryCut|TestLossless.*)$' ./shell/shellhttp ./e2e | tee "$work/lossless" || status=1

: >"$work/rounds"
SECONDS=0
for ((round = 1; round <= rounds && SECONDS < minutes * 60; round++)); do
	go test -json -race -count=1 -timeout 90m ./... | "$work/testreport" | tee "$work/round" || status=1
	echo "round $round: $(tail -n 1 "$work/round")" >>"$work/rounds"
done

echo
awk '/^=== (RUN|CONT|NAME)/ { name = $3 }
	/^ *[a-z_]+_test\.go:[0-9]+: .*[0-9]+ (cuts|kills|upgrades)/ { sub(/^ *[a-z_]+_test\.go:[0-9]+: /, ""); print name ": " $0 }
	/^--- / { print $2, $3, $4 }' "$work/lossless"
cat "$work/rounds"
exit "$status"
