#!/usr/bin/env bash
# anew.sh FROM [TO]: writes a program in large pieces, in place of the file TO, or
# of FROM itself. So it lies in large folios of the page cache, and starts sooner
# than as a linker or tar leaves it, or the kernel that read it again piece by
# piece (docs/performance.md, "Start").
set -euo pipefail
from=$1 to=${2:-$1}
dd if="$from" of="$to.anew" bs=4194304 status=none
chmod --reference="$from" "$to.anew"
mv -f "$to.anew" "$to"
