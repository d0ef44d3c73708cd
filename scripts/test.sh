#!/usr/bin/env bash
# Runs the layers of tests in order, goes on after a failure, and ends with what ran, what was left out and why.
#   scripts/test.sh         all
#   scripts/test.sh lint    format, clippy, docs, licences
# Exit status 1 when anything failed. The last line is "N passed, N failed, N skipped": each test counts, and so does
# each layer that is one command; what was left out counts as skipped.
# TRACEPIPE_XRAY_SCHEMA  AWS's published schema of a segment document; without it that check is left out.
# CI=true                a missing program is a failure, not a reason to leave a layer out.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
# A relative path would mean another file to each process.
if [ -n "${TRACEPIPE_XRAY_SCHEMA:-}" ]; then
    [ -f "$TRACEPIPE_XRAY_SCHEMA" ] || die "TRACEPIPE_XRAY_SCHEMA names no file: $TRACEPIPE_XRAY_SCHEMA"
    TRACEPIPE_XRAY_SCHEMA=$(realpath "$TRACEPIPE_XRAY_SCHEMA")
    export TRACEPIPE_XRAY_SCHEMA
fi

# Nothing is built a second time in a new checkout; what lets a second build be quick makes the first one slower.
[ -d "${CARGO_TARGET_DIR:-target}" ] || export CARGO_INCREMENTAL=0

passed=0 failed=0 skipped=0
table=()    # a line for each layer that ran
left_out=() # "what: why"
child=0     # process group of the running layer; 0 when none runs
tools=0     # process group of start_tools; 0 when it does not run
absent=""   # programs that start_tools needs and did not find
readonly LAYER_LIMIT_S=1800 # a cold build on two cores takes a third; CI ends the whole at 5400
scratch=$(mktemp -d)

# stop_child: ends the running layer and all it started, which share a process group of their own.
stop_child() {
    local group=$child
    child=0
    [ "$group" -ne 0 ] || return 0
    kill -TERM -- "-$group" 2>/dev/null || return 0
    for _ in $(seq 50); do
        kill -0 -- "-$group" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$group" 2>/dev/null || true
}

# A child that is ended before it runs its command still has its parent's traps, and must not clean up for it.
finish() {
    [ "$BASHPID" -eq "$$" ] || return 0
    stop_child
    if [ "$tools" -ne 0 ]; then kill -TERM -- "-$tools" 2>/dev/null || true; fi
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# From "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 9 filtered out" to "3 0 1 9".
readonly CARGO_RESULT='s/^test result: [^.]*\. \([0-9]*\) passed; \([0-9]*\) failed; \([0-9]*\) ignored; [0-9]* measured; \([0-9]*\) filtered out.*/\1 \2 \3 \4/p'

# layer NAME PROGRAM ARGS...: runs one layer, shows its output as it comes, and counts. Never ends the script.
# The exit status is the command's, so that a caller can leave out what builds on it.
layer() {
    local name=$1 log="$scratch/log" started=$SECONDS status=0 shown line a b c d
    local results=0 ok=0 bad=0 ignored=0 other=0
    shift
    printf '\n== %s\n' "$name"
    : >"$log"
    # timeout gives the layer a process group of its own. The output goes by a file, not by a pipe: what a layer leaves
    # behind would hold a pipe open for ever. The shell only waits, so that a signal is heard at once.
    timeout --kill-after=10 "$LAYER_LIMIT_S" "$@" >"$log" 2>&1 </dev/null &
    child=$!
    tail -n +1 -f -s 0.2 --pid="$child" "$log" &
    shown=$!
    wait "$child" || status=$?
    stop_child
    wait "$shown" || true

    # The sum over cargo test's closing lines; none in a layer that is one command.
    while read -r a b c d; do
        results=$((results + 1)) ok=$((ok + a)) bad=$((bad + b)) ignored=$((ignored + c)) other=$((other + d))
    done < <(sed -n "$CARGO_RESULT" "$log")
    [ "$ignored" -eq 0 ] || left_out+=("$ignored tests of $name: marked as ignored in the code")
    # A test that finds a peer missing says so in a line of its own and ends; cargo counts it as passed.
    while read -r line; do
        left_out+=("$line")
        ok=$((ok - 1)) ignored=$((ignored + 1))
    done < <(sed -n 's/.*left out: //p' "$log")
    if [ "$results" -eq 0 ]; then
        [ "$status" -ne 0 ] || ok=1
    elif [ $((ok + bad + ignored)) -eq 0 ] && [ "$other" -gt 0 ]; then
        echo "no test has this name any more: $*"
        status=1
    fi
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + ignored))
    row "$name" "$((SECONDS - started))" "$ok" "$bad"
    case "$status" in
    0) printf '== %s: passed in %d s\n' "$name" "$((SECONDS - started))" ;;
    124 | 137) printf '== %s: FAILED: not over after %d s\n' "$name" "$LAYER_LIMIT_S" ;;
    *) printf '== %s: FAILED (status %d) in %d s\n' "$name" "$status" "$((SECONDS - started))" ;;
    esac
    return "$status"
}

row() { table+=("$(printf '%-34s %6s s %7s %7s' "$1" "$2" "$3" "$4")"); }

# leave_out WHAT WHY
leave_out() {
    left_out+=("$1: $2")
    skipped=$((skipped + 1))
    printf '\n== %s: left out: %s\n' "$1" "$2"
}

# missing PROGRAM...: prints those that are not on the path.
missing() {
    for program in "$@"; do command -v "$program" >/dev/null 2>&1 || printf '%s ' "$program"; done
}

closing() {
    printf '\n%-34s %8s %7s %7s\n' layer time passed failed
    printf '%s\n' "${table[@]}"
    printf '%-34s %6s s %7s %7s\n' all "$SECONDS" "$passed" "$failed"
    for one in "${left_out[@]}"; do printf 'left out: %s\n' "$one"; done
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ]
}

# === the layers ===

lint_layers() {
    layer "format" cargo fmt --all --check || true
    layer "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings || true
    # What the unit layer leaves out is no target to cargo unless it is named.
    layer "clippy, other tests" cargo clippy --workspace --test proc --test node --test chart --test tidy --locked -- \
        -D warnings || true
    layer "docs" env RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --workspace --no-deps --locked || true
    if [ -n "$(missing python3)" ]; then
        leave_out "licences and bans" "python3 is not on the path"
    else
        layer "licences and bans" python3 scripts/check_dependencies.py || true
    fi
}

# Every test that needs nothing but this checkout, examples in docs too: the others have `test = false` in a manifest and
# are called by their names below.
unit_layer() { layer "unit" cargo test --workspace --locked --no-fail-fast || true; }

# What is built by Go, Python and Node takes minutes when cold, on one core; the Rust layers before it leave half a core
# idle. So it starts first and is waited for where it is needed. A second run takes seconds.
start_tools() {
    absent=$(missing go python3 node npm)
    if [ -n "$absent" ] && [ "${CI:-}" != true ]; then return 0; fi
    # shellcheck disable=SC2016 # expanded by the shell that runs it
    nice setsid bash -c '{ e2e/tools/setup.sh >"$0/peers.env"; echo $? >"$0/peers.status"
        e2e/tools/cluster/build.sh >"$0/cluster.env"; echo $? >"$0/cluster.status"; } 2>"$0/tools.log"' \
        "$scratch" </dev/null >/dev/null 2>&1 &
    tools=$!
}

# wait_for NAME: shows what has been built, until NAME.status is there; ends with that status.
# shellcheck disable=SC2317 # called by layer
wait_for() {
    local shown status
    tail -n +1 -f -s 0.2 "$scratch/tools.log" &
    shown=$!
    until [ -s "$scratch/$1.status" ]; do sleep 0.5; done
    kill "$shown" 2>/dev/null || true
    read -r status <"$scratch/$1.status"
    return "$status"
}

# tools_layer LAYER NAME: takes in the variables of what start_tools made; leaves them out when it made nothing.
tools_layer() {
    if [ "$tools" -eq 0 ]; then
        leave_out "$1" "not on the path: $absent"
        return 1
    fi
    export scratch
    export -f wait_for
    layer "$1" bash -c "wait_for $2" || return 1
    eval "$(cat "$scratch/$2.env")"
}

# What the released binaries do: real processes, real clients, the upstream collector.
proc_layers() {
    local status=0
    # Not released themselves: built as the unit tests are. With --workspace, since the dependencies of one crate alone
    # have fewer features and would be compiled once more.
    local proc=(cargo test --workspace --test proc --locked --no-fail-fast --)
    # shellcheck disable=SC2016 # expanded by the shell that runs it
    layer "build" bash -c 'scripts/build.sh all >"$0"' "$scratch/build.env" || status=$?
    if [ "$status" -ne 0 ]; then
        leave_out "cross-process tests, parity, demo, cluster" "the release build failed"
        return 0
    fi
    eval "$(cat "$scratch/build.env")"
    layer "hot loops" scripts/hot_loops.sh || true

    tools_layer "peers and clients" peers || true
    tools_layer "cluster's programs" cluster || true
    layer "cross-process" "${proc[@]}" --skip parity:: --skip policies:: || true
    # Two collectors under load are compared by what they keep: alone on the machine, or a refusal makes the run void.
    if [ -n "${TRACEPIPE_OTELCOL:-}" ]; then
        layer "parity with upstream" "${proc[@]}" parity:: || true
        # Shown in full: how much was compared, and what budgets let through.
        layer "policies of upstream" "${proc[@]}" policies:: --nocapture --test-threads=1 || true
    else
        leave_out "parity with upstream, its policies" "there is no upstream collector to compare with"
    fi
    layer "demo" "$TRACEPIPE_DEMO" || true
    cluster_layers
}

# What people install: the chart, the images, the operator on a cluster of two nodes.
cluster_layers() {
    layer "chart" cargo test --workspace --test chart --locked --no-fail-fast || true
    if [ -z "${TRACEPIPE_CLUSTER_BIN:-}" ]; then
        leave_out "two-node cluster" "its programs could not be made"
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        leave_out "two-node cluster" "network namespaces and containers need root"
        return 0
    fi
    # shellcheck disable=SC2016 # expanded by the shell that runs it
    layer "images" bash -c 'scripts/images.sh >"$0"' "$scratch/images.env" || return 0
    eval "$(cat "$scratch/images.env")"
    layer "two-node cluster" scripts/cluster.sh test || true
}

need cargo "install Rust by rustup; rust-toolchain.toml names the version"
case "${1:-all}" in
all)
    start_tools
    lint_layers
    unit_layer
    proc_layers
    ;;
lint) lint_layers ;;
*) die "unknown argument $1: lint is the only one" ;;
esac
closing
