#!/usr/bin/env bash
# Checks the Helm chart: by helm lint, and by the types of Kubernetes what it renders with its
# defaults and with everything that is off by default: chart.sh HELM
set -euo pipefail
cd "$(dirname "$0")/.."

chart=deploy/helm/authsync
checker=.bin/chart
(cd scripts/chart && GOFLAGS= go build -o "../../$checker" .)
render() { "$1" template release "$chart" --kube-version 1.34 --namespace authsync --set secret.name=authsync "${@:2}"; }

"$1" lint --quiet --strict "$chart" --kube-version 1.34 --set secret.name=authsync
render "$1" | "$checker" >/dev/null
render "$1" --values scripts/chart/everything.yaml | "$checker"

# What must not be rendered.
refused() {
    if render "$@" >/dev/null 2>&1; then
        echo "the chart takes ${*:2}" >&2
        exit 1
    fi
}
refused "$1" --set secret.name=
refused "$1" --set config.AUTHSYNC_ENCRYPTION_KEY=secret
refused "$1" --set worker.roles=cook
refused "$1" --set worker.autoscaling.enabled=true,worker.keda.enabled=true
