"""Chooses a corpus: few and small inputs that together cover as much as can be had from so few.

  fuzz_corpus.py CONTROL-FILE FOLDER

The control file is what libFuzzer's merge writes down: the inputs' paths, and for each the places in the program that it
covers ("FT number place..."). FOLDER gets the chosen inputs, named by their contents, and loses all others.
"""

import hashlib
import pathlib
import sys

FILES_MAX = 90
BYTES_MAX = 120_000


def main(control, folder):
    covered = read(pathlib.Path(control).read_text().splitlines())
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {content: places for content, places in covered.items() if content}
    everything = set().union(*inputs.values())
    chosen, missing, size = [], set(everything), 0
    while inputs and len(chosen) < FILES_MAX:
        # The most new places; of equals the smallest, then any order that is always the same.
        best = min(inputs, key=lambda content: (-len(inputs[content] & missing), len(content), content))
        places = inputs.pop(best)
        if not places & missing:
            break
        if size + len(best) <= BYTES_MAX:
            chosen.append(best)
            missing -= places
            size += len(best)
    for old in folder.iterdir():
        old.unlink()
    for content in chosen:
        (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
    part = (1 - len(missing) / len(everything)) * 100
    print(f"{folder.name}: {len(chosen)} inputs, {size} bytes, {part:.1f} % of the {len(everything)} places reached")


def read(lines):
    """What each input covers, by its contents."""
    count = int(lines[0])
    paths = [pathlib.Path(line) for line in lines[2 : 2 + count]]
    covered = {}
    for line in lines[2 + count :]:
        kind, number, *places = line.split()
        if kind == "FT":
            covered[paths[int(number)].read_bytes()] = set(places)
    return covered


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
