#!/usr/bin/env bash
# Installs a package of npm into a folder of .bin: npm-tool.sh FOLDER PACKAGE@VERSION 'WHAT, WHICH DOES SOMETHING'
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v npm >/dev/null; then
    echo "$3, is installed with npm, which is missing:" >&2
    echo 'apt-get install npm (Debian, Ubuntu), brew install node (macOS)' >&2
    exit 1
fi
npm install --prefix ".bin/$1" --no-save --no-package-lock --no-audit --no-fund "$2"
