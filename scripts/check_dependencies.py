"""Holds the dependencies of the whole workspace to deny.toml: licences, banned crates, sources.

Reads what `cargo tree` says is built for any target, tests included, so that a crate that only stands in Cargo.lock
because some feature could ask for it is not blamed. Of deny.toml it knows the keys used there and no others: a licence
allow-list, and bans by name, with or without a version of the form "<X". `cargo deny check licenses bans sources` reads the same file.
Exit status 1 with a line for each thing that is wrong. Run from the root; needs Python 3.11 and cargo.
"""

import re
import subprocess
import sys
import tomllib

# One line a crate. "|" stands in no name, version or licence expression.
TREE = ["cargo", "tree", "--locked", "--workspace", "--target", "all", "--edges", "normal,build,dev"]
FORMAT = ["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"]


def main():
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    with open("Cargo.lock", "rb") as file:
        lock = tomllib.load(file)
    crates = tree()
    if not crates:
        print("cargo tree names no crate")
        return 1

    wrong = []
    allowed = set(rules["licenses"]["allow"])
    for name, version, licence in crates:
        if not licensed(licence, allowed):
            wrong.append(f"{name} {version}: licence {licence or '(none)'} is not allowed by deny.toml")
    for ban in rules["bans"]["deny"]:
        wrong += [f"{name} {version}: {ban['reason']}" for name, version, _ in crates if hit(ban, name, version)]
    wrong += [
        f"{one['name']} {one['version']}: comes from {one['source']}, not from crates.io"
        for one in lock["package"]
        if "source" in one and not re.fullmatch(r"registry\+\S+/crates\.io-index", one["source"])
    ]

    for line in wrong:
        print(line)
    print(f"{len(crates)} crates looked at, {len(wrong)} things wrong")
    return 1 if wrong else 0


def tree():
    """Every crate that is built for some target, as (name, version, licence expression)."""
    lines = subprocess.run(TREE + FORMAT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    crates = set()
    for line in lines:
        if line.strip():
            package, licence = line.split("|", 1)
            name, version = package.split()[:2]
            crates.add((name, version.removeprefix("v"), licence))
    return sorted(crates)


def licensed(expression, allowed):
    """Whether an SPDX expression can be fulfilled with allowed licences alone; "/" is the old way to write OR."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    words.reverse()
    return bool(words) and either(words, allowed) and not words


def either(words, allowed):
    result = both(words, allowed)
    while words and words[-1] == "OR":
        words.pop()
        # The right side is read whatever the left one said: reading takes its words.
        result = both(words, allowed) or result
    return result


def both(words, allowed):
    result = one(words, allowed)
    while words and words[-1] == "AND":
        words.pop()
        result = one(words, allowed) and result
    return result


def one(words, allowed):
    word = words.pop() if words else ""
    if word == "(":
        result = either(words, allowed)
        return (bool(words) and words.pop() == ")") and result
    if words and words[-1] == "WITH":
        words.pop()
        word += f" WITH {words.pop()}"
    return word in allowed


def hit(ban, name, version):
    """Whether a ban means this crate."""
    below = ban.get("version")
    return name == ban["name"] and (below is None or numbers(version) < numbers(below.removeprefix("<")))


def numbers(version):
    return [int(part) for part in re.split(r"[-+]", version)[0].split(".")]


if __name__ == "__main__":
    sys.exit(main())
