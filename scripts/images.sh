#!/usr/bin/env bash
# Builds the images of collector and operator without a registry, as docker-archive tars under target/images, and prints
# where they are, for a shell to take in: TRACEPIPE_IMAGES. Take them in by one of
#   docker load -i target/images/operator.tar
#   ctr -n k8s.io images import target/images/operator.tar
# TRACEPIPE_COLLECTOR, TRACEPIPE_OPERATOR   binaries of scripts/build.sh; what is not named is built
# TRACEPIPE_CA_ROOTS                        the certificates to trust, PEM; default: Mozilla's, from Debian's package
# TRACEPIPE_REVISION                        the commit for the images' labels
# Needs Rust, a C compiler, binutils and Python 3.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"
readonly MOZILLA=/usr/share/ca-certificates/mozilla

need python3 "install Python 3"
need strip "install binutils"

for part in collector operator; do
    variable=TRACEPIPE_${part^^}
    if [ -z "${!variable:-}" ]; then
        where=$(scripts/build.sh "$part")
        eval "$where"
    fi
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Function names stay for a panic's backtrace; the line tables are five times the program.
for part in collector operator; do
    variable=TRACEPIPE_${part^^}
    strip --strip-debug -o "$scratch/$part" "${!variable}"
done

# Not the machine's own bundle: it may hold roots that only this machine's owner trusts.
roots=${TRACEPIPE_CA_ROOTS:-}
if [ -z "$roots" ]; then
    if [ ! -d "$MOZILLA" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "images: installing ca-certificates"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq ca-certificates; } >&2
    fi
    [ -d "$MOZILLA" ] || die "$MOZILLA is not there: install ca-certificates, or name the roots in TRACEPIPE_CA_ROOTS"
    roots="$scratch/roots.pem"
    LC_ALL=C find "$MOZILLA" -name '*.crt' -print0 | LC_ALL=C sort -z | xargs -0 cat >"$roots"
fi

metadata=$(cargo metadata --format-version 1 --no-deps --offline)
target=$(sed 's/.*"target_directory":"\([^"]*\)".*/\1/' <<<"$metadata")
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$version" ] || die "Cargo.toml names no version in [workspace.package]"

python3 scripts/images.py --out "$target/images" --version "$version" --ca-roots "$roots" \
    --binary "collector=$scratch/collector" --binary "operator=$scratch/operator"
printf 'export TRACEPIPE_IMAGES=%q\n' "$target/images"
