#!/usr/bin/env bash
# Runs every Go test under the race detector, those of e2e/ when the others are
# done and the machine is theirs. The last line is the count.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/testreport" ./scripts/testreport

# As root nothing is missing, so nothing may be skipped.
flags=()
[ "$(id -u)" -ne 0 ] || flags=(-fail-skipped)

packages=$(go list ./...)
e2e=$(grep '/e2e$\|/e2e/' <<<"$packages" || true)
units=$(grep -v '/e2e$\|/e2e/' <<<"$packages")
{
	status=0
	# shellcheck disable=SC2086 # one word per package
	go test -json -race -count=1 -timeout 20m $units || status=1
	# Too many cases for the race detector, which has seen a tenth of them.
	go test -json -count=1 -timeout 5m -run '^TestEveryCut$' ./shell/shellhttp || status=1
	# Those that run beside each other mostly wait.
	# shellcheck disable=SC2086
	[ -z "$e2e" ] || go test -json -race -count=1 -parallel 4 -timeout 40m $e2e || status=1
	exit "$status"
} | "$bin/testreport" "${flags[@]}"
