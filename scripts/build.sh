#!/usr/bin/env bash
# Builds what is run and prints where it is, for a shell to take in; collector and operator in the release profile, as
# files that need no library of the machine they run on:
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
released=$(eval "$where" && printf '%s' "$TRACEPIPE_RELEASE")

# A build for each on purpose: in one, the needs of the one would switch on features of the other's dependencies.
release() {
    eval "$where"
    cargo build --release --locked "$@" >&2
}

for part in $parts; do
    path="$released/tracepipe-$part"
    case "$part" in
    collector | operator)
        say "building the $part (release; some minutes when cold)"
        (release -p "tracepipe-$part" --bin "tracepipe-$part")
        ;;
    demo)
        # Not released: built as the tests are, features and all.
        say "building the demo (some minutes when cold)"
        cargo build --locked --workspace --bin tracepipe-demo >&2
        path="${released%/*/release}${CARGO_BUILD_TARGET:+/$CARGO_BUILD_TARGET}/debug/tracepipe-demo"
        ;;
    esac
    printf 'export TRACEPIPE_%s=%q\n' "${part^^}" "$path"
done
