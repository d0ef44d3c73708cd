#!/usr/bin/env bash
# Builds the upstream collector of manifest.yaml into the cache and prints the path of its binary as the last line.
#   build.sh            reuse a build of the same inputs, else build: a minute or two warm, about five cold (2 cores)
#   build.sh --update   after a change of manifest.yaml: resolve again and rewrite go.mod and go.sum beside it
# Needs Go 1.26 and, cold, the Go module proxy.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
builder="$here/../builder"
version=v0.161.0

need go "install Go 1.26 or newer"
# The build depends on its inputs only: no flags, workspace or cgo setting of whoever runs it.
unset GOFLAGS GOOS GOARCH
export GOWORK=off CGO_ENABLED=0

# generate FOLDER ARGS...: writes the peer's Go source by the pinned builder. The source is never committed.
generate() {
    local folder=$1
    shift
    mkdir -p "$folder/src"
    sed "s|^  output_path:.*|  output_path: $folder/src|" "$here/manifest.yaml" >"$folder/manifest.yaml"
    (cd "$builder" && go run -mod=readonly -buildvcs=false go.opentelemetry.io/collector/cmd/builder \
        --config "$folder/manifest.yaml" --skip-compilation "$@") >&2
}

started=$SECONDS
cache=$(cache_dir)
mkdir -p "$cache"

if [ "${1:-}" = --update ]; then
    work=$(mktemp -d "$cache/otelcol-update.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    generate "$work"
    cp "$work/src/go.mod" "$work/src/go.sum" "$here/"
    say "otelcol: go.mod and go.sum rewritten from manifest.yaml; run $0 to build"
    exit 0
fi
[ $# -eq 0 ] || die "unknown argument $1: --update is the only one"

key=$(printf '%s\n' "$(go env GOVERSION GOOS GOARCH)" | hash_of "$here/manifest.yaml" "$here/go.mod" "$here/go.sum" \
    "$builder/go.mod" "$builder/go.sum" "$here/build.sh")
final="$cache/otelcol-$version-$key"
if [ -x "$final/otelcol" ]; then
    say "otelcol: $version is built"
    printf '%s\n' "$final/otelcol"
    exit 0
fi

work=$(mktemp -d "$cache/otelcol-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
say "otelcol: $version is not built yet: 1 of 2, the builder writes the sources"
generate "$work" --skip-get-modules
cp "$here/go.mod" "$here/go.sum" "$work/src/"
say "otelcol: 2 of 2, compile and link ($((SECONDS - started)) s so far; a few minutes with an empty Go build cache)"
mkdir "$work/out"
(cd "$work/src" && go build -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o "$work/out/otelcol" .) >&2
"$work/out/otelcol" --version >&2
publish "$work/out" "$final"
say "otelcol: built in $((SECONDS - started)) s"
printf '%s\n' "$final/otelcol"
