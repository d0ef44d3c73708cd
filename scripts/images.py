"""Writes the images as docker-archive tars, without a registry, a daemon or root; scripts/images.sh calls it.

The same inputs give the same bytes: entries in one order, no time, no user of the machine, nothing compressed. An image
holds a static binary, the roots that AWS's certificates are checked against, and a name for its user. No shell.

  images.py --out FOLDER --version VERSION --ca-roots FILE --binary collector=FILE --binary operator=FILE

Environment: TRACEPIPE_REVISION is the commit to name in the labels; without it none is named.
"""

import argparse
import hashlib
import io
import json
import os
import struct
import sys
import tarfile

# The user of both images: the chart and the operator say the same, so that a pod starts under restricted Pod Security
# also where they are silent.
USER = 65532
REPOSITORY = "tracepipe.dev"
DESCRIPTIONS = {
    "collector": "Keeps each trace with an error, each slow trace and a share of the rest, and sends them to AWS X-Ray",
    "operator": "Gives every node of a cluster the trace collector that a TracingPipeline describes",
}
PASSWD = f"nonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n"

ELF_MACHINES = {62: "amd64", 183: "arm64"}
PT_INTERP = 3


def die(text):
    sys.exit(f"images.py: {text}")


def architecture(path, data):
    """The architecture of a static 64-bit ELF binary; an image holds nothing that another kind could start with."""
    if data[:4] != b"\x7fELF" or data[4:6] != b"\x02\x01":
        die(f"{path} is not a 64-bit little-endian ELF binary: images are built on Linux")
    (machine,) = struct.unpack_from("<H", data, 18)
    if machine not in ELF_MACHINES:
        die(f"{path} is for ELF machine {machine}: only amd64 and arm64 have a name here")
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    kinds = [struct.unpack_from("<I", data, table + index * size)[0] for index in range(count)]
    if PT_INTERP in kinds:
        die(f"{path} is linked dynamically and cannot start in an empty image: build it by scripts/build.sh")
    return ELF_MACHINES[machine]


def tar(entries):
    """A tar of (path, mode, bytes), or of a folder where the bytes are None, in the given order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, mode, data in entries:
            info = tarfile.TarInfo(path)
            info.mode = mode
            if data is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def layer(name, binary, roots):
    """No /etc/nsswitch.conf: glibc without one looks into /etc/hosts, then asks DNS, as a pod wants it."""
    return tar([
        ("etc", 0o755, None),
        ("etc/passwd", 0o444, PASSWD.encode()),
        ("etc/ssl", 0o755, None),
        ("etc/ssl/certs", 0o755, None),
        ("etc/ssl/certs/ca-certificates.crt", 0o444, roots),
        (f"tracepipe-{name}", 0o555, binary),
    ])


def image(name, binary, machine, roots, version):
    """One docker-archive. Its config is what `docker inspect` shows and what containerd's import reads."""
    content = layer(name, binary, roots)
    digest = hashlib.sha256(content).hexdigest()
    labels = {
        "org.opencontainers.image.title": f"tracepipe-{name}",
        "org.opencontainers.image.description": DESCRIPTIONS[name],
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.vendor": "tracepipe",
        "org.opencontainers.image.version": version,
    }
    if os.environ.get("TRACEPIPE_REVISION"):
        labels["org.opencontainers.image.revision"] = os.environ["TRACEPIPE_REVISION"]
    created = "1970-01-01T00:00:00Z"
    config = json.dumps({
        "architecture": machine,
        "os": "linux",
        "created": created,
        "config": {
            "Entrypoint": [f"/tracepipe-{name}"],
            "User": f"{USER}:{USER}",
            "WorkingDir": "/",
            "Labels": labels,
        },
        "history": [{"created": created, "created_by": "scripts/images.py"}],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{
        "Config": config_name,
        "RepoTags": [f"{REPOSITORY}/{name}:{version}"],
        "Layers": [f"{digest}/layer.tar"],
    }]
    return tar([
        (config_name, 0o444, config),
        (digest, 0o755, None),
        (f"{digest}/layer.tar", 0o444, content),
        ("manifest.json", 0o444, json.dumps(manifest, sort_keys=True).encode()),
    ])


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser(description="Writes the images as docker-archive tars.")
    parser.add_argument("--out", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--ca-roots", required=True)
    parser.add_argument("--binary", required=True, action="append", metavar="NAME=FILE")
    arguments = parser.parse_args()

    roots = read(arguments.ca_roots)
    if b"-----BEGIN CERTIFICATE-----" not in roots:
        die(f"{arguments.ca_roots} holds no certificate in PEM")
    os.makedirs(arguments.out, exist_ok=True)
    for one in arguments.binary:
        name, _, path = one.partition("=")
        if name not in DESCRIPTIONS:
            die(f"--binary {one}: the name is one of {', '.join(DESCRIPTIONS)}")
        binary = read(path)
        machine = architecture(path, binary)
        target = os.path.join(arguments.out, f"{name}.tar")
        # Under another name first: whoever reads the tar meanwhile has the old one or the new one.
        with open(f"{target}.new", "wb") as file:
            file.write(image(name, binary, machine, roots, arguments.version))
        os.replace(f"{target}.new", target)
        print(f"{REPOSITORY}/{name}:{arguments.version} linux/{machine} {os.path.getsize(target)} bytes: {target}",
              file=sys.stderr)


if __name__ == "__main__":
    main()
