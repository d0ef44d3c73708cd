# Shared by the scripts of this folder and by scripts/test.sh; sourced, not run. Needs bash and coreutils.
# say TEXT: one line of progress, on stderr, because a script's stdout is its answer.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# need PROGRAM WHAT-FOR: ends the script when a program is not on the path.
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is not on the path: $2"; }

# The folder of everything that is built once and kept between runs. Safe to remove at any time.
cache_dir() { printf '%s/tracepipe\n' "${XDG_CACHE_HOME:-$HOME/.cache}"; }

# hash_of FILE... : 16 hex digits that change when the name or the bytes of a file change, or a line of stdin.
# Names without their folder: two clones share one cache.
hash_of() {
    {
        cat
        for hash_file in "$@"; do
            printf '%s ' "${hash_file##*/}"
            sha256sum <"$hash_file"
        done
    } | sha256sum | cut -c1-16
}

# publish FROM TO: moves a finished folder to its place in one step. When another run was first, theirs stays.
publish() {
    if ! mv -T "$1" "$2" 2>/dev/null; then
        [ -e "$2" ] || die "could not move $1 to $2"
        rm -rf "$1"
    fi
}

# release_env: how the released binaries are built, for a shell to take in before cargo build --release or cargo test
# --release, so that every release build shares one folder:
#   CARGO_BUILD_TARGET          the triple of this machine. Named, it keeps the flags from proc-macros and build scripts.
#   CARGO_TARGET_..._RUSTFLAGS  one file that needs no library of the machine it runs on: an image holds nothing else.
#   TRACEPIPE_RELEASE           the folder of the binaries
# Linux with glibc is what is shipped. Where the target has no static C library (macOS) rustc leaves the flag out.
release_env() {
    local triple variable flags target
    triple=${CARGO_BUILD_TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
    [ -n "$triple" ] || die "rustc does not say for which machine it builds"
    variable=CARGO_TARGET_$(printf '%s' "$triple" | tr 'a-z-' 'A-Z_')_RUSTFLAGS
    # RUSTFLAGS of the environment would hide the variable of the target, so it joins it.
    flags="${!variable:-}"
    case " $flags ${RUSTFLAGS:-} " in
    *crt-static*) ;;
    *) flags="$flags -C target-feature=+crt-static" ;;
    esac
    [ -z "${RUSTFLAGS:-}" ] || flags="$flags $RUSTFLAGS"
    # Cargo knows where it builds; CARGO_TARGET_DIR and a user's configuration are respected.
    target=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    printf 'export CARGO_BUILD_TARGET=%q %s=%q TRACEPIPE_RELEASE=%q\n' \
        "$triple" "$variable" "${flags# }" "$target/$triple/release"
    printf 'unset RUSTFLAGS\n'
}
