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
