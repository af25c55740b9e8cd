#!/usr/bin/env bash
# Boots a throw-away machine for tests: systemd-nspawn over a copy-on-write
# layer of this machine's own root, with nothing but a loopback network, no
# service but systemd's own, and nothing of it left when it ends.
#
#   machine.sh DIR [SECONDS]      as root; ends when killed, or after 180 s
#
# DIR is an empty directory. When the machine is up, DIR/leader has the process
# id of its init, for
#
#   nsenter --target "$(cat DIR/leader)" --all --root --wd COMMAND
#
# The machine sees DIR/share, read-only, as /mnt/share. DIR/console has what it
# printed.
set -euo pipefail

if [ "${1:-}" != inside ]; then
	[ "$(id -u)" -eq 0 ] || { echo "machine.sh: needs root" >&2; exit 1; }
	exec timeout --kill-after=10 "${2:-180}" unshare --mount --propagation private "$0" inside "$1"
fi

dir=$(realpath "$2")
name=shellagent-$$
leader=
groups=()

finish() {
	trap '' EXIT INT TERM
	# The end of its init is the end of everything in it, and of nspawn.
	[ -z "$leader" ] || kill -KILL "$leader" 2>/dev/null || true
	wait
	for group in "${groups[@]}"; do
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
	done
}
trap finish EXIT
trap 'exit 143' INT TERM

mkdir -p "$dir/share" "$dir/fs"
mount -t tmpfs -o mode=0755,size=4g tmpfs "$dir/fs"
mkdir "$dir/fs/upper" "$dir/fs/work" "$dir/fs/root"
mount -t overlay -o "lowerdir=/,upperdir=$dir/fs/upper,workdir=$dir/fs/work" overlay "$dir/fs/root"
root=$dir/fs/root
# What nspawn keeps of its machines stays in here as well.
mount -t tmpfs -o mode=0755 tmpfs /run

# It is another machine, its daemons may start, and this one's do not.
: >"$root/etc/machine-id"
rm -f "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/etc/systemd/system/*.wants "$root/var/log/journal"

# A control group of its own, in each hierarchy that systemd uses.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
	if [ -f "$hierarchy/cgroup.procs" ] && mkdir "$hierarchy/$name" 2>/dev/null; then
		groups+=("$hierarchy/$name")
	fi
done

(
	for group in "${groups[@]}"; do
		echo "$BASHPID" >"$group/cgroup.procs"
	done
	exec systemd-nspawn --quiet --boot --directory="$root" --machine="$name" --keep-unit --register=no \
		--private-network --bind-ro="$dir/share:/mnt/share" --console=pipe
) </dev/null >"$dir/console" 2>&1 &
nspawn=$!

up() {
	leader=$(pgrep -o -P "$nspawn") || return 1
	[ -e "/proc/$leader" ] || return 1
	case $(nsenter --target "$leader" --all --root --wd systemctl is-system-running 2>/dev/null) in
	running | degraded) ;;
	*) return 1 ;;
	esac
}
tries=0
until up; do
	kill -0 "$nspawn" || exit 1
	tries=$((tries + 1))
	[ "$tries" -le 600 ] || { echo "machine.sh: not up within 60 s" >&2; exit 1; }
	sleep 0.1
done
echo "$leader" >"$dir/leader.new"
mv "$dir/leader.new" "$dir/leader"
wait "$nspawn"
