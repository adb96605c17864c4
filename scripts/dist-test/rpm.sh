#!/usr/bin/env bash
# Reads the rpm with rpm's own tools: it has the deb's files, but where the two systems differ.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/dist-test/lib.sh
. scripts/dist-test/lib.sh

echo '--- rpm'
fresh rpm
root=$work/rpm
deb=$(echo "$dist"/authsync_*_amd64.deb)
cp "$dist"/authsync-*.x86_64.rpm "$root/tmp/authsync.rpm"
chroot "$root" rpm --query --package /tmp/authsync.rpm --queryformat '%{NAME} %{VERSION} %{RELEASE} %{LICENSE}\n'
chroot "$root" rpm --query --package /tmp/authsync.rpm --list | sort >"$work/rpm.files"
dpkg-deb --contents "$deb" | awk '$1 !~ /^d/ { print substr($6, 2) }' |
    sed 's#/usr/share/zsh/vendor-completions/#/usr/share/zsh/site-functions/#' | sort >"$work/deb.files"
missing=$(comm -23 "$work/deb.files" "$work/rpm.files")
expect 'files that the rpm lacks' '' "$missing"
expect 'rights of authsync.env' '100600 root root' \
    "$(chroot "$root" rpm --query --package /tmp/authsync.rpm --queryformat '[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME} %{FILEGROUPNAME}\n]' |
        sed -n 's#^/etc/authsync/authsync.env ##p')"
expect 'settings that an upgrade keeps' 4 "$(chroot "$root" rpm --query --package /tmp/authsync.rpm --configfiles | wc -l)"
chroot "$root" rpm --install --nodeps --dbpath /tmp/rpmdb /tmp/authsync.rpm # its dependencies are of another system
chroot "$root" authsync version
chroot "$root" getent passwd authsync >/dev/null || fail 'the rpm makes no user'
chroot "$root" rpm --erase --nodeps --dbpath /tmp/rpmdb authsync
[ ! -e "$root/usr/bin/authsync" ] || fail 'the rpm leaves its program'
discard "$root"
