#!/usr/bin/env bash
# Our collector in real time: for an hour under a square wave of spans with a backend that fails every five minutes, then
# for ten minutes with a way to X-Ray that is broken, in nine ways side by side.
#   scripts/soak.sh [MINUTES]              both; 60 minutes of waves when nothing is said
#   scripts/soak.sh --quick                both in a few minutes: two of waves, 40 s of each fault
#   scripts/soak.sh waves [MINUTES]        only the waves
#   scripts/soak.sh xray [--quick] [NAME]  only the faults, or one of them; a wrong name shows all
# Exit status 1 when a span is unaccounted for or is lost that the queue had room for, memory is not flat or does not
# come back to idle. One fault (no-name) needs root, for names of its own; without it is left out and said so.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"

parts="waves xray"
case "${1:-}" in
waves | xray)
    parts=$1
    shift
    ;;
esac
minutes=60 faults=()
for argument in "$@"; do
    case "$argument" in
    --quick) minutes=2 faults+=(--quick) ;;
    *[!0-9]*)
        [ "$parts" = xray ] || die "not a number of minutes: $argument"
        faults+=("$argument")
        ;;
    *) minutes=$argument ;;
    esac
done

if [ -z "${TRACEPIPE_COLLECTOR:-}" ]; then
    built=$(scripts/build.sh collector)
    eval "$built"
fi
where=$(release_env)
eval "$where"
cargo build --release --locked -p tracepipe-e2e --bin tracepipe-soak --bin tracepipe-soak-xray >&2

status=0
case "$parts" in
*waves*) "$TRACEPIPE_RELEASE/tracepipe-soak" --minutes "$minutes" || status=1 ;;
esac
case "$parts" in
*xray*) "$TRACEPIPE_RELEASE/tracepipe-soak-xray" ${faults[@]+"${faults[@]}"} || status=1 ;;
esac
exit "$status"
