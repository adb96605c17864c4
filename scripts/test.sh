#!/usr/bin/env bash
# Runs go test with the given arguments, and one PostgreSQL for the whole run: the
# one of TEST_DATABASE_URL, else that of make db/up, else a throw-away server.
# Without a package among the arguments: all packages.
set -euo pipefail
cd "$(dirname "$0")/.."

args=("$@")
case " $* " in
    *" ./"* | *" github.com/"*) ;;
    *) args+=(./...) ;;
esac

go build -o .bin/pg ./scripts/pg
if [ -z "${TEST_DATABASE_URL:-}" ] && url=$(.bin/pg url 2>/dev/null); then
    export TEST_DATABASE_URL="$url"
fi
if [ -n "${TEST_DATABASE_URL:-}" ]; then
    exec go test "${args[@]}"
fi
exec .bin/pg with go test "${args[@]}"
