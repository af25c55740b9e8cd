#!/usr/bin/env bash
# Installs what the tests run (tools.txt). As another user than root it only
# names what is missing and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PATH=$PATH:/usr/sbin:/sbin

# missing prints "tool package…" for every tool that is not there.
missing() {
	local tool packages
	while read -r tool packages; do
		case $tool in
		'' | '#'*) continue ;;
		/*) [ -e "$tool" ] && continue ;;
		*) command -v "$tool" >/dev/null && continue ;;
		esac
		printf '%s %s\n' "$tool" "$packages"
	done <tools.txt
}

complain() {
	printf 'The tests run programs that are missing here:\n' >&2
	sed 's/^\([^ ]*\) \(.*\)$/  \1 (Debian: \2)/' >&2
	printf '%s\n' "$1" >&2
	exit 1
}

lacking=$(missing)
[ -n "$lacking" ] || exit 0
[ "$(id -u)" -eq 0 ] || complain 'Install them, or run "make tools" as root.' <<<"$lacking"
command -v apt-get >/dev/null || complain 'There is no apt-get here: install them by hand.' <<<"$lacking"

# Daemons among the packages must not start. What stood in the way of theirs
# before is put back, also after a run that was killed.
policy=/usr/sbin/policy-rc.d
kept=$policy.before-shellagent
restore() {
	rm -f "$policy"
	[ ! -e "$kept" ] || mv "$kept" "$policy"
}
[ ! -e "$kept" ] || restore
[ ! -e "$policy" ] || mv "$policy" "$kept"
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 0755 "$policy"

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)
mapfile -t packages < <(cut -d' ' -f2- <<<"$lacking" | tr -s ' ' '\n' | sort -u)
printf 'installing: %s\n' "${packages[*]}"
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${packages[@]}"

lacking=$(missing)
[ -z "$lacking" ] || complain 'apt-get did not bring them.' <<<"$lacking"
