#!/usr/bin/env bash
# Packs Debian packages from built binaries, with nothing but dpkg-deb and what
# every Debian has. Two runs with the same inputs give the same bytes.
#
#   deb.sh VERSION ARCH BIN OUT
#
# VERSION is as git describe tells it; ARCH is Debian's word for the
# architecture; BIN has the built agent and agent-cli; OUT gets the packages.
#
# Environment: SOURCE_DATE_EPOCH dates everything (default: the last commit);
# DEB_COMPRESSION is dpkg-deb's -Z and -z (default: xz);
# DEB_MAINTAINER is "Name <address>".
set -euo pipefail
version=$1 arch=$2 bin=$3 out=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
packaging=$here/packaging
export LC_ALL=C TZ=UTC
umask 022

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || stat -c %Y "$here/CHANGELOG.md")}
export SOURCE_DATE_EPOCH
maintainer=${DEB_MAINTAINER:-Shell Agent maintainers <maintainers@shellagent.example>}
read -ra compression <<<"${DEB_COMPRESSION:--Zxz}"

# v1.2.3 is 1.2.3; v1.2.3-rc.1 comes before it and v1.2.3-4-gabcdef after it.
debian_version() {
	local v=${1#v}
	case $v in
	devel | '') v=0~git$(date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S) ;;
	esac
	v=$(sed -E 's/-dirty$/+dirty/; s/-([0-9]+)-(g[0-9a-f]+)/+\1.\2/; s/-/~/g' <<<"$v")
	dpkg --validate-version "$v"
	printf '%s\n' "$v"
}
version=$(debian_version "$version")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# document PROGRAM COMMAND-PATH writes manual pages and completions, once.
document() {
	(cd "$here" && GOOS='' GOARCH='' go run -tags mangen "$2" man "$work/$1.doc")
}

fill() {
	sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@MAINTAINER@/$maintainer/" -e "s/@SIZE@/${size:-0}/"
}

# without_apache leaves the text of the Apache License, which every Debian has,
# out of a file, also where it is one of several.
without_apache() {
	awk '
		/^[ \t]*Apache License[ \t]*$/ { skip = 1; print "Apache License, Version 2.0: /usr/share/common-licenses/Apache-2.0" }
		!skip { print }
		/^[ \t]*limitations under the License\.?[ \t]*$/ { skip = 0 }'
}

# license_texts FILE prints the licences of the modules that a binary contains:
# what is copied along must be, but for the one that every Debian has.
license_texts() {
	local module version dir file
	go version -m "$1" | awk '$1 == "dep" || $1 == "=>" { print $2, $3 }' | while read -r module version; do
		dir=$(cd "$here" && go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p')
		printf '\n\n%s %s\n%s\n' "$module" "$version" "$(tr -c '\n' = <<<"$module $version")"
		for file in "$dir"/LICENSE* "$dir"/COPYING* "$dir"/NOTICE*; do
			[ -f "$file" ] || continue
			printf '\n'
			without_apache <"$file"
		done
	done
	printf '\n\nGo\n==\n\n'
	cat "$(go env GOROOT)/LICENSE"
}

# common PACKAGE PROGRAM COMMAND lays out what both packages have.
common() {
	local package=$1 program=$2 command=$3 doc
	root=$work/$package
	doc=$root/usr/share/doc/$package
	mkdir -p "$root/DEBIAN" "$doc"
	install -D -m 0755 "$bin/$program" "$root/usr/bin/$package"
	ln -s "$package" "$root/usr/bin/$command"

	install -d "$root/usr/share/man/man1"
	install -m 0644 "$work/$program.doc/man1"/*.1 "$root/usr/share/man/man1/"
	gzip -9n "$root/usr/share/man/man1"/*.1
	ln -s "$command.1.gz" "$root/usr/share/man/man1/$package.1.gz"
	install -D -m 0644 "$work/$program.doc/completions/$program.bash" "$root/usr/share/bash-completion/completions/$command"
	install -D -m 0644 "$work/$program.doc/completions/_$program" "$root/usr/share/zsh/vendor-completions/_$command"
	install -D -m 0644 "$work/$program.doc/completions/$program.fish" "$root/usr/share/fish/vendor_completions.d/$command.fish"

	{ cat "$packaging/debian/copyright"; license_texts "$bin/$program"; } >"$doc/copyright"
	printf '%s (%s) unstable; urgency=medium\n\n  * What changed is in CHANGELOG.md.\n\n -- %s  %s\n' \
		"$package" "$version" "$maintainer" "$(date -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
	gzip -9nc "$here/CHANGELOG.md" >"$doc/CHANGELOG.md.gz"
	install -D -m 0644 "$packaging/debian/$package.lintian-overrides" "$root/usr/share/lintian/overrides/$package"
}

agent() {
	common shellagent agent agent
	install -D -m 0644 -t "$root/usr/lib/systemd/system" "$packaging/systemd/shellagent.service" "$packaging/systemd/shellagent.socket"
	install -D -m 0644 "$packaging/systemd/sysusers.conf" "$root/usr/lib/sysusers.d/shellagent.conf"
	install -D -m 0644 "$packaging/systemd/tmpfiles.conf" "$root/usr/lib/tmpfiles.d/shellagent.conf"
	install -D -m 0644 "$packaging/agent.json" "$root/etc/shellagent/agent.json"
	install -d "$root/etc/shellagent/sources.d"
	install -D -m 0644 "$packaging/needrestart.conf" "$root/etc/needrestart/conf.d/shellagent.conf"
	install -D -m 0644 -t "$root/usr/share/doc/shellagent/examples" "$packaging/systemd/confined.conf"
	cp -r "$here/examples/fail2ban" "$root/usr/share/doc/shellagent/examples/"
	install -D -m 0644 -t "$root/usr/share/doc/shellagent" "$here/README.md" "$here/SECURITY.md" "$here/PROTOCOL.md" "$here/docs/audit.md"
	gzip -9n "$root/usr/share/doc/shellagent"/*.md
}

client() { common shellagent-client agent-cli agent-cli; }

# pack PACKAGE writes the control files and the archive.
pack() {
	local package=$1 script size
	root=$work/$package
	size=$(du -k -s --apparent-size --exclude DEBIAN "$root" | cut -f1)
	fill <"$packaging/debian/$package.control" >"$root/DEBIAN/control"
	for script in postinst prerm postrm; do
		[ ! -f "$packaging/debian/$package.$script" ] || install -m 0755 "$packaging/debian/$package.$script" "$root/DEBIAN/$script"
	done
	if [ -d "$root/etc" ]; then
		(cd "$root" && find etc -type f | sort | sed 's,^,/,') >"$root/DEBIAN/conffiles"
	fi
	(cd "$root" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -print0 | sort -z | xargs -0 md5sum | sed 's,  \./,  ,') >"$root/DEBIAN/md5sums"
	find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	dpkg-deb --root-owner-group "${compression[@]}" --build "$root" "$out/${package}_${version}_$arch.deb" >&2
	printf '%s\n' "$out/${package}_${version}_$arch.deb"
}

mkdir -p "$out"
document agent ./cmd/agent
document agent-cli ./cmd/cli
agent
client
pack shellagent
pack shellagent-client
