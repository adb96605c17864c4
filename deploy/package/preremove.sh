#!/bin/sh
# Before a removal, not before an upgrade: dpkg gives "remove", rpm the number 0.
set -e

case "$1" in
remove | 0)
    if [ -d /run/systemd/system ]; then
        systemctl disable --now authsync.service authsync@receiver.service authsync@worker.service authsync@api.service
    fi
    ;;
esac
