#!/usr/bin/env bash
# Builds the linter: golangci-lint.sh VERSION FILE. Two at a time, in two checkouts, do
# not disturb each other: what bears the name FILE is always whole.
set -euo pipefail

mkdir -p "$(dirname "$2")"
unfinished=$(mktemp -d "$2.XXXXXX")
trap 'rm -rf "$unfinished"' EXIT
GOBIN="$unfinished" go install -ldflags='-s -w' "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$1"
mv "$unfinished/golangci-lint" "$2"
