#!/usr/bin/env bash
# Runs the fuzz targets of collector/otlp, collector/xray and collector/metrics one after the other: the walk of encoded
# requests with what builds on it, the JSON transcoder, the check of requests with metrics, the translation of spans to
# X-Ray documents, that of metrics to series, and the page that they are scraped from.
#   scripts/fuzz.sh [SECONDS]   so long each (default 60); exit status 1 when an input was found that breaks a rule
#   scripts/fuzz.sh --minimize  chooses the committed corpora anew from all that was found so far; needs Python 3
# What must hold is written in src/fuzzing of each crate; `make test` runs the same functions on the committed corpora
# and on random input with the stable compiler. An input that breaks a rule is put into the corpus by hand, with the fix.
# Inputs that reach something new stay in ~/.cache/tracepipe/fuzz (or XDG_CACHE_HOME), so that the next run goes on there.
# Needs a nightly compiler (rustup toolchain install nightly), a C++ compiler and, cold, the registry of crates for cargo-fuzz.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/e2e/tools/lib.sh"
cd "$root"
readonly CARGO_FUZZ=0.13.2
readonly TARGETS="otlp/walk otlp/json otlp/metrics otlp/metrics_json xray/translate metrics/series metrics/page"
readonly INPUT_BYTES_MAX=4096

mode=run seconds=60
case "${1:-}" in
--minimize) mode=minimize ;;
"") ;;
*[!0-9]*) die "unknown argument $1: a number of seconds or --minimize" ;;
*) seconds=$1 ;;
esac

need rustup "the fuzzer needs a nightly compiler beside the one of rust-toolchain.toml"
rustup run nightly rustc --version >/dev/null 2>&1 ||
    die "there is no nightly compiler: rustup toolchain install nightly --profile minimal"
command -v "${CXX:-c++}" >/dev/null 2>&1 ||
    die "no C++ compiler (${CXX:-c++}) on the path: install one (on Debian: apt-get install g++) or name it in CXX"
[ "$mode" = run ] || need python3 "it chooses the inputs"

cache=$(cache_dir)
tool="$cache/cargo-fuzz-$CARGO_FUZZ"
if [ ! -x "$tool/bin/cargo-fuzz" ]; then
    say "fuzz: building cargo-fuzz $CARGO_FUZZ, some minutes"
    mkdir -p "$cache"
    fresh=$(mktemp -d "$cache/cargo-fuzz.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    CARGO_TARGET_DIR="$fresh/target" cargo install cargo-fuzz --version "=$CARGO_FUZZ" --locked --root "$fresh/root" >&2
    publish "$fresh/root" "$tool"
fi
PATH="$tool/bin:$PATH"
found="$cache/fuzz"
# A folder of its own: the fuzzer's flags would have everything built anew each time.
export CARGO_TARGET_DIR="$found/target"

# fuzz CRATE TARGET ARGUMENTS...
fuzz() {
    local crate=$1 target=$2
    shift 2
    mkdir -p "$found/$target" "$found/artifacts"
    (cd "collector/$crate" && cargo +nightly fuzz run "$target" "$@")
}

failed=0
for name in $TARGETS; do
    crate=${name%/*} target=${name#*/}
    corpus="$root/collector/$crate/fuzz/corpus/$target"
    say "fuzz: $target"
    case "$mode" in
    run)
        fuzz "$crate" "$target" "$found/$target" "$corpus" -- -max_total_time="$seconds" -max_len="$INPUT_BYTES_MAX" \
            -artifact_prefix="$found/artifacts/$target-" -print_final_stats=1 >&2 || failed=1
        ;;
    minimize)
        # The fuzzer writes down what each input covers; which of them are kept is chosen here.
        scratch=$(mktemp -d)
        mkdir "$scratch/kept"
        fuzz "$crate" "$target" "$scratch/kept" "$corpus" "$found/$target" -- -set_cover_merge=1 -use_counters=0 \
            -max_len="$INPUT_BYTES_MAX" -merge_control_file="$scratch/control" >&2
        python3 scripts/fuzz_corpus.py "$scratch/control" "$corpus"
        rm -rf "$scratch"
        ;;
    esac
done
if [ "$failed" -ne 0 ]; then die "an input breaks a rule: see $found/artifacts"; fi
