#!/usr/bin/env bash
# Installs the deb in a plain Debian, does there what its units say, upgrades and removes it.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/dist-test/lib.sh
. scripts/dist-test/lib.sh

echo '--- deb'
fresh deb
root=$work/deb
units=$root/usr/lib/systemd/system
arch=$(dpkg --print-architecture)
deb=$(echo "$dist"/authsync_*_"$arch".deb)
listing() { (cd "$root" && find usr etc var/lib -xdev \( -path var/lib/dpkg -o -path var/lib/systemd \) -prune -o -print | sort); }
listing >"$work/before"

cp "$deb" "$root/tmp/authsync.deb"
chroot "$root" dpkg --install /tmp/authsync.deb
expect 'mode of authsync.env' '600 root root' "$(stat -c '%a %U %G' "$root/etc/authsync/authsync.env")"
expect 'mode of the binary' '755 root root' "$(stat -c '%a %U %G' "$root/usr/bin/authsync")"
chroot "$root" getent passwd authsync | grep -q ':/usr/sbin/nologin$' || fail 'user authsync can sign in'
chroot "$root" bash -c '. /usr/share/bash-completion/completions/authsync && complete -p authsync' >/dev/null
chroot "$root" authsync version
expect version "$(cd "$work/one/checkout" && scripts/version.sh | sed -n 's/^AUTHSYNC_VERSION=//p')" \
    "$(chroot "$root" authsync version --json | sed -n 's/.*"version": *"\([^"]*\)".*/\1/p')"
warnings=$(for page in "$root"/usr/share/man/man1/authsync*.gz; do zcat "$page"; done | chroot "$root" groff -Kutf8 -man -Tutf8 -ww -z 2>&1)
expect 'warnings about manual pages' '' "$warnings"

# What the units say is read from them.
setting() { sed -n "s/^$2=//p" "$units/$1" | sed "s/%i/${3:-}/g"; }
for unit in authsync.service authsync@.service authsync-migrate.service; do
    expect "user of $unit" authsync "$(setting $unit User)"
    [ -x "$root$(setting $unit ExecStart | cut -d' ' -f1)" ] || fail "$unit starts what is not there"
    if command -v systemd-analyze >/dev/null; then
        systemd-analyze security --offline=true --threshold=20 --no-pager "$units/$unit" >"$work/security" ||
            { cat "$work/security"; fail "$unit is exposed too much"; }
        tail -n 1 "$work/security"
    fi
done
if command -v systemd-analyze >/dev/null; then
    # Targets and the like that a Debian without systemd lacks are those of this machine.
    found=$(SYSTEMD_UNIT_PATH=$units: systemd-analyze verify --man=no --recursive-errors=no "$units"/authsync.service "$units"/authsync@worker.service 2>&1 |
        grep -i authsync | grep -v 'is not executable: No such file' || true)
    expect 'complaints of systemd' '' "$found"
fi

# unit UNIT [INSTANCE]: runs what the unit starts, as its user, with its environment and rights.
unit() {
    local file lines=() command
    for file in $(setting "$1" EnvironmentFile "${2:-}"); do
        case "$file" in -*) file=${file#-}; [ -e "$root$file" ] || continue ;; esac
        mapfile -t -O "${#lines[@]}" lines < <(grep -E '^[A-Z_]+=' "$root$file")
    done
    mapfile -t -O "${#lines[@]}" lines < <(setting "$1" Environment "${2:-}")
    read -ra command <<<"$(setting "$1" ExecStart "${2:-}")"
    exec chroot "$root" setpriv --reuid="$(setting "$1" User)" --regid="$(setting "$1" Group)" --init-groups \
        --no-new-privs --bounding-set=-all --inh-caps=-all env -i PATH=/usr/bin "${lines[@]}" "${command[@]}"
}

if (unit authsync.service) >"$work/log" 2>&1; then fail 'it serves without a key'; fi
grep -q 'AUTHSYNC_ENCRYPTION_KEY is not set' "$work/log" || { cat "$work/log"; fail 'it does not say that the key is missing'; }

databases dist_deb
cat >"$root/etc/authsync/authsync.env" <<END
DATABASE_URL=$control
AUTHSYNC_ENCRYPTION_KEY=$(openssl rand -base64 32)
AUTHSYNC_LISTEN=127.0.0.1:0
AUTHSYNC_DRAIN_DELAY=0s
AUTHSYNC_ALLOW_DATABASE_TARGETS=127.0.0.1
END
(unit authsync-migrate.service)
(unit authsync.service) >"$work/log" 2>&1 &
server=$!
as_admin() { # what an operator runs, as root, with the settings of the service
    local lines
    mapfile -t lines < <(grep -E '^[A-Z_]+=' "$root/etc/authsync/authsync.env")
    chroot "$root" env -i PATH=/usr/bin "${lines[@]}" AUTHSYNC_LISTEN="${address:-}" AUTHSYNC_URL="http://${address:-}" ${key:+AUTHSYNC_API_KEY=$key} "$@"
}
until_true address_in "$work/log"
address=$(address_in "$work/log")
as_admin authsync ready
expect 'user of the process' "$(chroot "$root" id -u authsync)" "$(stat -c %u "/proc/$server")"
key=$(as_admin authsync keys create dist)
echo "$project" | as_admin authsync projects create shop --database-url-file -
as_admin authsync integrations set shop auth0 --generate-secret >/dev/null
as_admin authsync send shop auth0 user.created --wait
expect 'rows of the mirror' 1 "$(psql -qXAtd "$project" -c 'SELECT count(*) FROM capydb_auth.users')"

# Beside it a role of its own, on an address of its own.
sed -i 's/:8081/:0/' "$root/etc/authsync/worker.env"
(unit authsync@.service worker) >"$work/log.worker" 2>&1 &
worker=$!
until_true address_in "$work/log.worker"
as_admin env AUTHSYNC_LISTEN="$(address_in "$work/log.worker")" authsync ready
grep -q '"roles":"worker"' "$work/log.worker" || { cat "$work/log.worker"; fail 'authsync@worker has another role'; }
for process in $server $worker; do
    kill -TERM "$process"
    wait "$process" || { cat "$work/log" "$work/log.worker"; fail 'it does not stop in order'; }
done

cp "$root/etc/authsync/authsync.env" "$work/kept"
chroot "$root" dpkg --install /tmp/authsync.deb >/dev/null
cmp "$work/kept" "$root/etc/authsync/authsync.env" || fail 'an upgrade changes the settings'
expect 'mode of authsync.env after the upgrade' 600 "$(stat -c %a "$root/etc/authsync/authsync.env")"
chroot "$root" dpkg --remove authsync >/dev/null
[ ! -e "$root/usr/bin/authsync" ] && [ ! -e "$units/authsync.service" ] || fail 'a removal leaves programs'
cmp "$work/kept" "$root/etc/authsync/authsync.env" || fail 'a removal takes the settings'
chroot "$root" dpkg --purge authsync >/dev/null
listing >"$work/after"
expect 'what a purge leaves' '' "$(diff "$work/before" "$work/after" | grep '^[<>]' | grep -vE ' etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$' || true)"
discard "$root"
