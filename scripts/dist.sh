#!/usr/bin/env bash
# Builds everything that a release has, apart from signatures and the bill of materials,
# into dist/: dist.sh GORELEASER [ARGUMENT…]
set -euo pipefail
cd "$(dirname "$0")/.."

set -a
eval "$(scripts/version.sh)"
set +a
if [[ $AUTHSYNC_VERSION == *.dirty ]]; then
    echo 'Files differ from the commit: what is built cannot be built from it by others.' >&2
fi
GOFLAGS= exec "$1" release --snapshot --clean --skip=sbom,sign "${@:2}"
