#!/usr/bin/env bash
# Tests what `make dist` builds: dist-test.sh GORELEASER. It needs root and debootstrap.
#
#   twice       two checkouts of this commit give the same files, byte by byte
#   deb         it installs, serves, is upgraded and removed in a plain Debian
#   rpm         it has the same files and rights
#   dockerfile  its steps give an image that runs, without a builder of images
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
    echo 'It makes root directories: run it as root, with debootstrap (apt-get install debootstrap).' >&2
    exit 1
fi
goreleaser=$1
# Mounts are its own, and end with it.
if [ -z "${DIST_TEST_UNSHARED:-}" ]; then
    DIST_TEST_UNSHARED=1 exec unshare --mount --propagation private "$0" "$@"
fi
work=$(mktemp -d "${TMPDIR:-/var/tmp}/authsync-dist.XXXXXX")
chmod 0755 "$work"
cleanup() {
    if grep -q " $work/" /proc/self/mounts; then
        echo "something is still mounted below $work, which therefore stays" >&2
    else
        rm -rf --one-file-system "$work"
    fi
}
trap cleanup EXIT
export work goreleaser
go build -o .bin/ ./scripts/pg

echo '--- twice'
# Neither where it is, nor when, nor by whose rules for new files may matter. Both share
# what is compiled; COLD=1 compiles twice.
for copy in one two; do
    git clone --quiet . "$work/$copy/checkout"
done
(cd "$work/one/checkout" && scripts/dist.sh "$goreleaser" >"$work/one/log" 2>&1) || { cat "$work/one/log"; exit 1; }
(
    cd "$work/two/checkout"
    umask 077
    export TZ=Asia/Kolkata LC_ALL=C
    [ -z "${COLD:-}" ] || export GOCACHE=$work/two/cache
    scripts/dist.sh "$goreleaser" >"$work/two/log" 2>&1
) || { cat "$work/two/log"; exit 1; }
dist=$work/one/checkout/dist
diff "$dist/SHA256SUMS" "$work/two/checkout/dist/SHA256SUMS"
(cd "$dist" && sha256sum --check --quiet SHA256SUMS)
[ "$(wc -l <"$dist/SHA256SUMS")" = 8 ] || { echo 'SHA256SUMS has not 4 archives, 2 deb and 2 rpm'; cat "$dist/SHA256SUMS"; exit 1; }
cat "$dist/SHA256SUMS"
rm -rf "$work/two"
export dist

# A Debian for all that follows.
mkdir -p .cache
base=$PWD/.cache/debootstrap-bookworm.tar
if [ ! -e "$base" ]; then
    debootstrap --variant=minbase --include=ca-certificates,rpm,groff-base bookworm "$work/base" >"$work/debootstrap.log" ||
        { tail "$work/debootstrap.log"; exit 1; }
    tar -C "$work/base" -cf "$base.new" . && mv "$base.new" "$base"
    rm -rf "$work/base"
fi
export base

.bin/pg with scripts/dist-test/deb.sh
scripts/dist-test/rpm.sh
.bin/pg with scripts/dist-test/dockerfile.sh
echo '--- all of it holds'
