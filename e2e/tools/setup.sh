#!/usr/bin/env bash
# Makes the real peers and clients of the tests and prints where they are, for a shell to take in:
#   eval "$(e2e/tools/setup.sh)"
# TRACEPIPE_OTELCOL           the upstream collector v0.161.0 (otelcol/build.sh)
# TRACEPIPE_OTELCOL_AWSXRAY   the upstream collector v0.120.0 with its X-Ray exporter (otelcol_awsxray/build.sh)
# TRACEPIPE_PYTHON            a Python with the packages of python/requirements.txt
# TRACEPIPE_NODE_DIR          a folder with the scripts of node/ and their node_modules
# TRACEPIPE_PROMETHEUS        Debian's prometheus server (prometheus/fetch.sh); not set where there is no Debian package,
# TRACEPIPE_PROMTOOL          and its promtool: what needs them is then left out, unless CI=true
# Everything lies under ~/.cache/tracepipe (or XDG_CACHE_HOME) by the hash of its lock file: a second run takes a second.
# Needs Go 1.26, Python 3.11 with venv, Node 20.6 with npm, and, cold, their package registries.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"

need python3 "install Python 3.11 or newer"
need node "install Node 20.6 or newer"
need npm "install npm"
need go "install Go 1.26 or newer"

cache=$(cache_dir)
mkdir -p "$cache"
scratch=$(mktemp -d "$cache/setup.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# make_venv FOLDER: Debian keeps the part of Python that makes a venv in a package of its own.
make_venv() {
    python3 -m venv "$1" >&2 && return
    rm -rf "$1"
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "python: no venv in this Python: installing python3-venv"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; } >&2
        python3 -m venv "$1" >&2 && return
    fi
    die "python3 -m venv fails: install Python's venv (on Debian: apt-get install python3-venv)"
}

# A venv holds absolute paths, so it is made in its place and marked done at the end; an unfinished one is made anew.
python_env() {
    local key venv
    key=$(python3 -c 'import sys, platform; print(sys.version, platform.machine(), sys.executable)' |
        hash_of "$here/python/requirements.txt")
    venv="$cache/python-$key"
    if [ ! -e "$venv/done" ]; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or newer is needed"
        say "python: installing $(grep -c '^[a-z].*==' "$here/python/requirements.txt") packages"
        rm -rf "$venv"
        make_venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
            -r "$here/python/requirements.txt" >&2
        touch "$venv/done"
    fi
    printf '%s\n' "$venv/bin/python"
}

# Node looks for node_modules beside the script, so the scripts are copied to the folder that npm filled, each time:
# they may have changed while the lock file did not.
node_env() {
    local key folder
    key=$(node --version | hash_of "$here/node/package.json" "$here/node/package-lock.json")
    folder="$cache/node-$key"
    if [ ! -d "$folder/node_modules" ]; then
        node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 6) ? 0 : 1)' ||
            die "Node 20.6 or newer is needed"
        say "node: installing $(grep -c '"integrity"' "$here/node/package-lock.json") packages"
        mkdir "$scratch/node"
        cp "$here/node/package.json" "$here/node/package-lock.json" "$scratch/node/"
        # No package here needs its install script, so none is run.
        (cd "$scratch/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
        publish "$scratch/node" "$folder"
    fi
    cp "$here"/node/*.js "$folder/"
    printf '%s\n' "$folder"
}

otelcol=$("$here/otelcol/build.sh" | tail -n 1)
otelcol_awsxray=$("$here/otelcol_awsxray/build.sh" | tail -n 1)
prometheus=$("$here/prometheus/fetch.sh" | tail -n 1) || {
    status=$?
    [ "$status" -eq 3 ] && [ "${CI:-}" != true ] || exit "$status"
    say "left out: tests with a real Prometheus: the line above says why"
    prometheus=""
}
python=$(python_env)
node_dir=$(node_env)
say "peers and clients are ready ($SECONDS s)"
printf 'export TRACEPIPE_OTELCOL=%q\n' "$otelcol"
printf 'export TRACEPIPE_OTELCOL_AWSXRAY=%q\n' "$otelcol_awsxray"
printf 'export TRACEPIPE_PYTHON=%q\n' "$python"
printf 'export TRACEPIPE_NODE_DIR=%q\n' "$node_dir"
if [ -n "$prometheus" ]; then
    printf 'export TRACEPIPE_PROMETHEUS=%q\n' "$prometheus/prometheus"
    printf 'export TRACEPIPE_PROMTOOL=%q\n' "$prometheus/promtool"
fi
