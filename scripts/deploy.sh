#!/usr/bin/env bash
# Makes deploy/ from the chart, and the chart's CRD from the generated one. A test holds them equal; run this after a
# change of charts/tracepipe or crds/.
#   scripts/deploy.sh            writes deploy/ and charts/tracepipe/crds
#   scripts/deploy.sh FOLDER     writes what would lie in deploy/ to another folder, and leaves the chart as it is
# TRACEPIPE_HELM3, TRACEPIPE_HELM4   which Helm; default: of $TRACEPIPE_CLUSTER_BIN, else `helm` on the path
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"

chart=charts/tracepipe
crd=tracingpipelines.tracepipe.dev.yaml
out=${1:-deploy}

find_helm() {
    for candidate in "${TRACEPIPE_HELM3:-}" "${TRACEPIPE_HELM4:-}" \
        ${TRACEPIPE_CLUSTER_BIN:+"$TRACEPIPE_CLUSTER_BIN/helm3" "$TRACEPIPE_CLUSTER_BIN/helm4"}; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    command -v helm || die "no Helm: name one in TRACEPIPE_HELM3"
}

# What only Helm reads, what would say that Helm manages the objects, and the empty lines with which Helm 4 ends each.
without_helm() {
    sed -e '/^# Source: /d' -e '/^ *helm\.sh\//d' -e '/^ *app\.kubernetes\.io\/managed-by: Helm$/d' |
        awk '/^$/ { empty++; next } { if ($0 != "---") while (empty > 0) { print ""; empty-- } empty = 0; print }'
}

helm=$(find_helm)
mkdir -p "$out/argocd"
[ $# -gt 0 ] || cp "crds/$crd" "$chart/crds/$crd"
cp "crds/$crd" "$out/crd.yaml"

{
    cat <<'END'
# Everything for `kubectl apply -f deploy/install.yaml`: the CRD, the operator with its rights, its namespace and the
# namespace `tracing`, whose TracingPipelines it serves. Made from the chart by scripts/deploy.sh; do not edit.
# `kubectl delete -f` of it takes every TracingPipeline and the namespace `tracing` along.
---
apiVersion: v1
kind: Namespace
metadata:
  name: tracepipe-system
  labels:
    app.kubernetes.io/part-of: tracepipe
    pod-security.kubernetes.io/enforce: restricted
END
    "$helm" template tracepipe "$chart" --namespace tracepipe-system --kube-version 1.34.0 --include-crds |
        without_helm
} >"$out/install.yaml"

{
    cat <<'END'
# health.lua as a setting of Argo CD. Made by scripts/deploy.sh; do not edit.
#   kubectl -n argocd patch configmap argocd-cm --patch-file deploy/argocd/argocd-cm-patch.yaml
data:
  resource.customizations.health.tracepipe.dev_TracingPipeline: |
END
    sed -e 's/^/    /' -e 's/ *$//' deploy/argocd/health.lua
} >"$out/argocd/argocd-cm-patch.yaml"
