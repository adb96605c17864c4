#!/usr/bin/env bash
# Makes the two files of a new migration: new-migration.sh KIND NAME
set -euo pipefail
cd "$(dirname "$0")/../migrations"

kind=${1:-} name=${2:-}
case "$kind" in
    control | project) ;;
    *) echo 'KIND is control (authsync'"'"'s own database) or project (the mirror)' >&2; exit 2 ;;
esac
if ! [[ "$name" =~ ^[a-z]+(_[a-z0-9]+)+$ ]]; then
    echo 'NAME is verb_object, such as: make migrate/new KIND=control NAME=add_inbox_project_index' >&2
    exit 2
fi
files=("$kind"/[0-9]*.up.sql) # sorted by name
last=$(basename "${files[${#files[@]} - 1]}")
number=$(printf '%06d' $((10#${last:0:6} + 1)))
cat >"$kind/${number}_$name.up.sql" <<'SQL'
-- What it does.
--
-- Why:   the reason.
-- Locks: which tables, for how long, on how many rows.

SQL
cat >"$kind/${number}_$name.down.sql" <<'SQL'
-- What is lost by taking it back.

SQL
echo "migrations/$kind/${number}_$name.up.sql"
echo "migrations/$kind/${number}_$name.down.sql"
