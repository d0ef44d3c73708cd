#!/usr/bin/env bash
# Our collector for an hour under a square wave of spans with a backend that fails every five minutes.
#   scripts/soak.sh [MINUTES]      60 when nothing is said
# Exit status 1 when a span is unaccounted for, memory is not flat or does not come back to idle.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"

minutes=${1:-60}
case "$minutes" in
'' | *[!0-9]*) die "not a number of minutes: $minutes" ;;
esac

built=$(scripts/build.sh collector)
eval "$built"
where=$(release_env)
eval "$where"
cargo build --release --locked -p tracepipe-e2e --bin tracepipe-soak >&2
exec "$TRACEPIPE_RELEASE/tracepipe-soak" --minutes "$minutes"
