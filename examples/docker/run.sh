#!/bin/sh
# Runs the image with no more than the agent needs: to become other users, to
# give them their terminals, and to end their processes.
#
#   CONFIG=DIR run.sh [OPTIONS OF podman run] IMAGE
#
# DIR has agent.json. PODMAN is the command, if it is another one or needs options.
set -eu

# shellcheck disable=SC2086 # PODMAN is words
exec ${PODMAN:-podman} run \
	--cap-drop=all --cap-add=SETUID,SETGID,SETPCAP,CHOWN,FOWNER,DAC_OVERRIDE,KILL,SYS_PTRACE \
	--security-opt=no-new-privileges \
	--read-only --tmpfs=/tmp:mode=1777 \
	--ulimit=nofile=1024:16384 --ulimit=nproc=4096:4096 \
	--volume="${CONFIG:?where is agent.json?}:/etc/shellagent:ro" \
	--volume=shellagent-state:/var/lib/shellagent \
	--volume=shellagent-home:/home \
	"$@"
