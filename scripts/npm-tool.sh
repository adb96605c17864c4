#!/usr/bin/env bash
# Installs packages of npm into a folder of .bin, or of an absolute path:
# npm-tool.sh FOLDER 'PACKAGE@VERSION …' 'WHAT, WHICH DOES SOMETHING'
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v npm >/dev/null; then
    echo "$3, is installed with npm, which is missing:" >&2
    echo 'apt-get install npm (Debian, Ubuntu), brew install node (macOS)' >&2
    exit 1
fi
case "$1" in /*) folder=$1 ;; *) folder=.bin/$1 ;; esac
read -ra packages <<<"$2"
npm install --prefix "$folder" --no-save --no-package-lock --no-audit --no-fund "${packages[@]}"
