#!/usr/bin/env bash
# Puts the OpenTelemetry Java agent and the API's jars (pom.xml) into the cache by Maven, checks their checksums (SHA256SUMS)
# and prints the path of the agent as the last line; the API's jars lie beside it.
# Exit status 3, with the reason on stderr, where there is no Java 17 or no Maven, or Maven cannot fetch them.
#   fetch.sh --update   writes SHA256SUMS anew, after a version in pom.xml was changed
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"

cannot() {
    say "java: $*"
    exit 3
}

[ "${1:-}" = "" ] || [ "$1" = --update ] || die "unknown argument $1: nothing or --update"
jdk="install a JDK of 17 or newer (on Debian: openjdk-17-jdk-headless)"
for program in java javac; do
    command -v "$program" >/dev/null 2>&1 || cannot "$program is not on the path: $jdk"
done
version=$(javac -version 2>&1) || version=""
# Before 9 it called itself 1.8.
[[ $version =~ ^javac\ ([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 17 ] || cannot "this is ${version:-no compiler}: $jdk"

final="$(cache_dir)/java-$(hash_of "$here/pom.xml" "$here/SHA256SUMS" </dev/null)"
agent=$(sed -n 's/.* \(opentelemetry-javaagent-.*\.jar\)$/\1/p' "$here/SHA256SUMS")
if [ "${1:-}" = "" ] && [ -e "$final/$agent" ]; then
    say "java: $agent is here"
    printf '%s\n' "$final/$agent"
    exit 0
fi

command -v mvn >/dev/null 2>&1 || cannot "mvn is not on the path: install Maven (on Debian: maven)"
mkdir -p "$(cache_dir)"
work=$(mktemp -d "$(cache_dir)/java-fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
say "java: fetching the agent and the API's jars"
mvn --batch-mode --quiet --file "$here/pom.xml" dependency:copy-dependencies \
    "-DoutputDirectory=$work/jars" >"$work/log" 2>&1 || cannot "mvn cannot fetch them: $(grep -m 1 ERROR "$work/log" || tail -n 1 "$work/log")"
if [ "${1:-}" = --update ]; then
    (cd "$work/jars" && sha256sum -- *.jar) >"$here/SHA256SUMS"
    say "java: SHA256SUMS is written"
    exit 0
fi
(cd "$work/jars" && sha256sum --check --strict --quiet "$here/SHA256SUMS") >&2 ||
    die "java: what Maven fetched is not what SHA256SUMS says"
[ "$(find "$work/jars" -name '*.jar' | wc -l)" -eq "$(wc -l <"$here/SHA256SUMS")" ] ||
    die "java: Maven fetched a jar that is not in SHA256SUMS"
publish "$work/jars" "$final"
printf '%s\n' "$final/$agent"
