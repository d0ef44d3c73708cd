#!/usr/bin/env bash
# Records what an API server makes of the objects that the operator applies: NAME.sent.yaml beside NAME.stored.json, for
# the tests of drift.rs. Needed when the plan sets a field that is not in them.
#
#   record.sh OPERATOR KUBECTL      with KUBECONFIG of a cluster that may be written to; `make cluster` gives one
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
operator=$1
kubectl=$2

"$kubectl" get namespace tracing >/dev/null || "$kubectl" create namespace tracing
ca=$(mktemp)
trap 'rm -f "$ca"' EXIT
printf -- '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n' >"$ca"

record() {
    local name=$1
    shift
    "$operator" render -f "../pipelines/$name.yaml" --node-region eu-west-1 "$@" >"$name.sent.yaml"
    "$kubectl" apply --server-side --field-manager=tracepipe-operator -f "$name.sent.yaml"
    "$kubectl" get -f "$name.sent.yaml" -o json --show-managed-fields >"$name.stored.json"
    "$kubectl" delete -f "$name.sent.yaml"
}

record minimal
record ambient
record full --image-pull-secrets pull-one,pull-two --priority-class tracepipe --extra-ca-file "$ca"
