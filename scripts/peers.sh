#!/usr/bin/env bash
# Unpacks OpenSSH 10 and dropbear into a directory, for "make bench" to measure
# against. Nothing of the system's is replaced or configured, and no daemon is
# installed, so none can start: packages are fetched from Debian's mirror as this
# machine knows it, backports included, with lists and cache of their own.
set -euo pipefail
to=${1:?"usage: peers.sh DIRECTORY"}

[ ! -e "$to/complete" ] || exit 0
for tool in apt-get dpkg; do
	command -v "$tool" >/dev/null || {
		echo "There is no $tool here: OpenSSH 10 and dropbear come as Debian's packages." >&2
		exit 1
	}
done
. /etc/os-release
release=${VERSION_CODENAME:?"/etc/os-release names no release"}

# The mirror of the release itself, not that of its security updates.
mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
	awk -v release="$release" '$1 == release && $2 == "main" { print $3; exit }')
[ -n "$mirror" ] || {
	echo "apt knows no mirror of Debian's $release." >&2
	exit 1
}

rm -rf "$to"
mkdir -p "$to"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in "$release" "$release-backports"; do
	printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$suite"
done >"$work/sources.list"
apt=(
	apt-get -q -y
	-o "Dir::Etc::SourceList=$work/sources.list" -o "Dir::Etc::SourceParts=$work/parts"
	-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache"
	-o Acquire::Retries=3 -o APT::Sandbox::User=root
)
"${apt[@]}" update
packages=(dropbear-bin libtomcrypt1 libtommath1 libwrap0)
for name in openssh-server openssh-client openssh-sftp-server; do
	packages+=("$name/$release-backports")
done
(cd "$work" && "${apt[@]}" download "${packages[@]}")
for package in "$work"/*.deb; do
	dpkg -x "$package" "$to"
done
chmod 0755 "$to"
touch "$to/complete"
