#!/usr/bin/env bash
# The product in one command, without a cluster or AWS. Arguments go to the demo: scripts/demo.sh --help
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
where=$("$root/scripts/build.sh" demo)
eval "$where"
cd "$root"
exec "$TRACEPIPE_DEMO" "$@"
