#!/usr/bin/env bash
# Unpacks Debian's package of Prometheus into the cache and prints the folder of `prometheus` and `promtool` as the last
# line. Nothing is installed and no service is started: apt only fetches and verifies the file, dpkg-deb opens it.
# Exit status 3, with the reason on stderr, where it cannot be had: no Debian, another release of it, no way to its mirror.
# 2.42 is the version of Debian 12, and what is pinned: remote write 1.0, native histograms, no OTLP of its own.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
version=2.42.0+ds-5+deb12u1
# Of the file; on another machine than this one apt's own check against Debian's signed index has to do.
amd64_sha256=81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55

cannot() {
    say "prometheus: $*"
    exit 3
}

for program in apt-get dpkg dpkg-deb; do
    command -v "$program" >/dev/null 2>&1 || cannot "$program is not on the path: this is no Debian"
done
architecture=$(dpkg --print-architecture)
final="$(cache_dir)/prometheus-$version-$architecture"
if [ -x "$final/promtool" ]; then
    say "prometheus: $version is here"
    printf '%s\n' "$final"
    exit 0
fi

mkdir -p "$(cache_dir)"
work=$(mktemp -d "$(cache_dir)/prometheus-fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
# As root apt fetches as a user of its own, which has to be able to write here.
chmod 755 "$work"
mkdir -m 777 "$work/deb"

download() { (cd "$work/deb" && apt-get -q -o Acquire::Retries=3 download "prometheus=$version") >"$work/apt.log" 2>&1; }

say "prometheus: fetching $version"
if ! download; then
    # An image without package lists, or with old ones.
    if [ "$(id -u)" -eq 0 ]; then apt-get -q update >"$work/apt.log" 2>&1 || true; fi
    download || cannot "apt cannot fetch prometheus=$version: $(tail -n 1 "$work/apt.log")"
fi
deb=$(find "$work/deb" -name '*.deb')
if [ "$architecture" = amd64 ]; then
    printf '%s  %s\n' "$amd64_sha256" "$deb" | sha256sum --check --status ||
        die "prometheus: the file that apt fetched has not the pinned checksum"
fi
dpkg-deb -x "$deb" "$work/tree"
mkdir "$work/out"
mv "$work/tree/usr/bin/prometheus" "$work/tree/usr/bin/promtool" "$work/out/"
# Says at once when a library is missing.
"$work/out/promtool" --version >&2 || cannot "promtool does not run here"
publish "$work/out" "$final"
printf '%s\n' "$final"
