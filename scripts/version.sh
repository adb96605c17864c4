#!/usr/bin/env bash
# Prints the version of this checkout as assignments for a shell, or for a file of
# variables: eval "$(scripts/version.sh)"
#
# A commit with a tag vX.Y.Z is that version. Any other one is a version before the next:
# 0.2.1-dev.20260131120000.g0123456789ab, ordered by the time of the commit; one whose
# files were changed ends in .dirty. SOURCE_DATE_EPOCH replaces the time of the commit
# as the date that files in packages get.
set -euo pipefail
cd "$(dirname "$0")/.."

commit=$(git rev-parse HEAD)
epoch=$(git log -1 --format=%ct)
dirty=
[ -z "$(git status --porcelain)" ] || dirty=.dirty

release='^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$'
tagged=$(git tag --points-at HEAD | grep -E "$release" | sort -V | tail -n 1 || true)
if [ -n "$tagged" ] && [ -z "$dirty" ]; then
    version=${tagged#v}
else
    last=$(git tag --merged HEAD | grep -E "$release" | sort -V | tail -n 1 || true)
    if [ -n "$last" ]; then
        next=${last#v}
        next=${next%.*}.$((${next##*.} + 1))
    else
        next=0.1.0
    fi
    version=$next-dev.$(TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd).g${commit:0:12}$dirty
fi

epoch=${SOURCE_DATE_EPOCH:-$epoch}
# The date command of GNU, then that of BSD.
date=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$epoch" +%Y-%m-%dT%H:%M:%SZ)
cat <<END
AUTHSYNC_VERSION=$version
AUTHSYNC_COMMIT=$commit
AUTHSYNC_DATE=$date
SOURCE_DATE_EPOCH=$epoch
END
