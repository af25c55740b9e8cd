#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each, JOBS of them at
# once with one worker each (twice the processors when not said): so a minute of
# waiting gives every target its time, and all processors are busy. An input
# that fails is left in the package's testdata/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
usage='usage: fuzz.sh TIME [JOBS]'
each=${1:?$usage}
jobs=${2:-$((2 * $(nproc)))}

# one DIR TARGET: what the workers below run.
if [ "${1}" = --one ]; then
	dir=$2 target=$3
	out=$FUZZ_WORK/${dir//\//_}.$target.out
	# Minimizing by time takes a minute for every input whose coverage varies.
	fuzz() {
		(cd "$dir" && "$FUZZ_WORK/${dir//\//_}.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$FUZZ_EACH" \
			-test.fuzzminimizetime 100x -test.parallel 1 -test.fuzzcachedir "$FUZZ_CACHE/$dir" -test.timeout 0) >"$out" 2>&1
	}
	# When the time is over while a worker starts, testing sometimes calls that
	# a failure ("context deadline exceeded", go.dev/issue/75804). It is none if
	# no input was written down; then the target runs once more.
	if ! fuzz; then
		if grep -q 'Failing input written' "$out" || ! grep -q 'context deadline exceeded' "$out" || ! fuzz; then
			cat "$out"
			printf 'FAIL: %s in %s\n' "$target" "$dir" >&2
			exit 255 # xargs starts no other
		fi
	fi
	printf 'fuzz %s %s: %s\n' "$dir" "$target" "$(grep -o 'execs: [0-9]*' "$out" | tail -n 1)"
	exit 0
fi

FUZZ_WORK=$(mktemp -d)
trap 'rm -rf "$FUZZ_WORK"' EXIT
FUZZ_CACHE=$(go env GOCACHE)/fuzz/$(go list -m)
FUZZ_EACH=$each
export FUZZ_WORK FUZZ_CACHE FUZZ_EACH

targets=$FUZZ_WORK/targets
: >"$targets"
# Only packages with fuzz targets are built, once each, instrumented as "go test
# -fuzz" does it.
dirs=$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u)
for dir in $dirs; do
	dir=${dir#./}
	bin=$FUZZ_WORK/${dir//\//_}.test
	go test -c -fuzz . -o "$bin" "./$dir"
	(cd "$dir" && "$bin" -test.list '^Fuzz') | grep '^Fuzz' | sed "s,^,$dir ," >>"$targets"
done
xargs -P "$jobs" -L 1 bash scripts/fuzz.sh --one <"$targets" || exit 1
printf '%s fuzz targets ran for %s each\n' "$(wc -l <"$targets")" "$each"
