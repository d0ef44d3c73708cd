#!/usr/bin/env bash
# Counts the instructions of the hot loops (collector/hot_loops), built as the product is, and compares them with the
# figures of collector/hot_loops/figures.txt: exit status 1 when one is more than 3 % off, in either direction, so that
# neither a loss nor an old figure stays unseen.
#   scripts/hot_loops.sh             a table: instructions per item now, as committed, and the difference
#   scripts/hot_loops.sh --write     writes the figures of this machine's target instead
#   scripts/hot_loops.sh --json      one JSON object, loop to instructions per item, and no comparison
#   scripts/hot_loops.sh WORD NAME.. with or without a word before: these loops only (not with --write)
# Counting is done by Valgrind, which is installed by apt-get when it is missing (needs root then). Unlike times, counts
# do not depend on the load of the machine, its speed or its cache. What they depend on is fixed: rust-toolchain.toml,
# Cargo.lock, the flags of release_env; the libc is in the program. Valgrind shows every x86-64 machine with AVX2 the same
# processor, so that libraries which choose their code by it choose the same; without AVX2 nothing is compared.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"
readonly FIGURES=collector/hot_loops/figures.txt
readonly PASSES=100
readonly TOLERANCE_PERCENT=3

mode=compare
case "${1:-}" in
--write | --json)
    mode=${1#--}
    shift
    ;;
-*) die "unknown argument $1: --write or --json" ;;
esac
if [ "$mode" = write ] && [ $# -ne 0 ]; then die "all figures are written together"; fi

install_valgrind() {
    ! command -v valgrind >/dev/null 2>&1 || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        die "valgrind is missing: install it (on Debian: apt-get install valgrind)"
    fi
    say "hot loops: installing valgrind from Debian"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        valgrind; } </dev/null >&2
    need valgrind "apt-get install did not bring it"
}

# The allocator must not look at the clock, at addresses or at the number of processors.
readonly ALLOCATOR=narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1,cache_oblivious:false,experimental_tcache_gc:false

# counted LOOP PASSES: instructions of the whole process, and the items of a pass.
counted() {
    local items instructions
    items=$(env -i _RJEM_MALLOC_CONF="$ALLOCATOR" "$valgrind" --tool=callgrind --callgrind-out-file=/dev/null \
        --log-file="$scratch/log-of-$1" "$program" "$1" "$2") ||
        die "$1 does not run: $(cat "$scratch/log-of-$1")"
    instructions=$(sed -n 's/^==[0-9]*== Collected : \([0-9]*\)$/\1/p' "$scratch/log-of-$1")
    [ -n "$instructions" ] || die "valgrind counted nothing: $(cat "$scratch/log-of-$1")"
    printf '%s %s\n' "$instructions" "$items"
}

# figure LOOP: instructions per item. What the start costs is in both runs.
figure() {
    local once items twice
    read -r once items < <(counted "$1" "$PASSES")
    read -r twice items < <(counted "$1" $((2 * PASSES)))
    awk -v more=$((twice - once)) -v items=$((PASSES * items)) 'BEGIN { printf "%.1f\n", more / items }'
}

[ "$(uname -s)" = Linux ] || die "the figures are those of Linux"
need cargo "install Rust by rustup; rust-toolchain.toml names the version"
install_valgrind
valgrind=$(command -v valgrind)
where=$(release_env)
eval "$where"
say "building the hot loops (release)"
cargo build --release --locked -p tracepipe-hot-loops >&2
program="$TRACEPIPE_RELEASE/tracepipe-hot-loops"
target=$CARGO_BUILD_TARGET
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ $# -gt 0 ]; then loops="$*"; else loops=$("$program"); fi
# What is counted does not depend on what else runs.
for loop in $loops; do
    say "counting $loop"
    figure "$loop" >"$scratch/of-$loop" &
    [ "$(jobs -rp | wc -l)" -lt "$(getconf _NPROCESSORS_ONLN)" ] || wait -n
done
wait
for loop in $loops; do
    [ -s "$scratch/of-$loop" ] || die "$loop was not counted"
    printf '%s %s %s\n' "$target" "$loop" "$(cat "$scratch/of-$loop")" >>"$scratch/now"
done

case "$mode" in
write)
    {
        echo "# Instructions per item: target, loop, figure. Written by scripts/hot_loops.sh --write; see there."
        { [ ! -f "$FIGURES" ] || grep -v -e '^#' -e "^$target " "$FIGURES" || true; } && cat "$scratch/now"
    } >"$scratch/figures"
    cat "$scratch/figures" >"$FIGURES"
    cat "$FIGURES"
    exit 0
    ;;
json)
    awk 'BEGIN { printf "{" } { printf "%s\"%s\": %s", NR > 1 ? ", " : "", $2, $3 } END { print "}" }' "$scratch/now"
    exit 0
    ;;
esac

left_out=""
grep -q "^$target " "$FIGURES" || left_out="$FIGURES has none for $target"
if [[ $target == x86_64-* ]] && ! grep -q -w avx2 /proc/cpuinfo; then left_out="this processor has no AVX2"; fi
awk -v tolerance="$TOLERANCE_PERCENT" -v compare="${left_out:+no}" '
    FILENAME == ARGV[1] { committed[$1 " " $2] = $3; next }
    FNR == 1 { printf "%-18s %12s %12s %9s\n", "loop", "now", "committed", "change" }
    {
        old = committed[$1 " " $2]
        change = old > 0 ? ($3 - old) / old * 100 : 0
        far = compare != "no" && (old == "" || change > tolerance || change < -tolerance)
        wrong += far
        printf "%-18s %12s %12s %+8.1f%%%s\n", $2, $3, old == "" ? "-" : old, change, far ? "  <--" : ""
    }
    END {
        if (wrong) printf "%d beyond %s %%: if it is meant, scripts/hot_loops.sh --write\n", wrong, tolerance
        exit wrong > 0
    }' "$FIGURES" "$scratch/now"
[ -z "$left_out" ] || echo "left out: comparison of instruction counts: $left_out"
