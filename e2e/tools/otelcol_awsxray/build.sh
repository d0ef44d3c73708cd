#!/usr/bin/env bash
# Builds the upstream collector v0.120.0 with its X-Ray exporter (main.go) into the cache and prints the path of its
# binary as the last line.
#   build.sh            reuse a build of the same inputs, else build: a minute and a half with an empty Go build cache
#   build.sh --update   after a change of main.go or go.mod: rewrite go.mod and go.sum
# Needs Go 1.26 and, cold, the Go module proxy.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
version=v0.120.0

need go "install Go 1.26 or newer"
# The build depends on its inputs only: no flags, workspace or cgo setting of whoever runs it.
unset GOFLAGS GOOS GOARCH
export GOWORK=off CGO_ENABLED=0

started=$SECONDS
cache=$(cache_dir)
mkdir -p "$cache"

if [ "${1:-}" = --update ]; then
    (cd "$here" && go mod tidy) >&2
    say "otelcol_awsxray: go.mod and go.sum rewritten; run $0 to build"
    exit 0
fi
[ $# -eq 0 ] || die "unknown argument $1: --update is the only one"

key=$(printf '%s\n' "$(go env GOVERSION GOOS GOARCH)" |
    hash_of "$here/main.go" "$here/go.mod" "$here/go.sum" "$here/build.sh")
final="$cache/otelcol-awsxray-$version-$key"
if [ -x "$final/otelcol" ]; then
    say "otelcol_awsxray: $version is built"
    printf '%s\n' "$final/otelcol"
    exit 0
fi

work=$(mktemp -d "$cache/otelcol-awsxray-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
say "otelcol_awsxray: $version is not built yet (about two minutes with an empty Go build cache)"
(cd "$here" && go build -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o "$work/out/otelcol" .) >&2
"$work/out/otelcol" --version >&2
publish "$work/out" "$final"
say "otelcol_awsxray: built in $((SECONDS - started)) s"
printf '%s\n' "$final/otelcol"
