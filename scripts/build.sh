#!/usr/bin/env bash
# Builds what is run, in the release profile, as files that need no library of the machine they run on, and prints where
# it is, for a shell to take in:
#   scripts/build.sh            TRACEPIPE_COLLECTOR
#   scripts/build.sh operator   TRACEPIPE_OPERATOR
#   scripts/build.sh images     TRACEPIPE_COLLECTOR and TRACEPIPE_OPERATOR
#   scripts/build.sh demo       both and TRACEPIPE_DEMO, which runs both
#   scripts/build.sh all        all there is: the three
# Needs Rust (rust-toolchain.toml) and a C compiler, for the cryptography library and the allocator.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"

case "${1:-collector}" in
collector) parts="collector" ;;
operator) parts="operator" ;;
images) parts="collector operator" ;;
demo | all) parts="collector operator demo" ;;
*) die "unknown argument $1: collector, operator, images, demo or all" ;;
esac

need cargo "install Rust by rustup; rust-toolchain.toml names the version"
command -v "${CC:-cc}" >/dev/null 2>&1 ||
    die "no C compiler (${CC:-cc}) on the path: install one (on Debian: apt-get install gcc libc6-dev) or name it in CC"
need make "the allocator's build uses it"
where=$(release_env)
eval "$where"

# A build for each on purpose: in one, the demo's needs would switch on features of the collector's dependencies.
for part in $parts; do
    say "building the $part (release; some minutes when cold)"
    case "$part" in
    collector) cargo build --release --locked -p tracepipe-collector --bin tracepipe-collector >&2 ;;
    operator) cargo build --release --locked -p tracepipe-operator --bin tracepipe-operator >&2 ;;
    demo) cargo build --release --locked -p tracepipe-e2e --bin tracepipe-demo >&2 ;;
    esac
done

for part in $parts; do
    printf 'export TRACEPIPE_%s=%q\n' "${part^^}" "$TRACEPIPE_RELEASE/tracepipe-$part"
done
