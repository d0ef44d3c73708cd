#!/usr/bin/env bash
# Builds what is run, in the release profile, and prints where it is, for a shell to take in:
#   scripts/build.sh        TRACEPIPE_COLLECTOR
#   scripts/build.sh demo   TRACEPIPE_COLLECTOR and TRACEPIPE_DEMO
# Needs Rust (rust-toolchain.toml) and a C compiler, for the cryptography library and the allocator.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"

need cargo "install Rust by rustup; rust-toolchain.toml names the version"
command -v "${CC:-cc}" >/dev/null 2>&1 ||
    die "no C compiler (${CC:-cc}) on the path: install one (on Debian: apt-get install gcc libc6-dev) or name it in CC"
need make "the allocator's build uses it"

# Two builds on purpose: in one, the demo's needs would switch on features of the collector's dependencies.
say "building the collector (release; some minutes when cold)"
cargo build --release --locked -p tracepipe-collector >&2
if [ "${1:-}" = demo ]; then
    say "building the demo"
    cargo build --release --locked -p tracepipe-e2e --bin tracepipe-demo >&2
fi

# Cargo knows where it builds; CARGO_TARGET_DIR and a user's configuration are respected.
target=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
printf 'export TRACEPIPE_COLLECTOR=%q\n' "$target/release/tracepipe-collector"
if [ "${1:-}" = demo ]; then printf 'export TRACEPIPE_DEMO=%q\n' "$target/release/tracepipe-demo"; fi
