#!/usr/bin/env bash
# Runs every fuzz test for FUZZTIME (default 30s); a find is kept in testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

found=0
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' internal | xargs -r -n1 dirname | sort -u); do
    for name in $(go test -list '^Fuzz' "./$dir" | grep '^Fuzz'); do
        found=1
        scripts/test.sh -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-30s}" "./$dir"
    done
done
[ "$found" = 1 ] || { echo 'no fuzz tests were found' >&2; exit 1; }
