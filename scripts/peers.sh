#!/usr/bin/env bash
# Compares us in full with programs that do the same; `make test` runs a smaller part of each.
#   scripts/peers.sh            all there is
#   scripts/peers.sh xray       the documents that the upstream collector v0.120.0 makes of 20,000 generated spans are those
#                               of the model tracepipe_xray::upstream, with four exporters' settings
#   scripts/peers.sh policies   every sampling policy: 300 random policy sets x 5,000 random traces through the upstream
#                               collector v0.161.0 and through us keep the same traces by the same policies, but for the
#                               documented differences, each of which is shown; policies with a budget stay within it
#   scripts/peers.sh amp        metrics of ten random generators, through the upstream collector v0.161.0 and through us, are
#                               the same series in two real Prometheus, but for the documented differences
#   scripts/peers.sh java       every data point that the OpenTelemetry Java agent sends is written with its value, labels and
#                               time, and stands on the page; left out where there is no JDK or no Maven
# TRACEPIPE_XRAY_SEED, _SPANS
# TRACEPIPE_AMP_SEED, _RUNS
# TRACEPIPE_POLICY_SEED, _SETS, _TRACES, _COLLECTORS, _BUDGET_SECONDS   another run than this one; a failure names them
# Needs Rust, a C compiler, Go 1.26 and, cold, the Go module proxy; for amp Debian's package of Prometheus, for java a JDK of
# 17 or newer, Maven and, cold, its Central repository. A quarter of an hour on two cores when all is built.
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

# The upstream collector and ours, as it is released.
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

# left_out STATUS WHAT: a peer that cannot be had is left out; any other failure, and with CI=true this one too, ends all.
left_out() {
    [ "$1" -eq 3 ] && [ "${CI:-}" != true ] || exit "$1"
    say "left out: $2: the line above says why"
}

amp() {
    local where first seed
    if [ -z "${TRACEPIPE_PROMETHEUS:-}" ]; then
        where=$(e2e/tools/prometheus/fetch.sh | tail -n 1) || {
            left_out $? "metrics beside upstream in a real Prometheus"
            return 0
        }
        export TRACEPIPE_PROMETHEUS="$where/prometheus"
    fi
    first=${TRACEPIPE_AMP_SEED:-1}
    cargo test --workspace --test proc --locked --no-run
    for ((seed = first; seed < first + ${TRACEPIPE_AMP_RUNS:-10}; seed++)); do
        say "amp: TRACEPIPE_AMP_SEED=$seed"
        TRACEPIPE_AMP_SEED=$seed cargo test --workspace --test proc --locked --no-fail-fast -- \
            amp_oracle::every_series_is_that_of_the_upstream_collector --exact --nocapture
    done
    cargo test --workspace --test proc --locked --no-fail-fast -- amp_oracle:: --nocapture \
        --skip every_series_is_that_of_the_upstream_collector
}

java_agent() {
    local agent
    if [ -z "${TRACEPIPE_JAVA_AGENT:-}" ]; then
        agent=$(e2e/tools/java/fetch.sh | tail -n 1) || {
            left_out $? "the Java agent's metrics"
            return 0
        }
        export TRACEPIPE_JAVA_AGENT="$agent"
    fi
    cargo test --workspace --test proc --locked --no-fail-fast -- java_agent:: --nocapture
}

case "${1:-all}" in
all)
    xray
    prepare
    policies
    amp
    java_agent
    ;;
xray) xray ;;
policies)
    prepare
    policies
    ;;
amp)
    prepare
    amp
    ;;
java)
    prepare
    java_agent
    ;;
*) die "unknown argument $1: all, xray, policies, amp or java" ;;
esac
