#!/bin/sh
# After a removal. The user stays: files that it owns would belong to whoever gets its number.
set -e

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
if [ "$1" = purge ]; then
    rmdir --ignore-fail-on-non-empty /etc/authsync 2>/dev/null || true # keys in it are the operator's
fi
