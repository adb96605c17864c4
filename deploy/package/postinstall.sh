#!/bin/sh
# After an installation or an upgrade, of the deb and of the rpm. Nothing is started the first
# time, since authsync.env lacks a key; an upgrade restarts what runs.
set -e

if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers authsync.conf
elif ! getent passwd authsync >/dev/null; then
    useradd --system --user-group --home-dir /nonexistent --no-create-home \
        --shell /usr/sbin/nologin --comment 'authsync server' authsync
fi

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart authsync.service 'authsync@*.service'
fi
