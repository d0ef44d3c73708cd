#!/usr/bin/env bash
# Compares us in full with programs that do the same; `make test` runs a smaller part of each.
#   scripts/peers.sh            all there is
#   scripts/peers.sh xray       the documents that the upstream collector v0.120.0 makes of 20,000 generated spans are those
#                               of the model tracepipe_xray::upstream, with four exporters' settings
#   scripts/peers.sh policies   every sampling policy: 300 random policy sets x 5,000 random traces through the upstream
#                               collector v0.161.0 and through us keep the same traces by the same policies, but for the
#                               documented differences, each of which is shown; policies with a budget stay within it
# TRACEPIPE_XRAY_SEED, _SPANS
# TRACEPIPE_POLICY_SEED, _SETS, _TRACES, _COLLECTORS, _BUDGET_SECONDS   another run than this one; a failure names them
# Needs Rust, a C compiler, Go 1.26 and, cold, the Go module proxy. Ten minutes on two cores when all is built.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"

xray() {
    if [ -z "${TRACEPIPE_OTELCOL_AWSXRAY:-}" ]; then
        TRACEPIPE_OTELCOL_AWSXRAY=$(e2e/tools/otelcol_awsxray/build.sh | tail -n 1)
        export TRACEPIPE_OTELCOL_AWSXRAY
    fi
    export TRACEPIPE_XRAY_SEED=${TRACEPIPE_XRAY_SEED:-1} TRACEPIPE_XRAY_SPANS=${TRACEPIPE_XRAY_SPANS:-20000}
    cargo test --workspace --test proc --locked --no-fail-fast -- xray_oracle:: --nocapture
}

# What policies are compared with.
prepare() {
    local where
    if [ -z "${TRACEPIPE_OTELCOL:-}" ]; then
        TRACEPIPE_OTELCOL=$(e2e/tools/otelcol/build.sh | tail -n 1)
        export TRACEPIPE_OTELCOL
    fi
    if [ -z "${TRACEPIPE_COLLECTOR:-}" ]; then
        where=$(scripts/build.sh collector)
        eval "$where"
    fi
}

policies() {
    export TRACEPIPE_POLICY_SEED=${TRACEPIPE_POLICY_SEED:-1} TRACEPIPE_POLICY_SETS=${TRACEPIPE_POLICY_SETS:-300}
    export TRACEPIPE_POLICY_TRACES=${TRACEPIPE_POLICY_TRACES:-5000}
    export TRACEPIPE_POLICY_COLLECTORS=${TRACEPIPE_POLICY_COLLECTORS:-12}
    export TRACEPIPE_POLICY_BUDGET_SECONDS=${TRACEPIPE_POLICY_BUDGET_SECONDS:-30}
    # One after the other: rates are kept by the clock, and nothing else should run beside.
    cargo test --workspace --test proc --locked --no-fail-fast -- \
        policies:: --nocapture --test-threads=1
}

case "${1:-all}" in
all)
    xray
    prepare
    policies
    ;;
xray) xray ;;
policies)
    prepare
    policies
    ;;
*) die "unknown argument $1: all, xray or policies" ;;
esac
