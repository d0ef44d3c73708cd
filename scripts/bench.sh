#!/usr/bin/env bash
# Measures our collector and the upstream one side by side and prints a table; docs/benchmarks.md says how to read it.
#   scripts/bench.sh                       the short form of all scenarios
#   scripts/bench.sh --full                at least five pairs, long runs: hours
#   scripts/bench.sh B4 B8                 only these
#   scripts/bench.sh --ours-only B4        without the upstream collector
#   scripts/bench.sh --collector PATH B4   another build of ours, nothing of it is built here
#   scripts/bench.sh --list                what there is
# Other arguments go to the program: scripts/bench.sh --help. Exit status 1 when a gate is missed or a run is void.
# Needs Rust and a C compiler, and Go for the upstream collector. Two cores; one scenario needs root for a cgroup.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"

collector=${TRACEPIPE_COLLECTOR:-} upstream=yes
for argument in "$@"; do
    case "$argument" in
    --collector | --collector=*) collector=given ;;
    --ours-only | --list | --help | -h) upstream=no ;;
    --upstream | --upstream=*) upstream=no ;;
    esac
    case "$argument" in --list | --help | -h) collector=given ;; esac
done

if [ -z "$collector" ]; then
    where=$(scripts/build.sh)
    eval "$where"
fi
if [ "$upstream" = yes ] && [ -z "${TRACEPIPE_OTELCOL:-}" ]; then
    TRACEPIPE_OTELCOL=$(e2e/tools/otelcol/build.sh)
    export TRACEPIPE_OTELCOL
fi
if [ "$upstream" = yes ] && [ -z "${TRACEPIPE_OTELCOL_AWSXRAY:-}" ]; then
    TRACEPIPE_OTELCOL_AWSXRAY=$(e2e/tools/otelcol_awsxray/build.sh | tail -n 1)
    export TRACEPIPE_OTELCOL_AWSXRAY
fi
need cargo "install Rust by rustup; rust-toolchain.toml names the version"
TRACEPIPE_REVISION=$(git describe --always --dirty 2>/dev/null || true)
export TRACEPIPE_REVISION

# A user's way to an unusual place for the build's files is respected.
where=$(release_env)
eval "$where"
say "building the bench (release; some minutes when cold)"
cargo build --release --locked -p tracepipe-e2e --bin tracepipe-bench >&2
exec "$TRACEPIPE_RELEASE/tracepipe-bench" "$@"
