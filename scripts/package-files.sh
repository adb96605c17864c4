#!/usr/bin/env bash
# Makes what packages have beside the binary: completions for shells and manual pages, in
# .cache/package. GoReleaser runs it before it builds.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=.cache/package
rm -rf "$dir"
mkdir -p "$dir/completions" "$dir/man"
CGO_ENABLED=0 go build -trimpath -o "$dir/authsync" ./cmd/authsync
for shell in bash zsh fish; do
    "$dir/authsync" completion "$shell" >"$dir/completions/authsync.$shell"
done
go run ./scripts/manpages "$dir/man" "$AUTHSYNC_VERSION" "$AUTHSYNC_DATE"
gzip -9 -n "$dir"/man/*.1
rm "$dir/authsync"
