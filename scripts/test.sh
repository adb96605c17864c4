#!/usr/bin/env bash
# Runs go test with the given arguments, and one PostgreSQL for the whole run: the
# one of TEST_DATABASE_URL, else that of make db/up, else a throw-away server.
# Without a package among the arguments: all packages. PG=17 in the environment: a
# throw-away server, and the tests' own servers, are of that version, from npm.
#
# It ends with the causes of what failed; the whole output is in .cache/test.log.
# With -v, and for benchmarks and fuzz tests, it is what go test prints.
set -euo pipefail
cd "$(dirname "$0")/.."

args=("$@")
case " $* " in
    *" ./"* | *" github.com/"*) ;;
    *) args+=(./...) ;;
esac
case " $*" in
    *" -timeout"*) ;;
    *) args=(-timeout=30m "${args[@]}") ;; # no test takes long; a crowded machine may
esac

case " $*" in
    *" -parallel"* | *" -bench"* | *" -fuzz"*) ;;
    *) args=(-parallel="$(($(getconf _NPROCESSORS_ONLN) * 2))" "${args[@]}") ;; # tests wait for jobs more than they compute
esac

go build -o .bin/ ./scripts/pg ./scripts/testsum
case " $* " in
    *" -v "* | *" -bench"* | *" -fuzz"* | *" -list"* | *" -json"*) command=(go test) ;;
    *) command=(.bin/testsum .cache/test.log go test) ;;
esac
if [ -n "${PG:-}" ]; then
    programs=$(scripts/postgresql.sh "$PG")
    export PATH="$programs:$PATH" REQUIRE_SQL_TOOLS= # which they came without
    exec .bin/pg with "${command[@]}" "${args[@]}"
fi
if [ -z "${TEST_DATABASE_URL:-}" ] && url=$(.bin/pg url 2>/dev/null); then
    export TEST_DATABASE_URL="$url"
fi
if [ -n "${TEST_DATABASE_URL:-}" ]; then
    exec "${command[@]}" "${args[@]}"
fi
exec .bin/pg with "${command[@]}" "${args[@]}"
