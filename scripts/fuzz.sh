#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each, one after the
# other. An input that fails is left in the package's testdata/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
each=${1:?usage: fuzz.sh TIME}

out=$(mktemp)
trap 'rm -f "$out"' EXIT

fuzz() { go test -run '^$' -fuzz "^$2\$" -fuzztime "$each" "./$1" >"$out" 2>&1; }

count=0
# Only packages with fuzz targets are built to be asked for their names.
dirs=$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u)
for dir in $dirs; do
	dir=${dir#./}
	listed=$(go test -list '^Fuzz' "./$dir")
	for target in $(grep '^Fuzz' <<<"$listed"); do
		# When the time is over while a worker starts, go test sometimes calls
		# that a failure ("context deadline exceeded", go.dev/issue/75804). It
		# is none if no input was written down; then the target runs once more.
		if ! fuzz "$dir" "$target"; then
			if grep -q 'Failing input written' "$out" || ! grep -q 'context deadline exceeded' "$out" || ! fuzz "$dir" "$target"; then
				cat "$out"
				printf 'FAIL: %s in %s\n' "$target" "$dir" >&2
				exit 1
			fi
		fi
		printf 'fuzz %s %s: %s\n' "$dir" "$target" "$(grep -o 'execs: [0-9]*' "$out" | tail -n 1)"
		count=$((count + 1))
	done
done
printf '%s fuzz targets ran for %s each\n' "$count" "$each"
