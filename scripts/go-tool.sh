#!/usr/bin/env bash
# Builds a tool that is written in Go: go-tool.sh PACKAGE@VERSION FILE. Two at a time, in
# two checkouts, do not disturb each other: what bears the name FILE is always whole.
set -euo pipefail

mkdir -p "$(dirname "$2")"
unfinished=$(mktemp -d "$2.XXXXXX")
trap 'rm -rf "$unfinished"' EXIT
GOBIN="$unfinished" GOFLAGS= go install -ldflags='-s -w' "$1"
mv "$unfinished"/* "$2"
