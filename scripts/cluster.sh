#!/usr/bin/env bash
# A real Kubernetes cluster of two nodes on this machine (e2e/src/cluster.rs says how). Linux, root; one at a time.
#   scripts/cluster.sh               starts one with the operator, one TracingPipeline and a fake AWS, leaves it running,
#                                    and prints how to use and remove it
#   scripts/cluster.sh down          removes it, or what is left of one
#   scripts/cluster.sh test [ARGS]   runs the tests of e2e/tests/node on clusters of their own; ARGS go to their harness,
#                                    and then only one cluster is started. Logs stay in target/cluster-logs.
#   scripts/cluster.sh run COMMAND   runs a command with an empty cluster
# TRACEPIPE_CLUSTER_BIN   programs of e2e/tools/cluster/build.sh; made when not named
# TRACEPIPE_IMAGES        images of scripts/images.sh; made when not named
# TRACEPIPE_PYTHON        of e2e/tools/setup.sh; without it the tests with Python applications are left out
# Needs Rust, a C compiler, Go 1.26 and Python 3; installs containerd, runc, iptables and CNI plugins from Debian.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"

need cargo "install Rust by rustup; rust-toolchain.toml names the version"
[ "$(id -u)" -eq 0 ] || die "network namespaces and containers need root"
# A Helm of the caller's may have settings, plugins and a cache of its own; these are the cluster's.
unset HELM_DRIVER HELM_NAMESPACE HELM_KUBECONTEXT

# made VARIABLE COMMAND: what a script of ours prints, unless the caller has named it.
made() {
    local where
    if [ -z "${!1:-}" ]; then
        # shellcheck disable=SC2086 # words on purpose
        where=$($2)
        eval "$where"
    fi
}

# Sets `built`, where the cluster's own program and the fake AWS are, and `cluster`. Not in the release profile: they
# mostly wait, and the tests of this workspace have compiled most of it already.
prepare_program() {
    say "building the cluster's own program (some minutes when cold)"
    cargo build --locked --workspace --bin tracepipe-cluster --bin fake-aws >&2
    built=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug
    cluster="$built/tracepipe-cluster"
}

prepare() {
    made TRACEPIPE_CLUSTER_BIN e2e/tools/cluster/build.sh
    export TRACEPIPE_CLUSTER_BIN
    prepare_program
}

# Sets the array `wanted`: what the operator and its tests need of a cluster.
prepare_whole() {
    prepare
    made TRACEPIPE_IMAGES scripts/images.sh
    wanted=(--image "$TRACEPIPE_IMAGES/operator.tar" --image "$TRACEPIPE_IMAGES/collector.tar"
        --image "$TRACEPIPE_CLUSTER_BIN/echo.tar" --image "$TRACEPIPE_CLUSTER_BIN/pause.tar" --fake-aws "$built/fake-aws")
}

up() {
    local where
    prepare_whole
    where=$("$cluster" up "${wanted[@]}")
    printf '%s\n' "$where"
    made TRACEPIPE_OPERATOR "scripts/build.sh operator"
    # An operator that cannot be installed is something to look at, so the cluster stays.
    eval "$where"
    trap 'say "the operator could not be installed; the cluster runs all the same (scripts/cluster.sh down removes it)"' ERR
    install_operator
}

# The operator's own role with the policy that it prints, then the chart with the authority of the fake AWS.
install_operator() {
    say "installing the operator"
    python3 - "$TRACEPIPE_FAKE_AWS/_fake/" <(kubectl get --raw /.well-known/openid-configuration) \
        <("$TRACEPIPE_OPERATOR" iam-policy --account 111122223333 --cluster-name prod-eu) <<'PYTHON'
import json, sys, urllib.request
control, discovery, policy = sys.argv[1:]
issuer = json.load(open(discovery))["issuer"].removeprefix("https://")
account = "arn:aws:iam::111122223333"
trust = {"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow",
    "Principal": {"Federated": f"{account}:oidc-provider/{issuer}"},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {"StringEquals": {
        f"{issuer}:sub": "system:serviceaccount:tracepipe-system:tracepipe",
        f"{issuer}:aud": "sts.amazonaws.com",
    }},
}]}
def post(path, body):
    request = urllib.request.Request(control + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request)
post("roles", {"arn": f"{account}:role/tracepipe-operator", "trust": trust})
post("iam/policy", json.load(open(policy)))
PYTHON
    helm4 install tracepipe charts/tracepipe --namespace tracepipe-system --create-namespace \
        --set image.operator.pullPolicy=Never --set image.collector.pullPolicy=Never \
        --set aws.clusterName=prod-eu --set aws.operatorRoleArn=arn:aws:iam::111122223333:role/tracepipe-operator \
        --set-file aws.caBundle="$TRACEPIPE_AWS_CA" --wait --timeout 3m >&2
    kubectl apply -f deploy/examples/pipeline-minimal.yaml >&2
    kubectl wait --for condition=Ready --timeout 3m --namespace tracing tracingpipeline/otel-collector >&2
    kubectl get tracingpipelines --all-namespaces >&2
}

# The tests that start clusters go first: no other cluster may run beside them.
tests() {
    local status=0 logs
    prepare_whole
    made TRACEPIPE_OPERATOR "scripts/build.sh operator"
    export TRACEPIPE_OPERATOR
    cargo test --locked --workspace --test node --no-run >&2
    logs="$(dirname "$TRACEPIPE_IMAGES")/cluster-logs"
    rm -rf "$logs"
    if [ $# -eq 0 ]; then
        node_tests --test-threads=1 lifecycle:: || status=$?
    fi
    export -f node_tests
    "$cluster" run "${wanted[@]}" --keep-logs "$logs" -- bash -euo pipefail -c "$(declare -f on_cluster); on_cluster \"\$@\"" \
        on_cluster "$@" || status=$?
    [ "$status" -eq 0 ] || say "the logs of the cluster are in $logs"
    return "$status"
}

node_tests() { cargo test --locked --workspace --test node -- "$@"; }

# on_cluster [ARGS]: first:: finds a cluster without anything; most tests wait for the cluster most of the time and run
# together; those of alone:: take something away that the others need.
on_cluster() {
    local status=0
    if [ $# -gt 0 ]; then
        node_tests "$@"
        return
    fi
    node_tests --test-threads=1 first:: || status=$?
    node_tests --test-threads=6 --skip lifecycle:: --skip first:: --skip alone:: || status=$?
    node_tests --test-threads=1 alone:: || status=$?
    return "$status"
}

case "${1:-up}" in
up) up ;;
down)
    prepare_program
    "$cluster" down
    ;;
test)
    shift
    tests "$@"
    ;;
run)
    shift
    [ $# -gt 0 ] || die "run needs a command"
    prepare
    exec "$cluster" run -- "$@"
    ;;
*) die "unknown argument $1: up, down, test or run" ;;
esac
