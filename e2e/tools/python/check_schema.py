"""Checks X-Ray segment documents against AWS's published JSON schema.

    check_schema.py [FILE]     one document a line, as JSON; stdin when no file is given

TRACEPIPE_XRAY_SCHEMA names the schema file (JSON schema draft 4). The schema is older than dots in annotation keys,
which X-Ray takes today: an annotation key that would be right with its dots as underscores is excused, nothing else
is. Prints "N documents valid" and exits 0, or exits 1 with each reason on stderr as line, JSON path and message.
"""

import json
import os
import sys

import jsonschema

REASONS_MAX = 50  # enough to see a pattern


def main():
    name = os.environ.get("TRACEPIPE_XRAY_SCHEMA")
    if not name:
        print("TRACEPIPE_XRAY_SCHEMA is not set: it names AWS's schema of a segment document", file=sys.stderr)
        return 1
    with open(name, encoding="utf-8") as file:
        schema = json.load(file)
    validator = jsonschema.Draft4Validator(schema)
    validator.check_schema(schema)

    documents = 0
    reasons = []
    with open(sys.argv[1], encoding="utf-8") if len(sys.argv) > 1 else sys.stdin as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            documents += 1
            reasons += [f"line {number}: {reason}" for reason in check(validator, line)]

    for reason in reasons[:REASONS_MAX]:
        print(reason, file=sys.stderr)
    if len(reasons) > REASONS_MAX:
        print(f"... and {len(reasons) - REASONS_MAX} more", file=sys.stderr)
    if documents == 0:
        print("no document was given", file=sys.stderr)
        return 1
    if reasons:
        return 1
    print(f"{documents} documents valid")
    return 0


def check(validator, line):
    """The reasons against one document; none when it is valid."""
    try:
        document = json.loads(line)
    except ValueError as error:
        return [f"not JSON: {error}"]
    errors = sorted(validator.iter_errors(excused(document)), key=lambda error: list(map(str, error.absolute_path)))
    return ["/" + "/".join(map(str, error.absolute_path)) + ": " + error.message[:300] for error in errors]


def excused(value):
    """The document with each dot in an annotation key turned into an underscore, in subsegments too."""
    if not isinstance(value, dict):
        return value
    value = dict(value)
    annotations = value.get("annotations")
    if isinstance(annotations, dict):
        value["annotations"] = {key.replace(".", "_"): item for key, item in annotations.items()}
    if isinstance(value.get("subsegments"), list):
        value["subsegments"] = [excused(one) for one in value["subsegments"]]
    return value


if __name__ == "__main__":
    sys.exit(main())
