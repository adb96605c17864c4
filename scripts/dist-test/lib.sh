# What the parts of dist-test.sh share.

# unmounted: nothing is mounted below $work any more. Caches of this machine are, and must not
# be there when it is removed.
unmounted() {
    local at
    for at in $(awk -v below="$work/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts | sort -r); do
        umount --lazy "$at"
    done
}
ended() {
    local process
    for process in $(jobs -p); do
        kill -TERM "$process" 2>/dev/null && wait "$process" || true
    done
    unmounted
}
trap ended EXIT

# fresh NAME: a Debian of its own, with /proc, in $work/NAME.
fresh() {
    mkdir "$work/$1"
    tar -C "$work/$1" -xf "$base"
    mount -t proc proc "$work/$1/proc"
    mount --bind /dev "$work/$1/dev"
    cp /etc/resolv.conf "$work/$1/etc/resolv.conf"
}

# discard ROOT
discard() {
    unmounted
    rm -rf --one-file-system "$1"
}

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# expect WHAT WANTED GOT
expect() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }

# until_true COMMAND…: waits for something that another process does.
until_true() {
    local end=$((SECONDS + 120))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fail "in two minutes not true: $*"
        sleep 0.2
    done
}

# address_in LOG: where the server listens, by its log.
address_in() { sed -n 's#.*"msg":"server_started","url":"http://\([^"]*\)".*#\1#p' "$1" | grep .; }

# databases NAME: two databases on the server of the test, control and project.
databases() {
    psql -qXd "$TEST_DATABASE_URL" -c "CREATE DATABASE $1_control" -c "CREATE DATABASE $1_project"
    control=$(other_database "$1_control")
    project=$(other_database "$1_project")
}
other_database() { sed -E "s#^(postgres(ql)?://[^/]+/)[^?]*#\1$1#" <<<"$TEST_DATABASE_URL"; }
