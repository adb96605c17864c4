#!/usr/bin/env bash
# Does what the Dockerfile says in plain roots: the stage "build" in a Debian with the Go that it
# names, the last one in a root that has what distroless/static has: accounts, certificates, /tmp.
# It reads the instructions that the file uses, and stops at any other one.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/dist-test/lib.sh
. scripts/dist-test/lib.sh

echo '--- dockerfile'
source=$work/one/checkout
eval "$(cd "$source" && scripts/version.sh)"

# The context, as .dockerignore leaves it.
paths=()
while read -r line; do
    case "$line" in
        '*' | '') ;;
        '!'*) paths+=(":(glob)${line#!}" ":(glob)${line#!}/**") ;;
        *) paths+=(":(exclude,glob)$line" ":(exclude,glob)$line/**") ;;
    esac
done <"$source/.dockerignore"
context=$work/context
mkdir "$context"
(cd "$source" && git ls-files -z -- "${paths[@]}" | xargs -0 cp --parents -t "$context")

declare -A roots
root='' dir=/ user=0:0 entrypoint='' command='' environment=()
stage() { # the root of an image
    case "$1" in
        golang:*-bookworm)
            wanted=go${1#golang:} wanted=${wanted%-bookworm}
            expect 'version of Go' "$wanted" "$(go env GOVERSION)"
            fresh build
            root=$work/build
            mkdir -p "$root/usr/local/go" "$root/go/pkg/mod" "$root/root/.cache/go-build"
            mount --bind "$(go env GOROOT)" "$root/usr/local/go"
            mount --bind "$(go env GOMODCACHE)" "$root/go/pkg/mod"
            mount --bind "$(go env GOCACHE)" "$root/root/.cache/go-build"
            environment=(PATH=/usr/local/go/bin:/usr/bin:/bin HOME=/root GOPATH=/go GOTOOLCHAIN=local "GOPROXY=$(go env GOPROXY)")
            ;;
        gcr.io/distroless/static-debian12:nonroot)
            root=$work/image
            mkdir -p "$root/etc/ssl/certs" "$root/tmp" "$root/home/nonroot" "$root/proc"
            chmod 1777 "$root/tmp"
            printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
            tar -xOf "$base" ./etc/ssl/certs/ca-certificates.crt >"$root/etc/ssl/certs/ca-certificates.crt"
            mount -t proc proc "$root/proc"
            environment=()
            ;;
        *) fail "the Dockerfile begins with $1, which this test does not know" ;;
    esac
    dir=/ user=0:0
}
declare -A given=([VERSION]=$AUTHSYNC_VERSION [COMMIT]=$AUTHSYNC_COMMIT [DATE]=$AUTHSYNC_DATE [TARGETOS]=linux [TARGETARCH]=$(go env GOARCH))
while read -r instruction rest; do
    case "$instruction" in
        '' | '#'*) ;;
        FROM)
            rest=${rest#--platform=* }
            read -r image as name <<<"$rest"
            stage "$image"
            [ "${as:-}" != AS ] || roots[$name]=$root
            ;;
        ARG) for name in $rest; do environment+=("$name=${given[$name]}"); done ;;
        WORKDIR) dir=$rest && mkdir -p "$root$dir" ;;
        COPY)
            from=$context
            if [[ $rest == --from=* ]]; then
                name=${rest#--from=} name=${name%% *} rest=${rest#* } from=${roots[$name]}
            fi
            read -ra files <<<"$rest"
            to=${files[-1]}
            unset 'files[-1]'
            [[ $to == /* ]] || to=$dir/$to
            if [[ $to == */ || $to == */. ]]; then mkdir -p "$root$to"; else mkdir -p "$root$(dirname "$to")"; fi
            for file in "${files[@]}"; do
                if [ -d "$from/$file" ]; then cp -r "$from/$file/." "$root$to"; else cp "$from/$file" "$root$to"; fi
            done
            ;;
        RUN) chroot "$root" env -i "${environment[@]}" /bin/sh -c "cd $dir && $rest" ;;
        ENV) environment+=("$rest") ;;
        EXPOSE) ;;
        USER) user=$rest ;;
        ENTRYPOINT) entrypoint=$(tr -d '[]",' <<<"$rest") ;;
        CMD) command=$(tr -d '[]",' <<<"$rest") ;;
        *) fail "the Dockerfile has $instruction, which this test does not know" ;;
    esac
done <"$source/Dockerfile"

# image COMMAND…: a container of the image, which is nobody.
image() { chroot --userspec="$user" "$root" $entrypoint "$@"; }
expect 'user of the image' 65532:65532 "$user"
image version
expect 'version of the image' "$AUTHSYNC_VERSION" "$(image version --json | sed -n 's/.*"version": *"\([^"]*\)".*/\1/p')"
if tar -C "$root" -c --exclude=./proc . | tar -t | grep -E '/(sh|bash|go)$'; then fail 'the image has more than the program'; fi

databases dist_image
key_file=$root/encryption.key
openssl rand -base64 32 >"$key_file"
echo "$control" >"$root/database.url"
chown 65532:65532 "$key_file" "$root/database.url" && chmod 0400 "$key_file" "$root/database.url"
settings=("${environment[@]}" DATABASE_URL_FILE=/database.url AUTHSYNC_ENCRYPTION_KEY_FILE=/encryption.key AUTHSYNC_LISTEN=127.0.0.1:0
    AUTHSYNC_DRAIN_DELAY=0s AUTHSYNC_ALLOW_DATABASE_TARGETS=127.0.0.1)
# become COMMAND…: this process becomes it, so that its number is known.
become() { exec env -i "${settings[@]}" /usr/sbin/chroot --userspec="$user" "$root" $entrypoint "$@"; }
run() { (become "$@"); }
run migrate up
(become $command) >"$work/log" 2>&1 &
server=$!
until_true address_in "$work/log"
settings+=("AUTHSYNC_LISTEN=$(address_in "$work/log")")
run ready # the health check of compose.yaml
token=$(run keys create image)
settings+=("AUTHSYNC_URL=http://$(address_in "$work/log")" "AUTHSYNC_API_KEY=$token")
echo "$project" | run projects create shop --database-url-file -
run integrations set shop auth0 --generate-secret >/dev/null
run send shop auth0 user.created --wait
expect 'rows of the mirror' 1 "$(psql -qXAtd "$project" -c 'SELECT count(*) FROM capydb_auth.users')"
kill -TERM "$server"
wait "$server" || { cat "$work/log"; fail 'it does not stop in order'; }
discard "$work/build"
