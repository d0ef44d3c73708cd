//! The images: the same bytes from the same inputs, and nothing in them but what a pod needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{leave_out, root, text};

const ROOTS: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
/// Of ELF: https://refspecs.linuxfoundation.org/elf/elf.pdf, the headers of a file and of its segments.
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const AMD64: u16 = 62;
const ARM64: u16 = 183;

/// The least that is an ELF binary with one segment of this kind.
fn elf(machine: u16, segment: u32) -> Vec<u8> {
    let mut file = vec![0_u8; 64 + 56];
    file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[54..56].copy_from_slice(&56_u16.to_le_bytes());
    file[56..58].copy_from_slice(&1_u16.to_le_bytes());
    file[64..68].copy_from_slice(&segment.to_le_bytes());
    file
}

/// An entry of a tar. https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html, ustar.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    mode: u64,
    owner: (u64, u64),
    modified: u64,
    kind: u8,
    content: Vec<u8>,
}

fn entries(tar: &[u8]) -> BTreeMap<String, Entry> {
    let mut found = BTreeMap::new();
    let mut rest = tar;
    while rest[0] != 0 {
        let (header, behind) = rest.split_at(512);
        let until_nul = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|it| *it == 0).unwrap_or(field.len());
            String::from_utf8(field[..end].to_vec()).unwrap()
        };
        let octal = |range| u64::from_str_radix(until_nul(range).trim(), 8).unwrap();
        let size = usize::try_from(octal(124..136)).unwrap();
        let entry = Entry {
            mode: octal(100..108),
            owner: (octal(108..116), octal(116..124)),
            modified: octal(136..148),
            kind: header[156],
            content: behind[..size].to_vec(),
        };
        found.insert(until_nul(0..100).trim_end_matches('/').to_owned(), entry);
        rest = &behind[size.next_multiple_of(512)..];
    }
    found
}

/// Runs `images.py` on these binaries in a folder of its own.
fn run(folder: &Path, collector: &[u8], operator: &[u8]) -> Option<Output> {
    std::fs::create_dir_all(folder).unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let result = Command::new("python3")
        .arg(root().join("scripts/images.py"))
        .args(["--version", "1.2.3", "--out"])
        .arg(folder.join("out"))
        .arg("--ca-roots")
        .arg(file("roots.pem", ROOTS.as_bytes()))
        .args([
            "--binary",
            &format!("collector={}", file("c", collector).display()),
        ])
        .args(["--binary", &format!("operator={}", file("o", operator).display())])
        .env_remove("TRACEPIPE_REVISION")
        .output();
    if result.is_err() {
        leave_out("images (python3 is not on the path)");
    }
    result.ok()
}

fn made(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join("out").join(format!("{name}.tar"))).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect()
}

#[test]
fn an_image_holds_its_binary_the_roots_and_its_user_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let Some(output) = run(folder.path(), &elf(AMD64, PT_LOAD), &elf(ARM64, PT_LOAD)) else {
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (name, architecture, machine) in [("collector", "amd64", AMD64), ("operator", "arm64", ARM64)] {
        let archive = entries(&made(folder.path(), name));
        let manifest: Value = serde_json::from_slice(&archive["manifest.json"].content).unwrap();
        let layer = &archive[manifest[0]["Layers"][0].as_str().unwrap()].content;
        let config_name = manifest[0]["Config"].as_str().unwrap();
        assert_eq!(
            manifest[0]["RepoTags"],
            json!([format!("tracepipe.dev/{name}:1.2.3")])
        );
        assert_eq!(archive.len(), 4, "config, layer with its folder, manifest");
        assert_eq!(
            config_name,
            format!("{}.json", hex(&archive[config_name].content))
        );

        let config: Value = serde_json::from_slice(&archive[config_name].content).unwrap();
        assert_eq!(
            (&config["os"], &config["architecture"]),
            (&json!("linux"), &json!(architecture))
        );
        assert_eq!(
            config["rootfs"]["diff_ids"],
            json!([format!("sha256:{}", hex(layer))])
        );
        assert_eq!(
            config["config"]["Entrypoint"],
            json!([format!("/tracepipe-{name}")])
        );
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(
            config["config"]["Labels"]["org.opencontainers.image.version"],
            "1.2.3"
        );

        let mut files = entries(layer);
        assert!(
            files
                .values()
                .all(|it| it.owner == (0, 0) && it.modified == 0 && it.mode & 0o022 == 0)
        );
        files.retain(|_, it| it.kind != b'5');
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let binary = format!("tracepipe-{name}");
        assert_eq!(
            names,
            ["etc/passwd", "etc/ssl/certs/ca-certificates.crt", &binary]
        );
        assert_eq!(files[&binary].content, elf(machine, PT_LOAD));
        assert_eq!(files[&binary].mode, 0o555);
        assert_eq!(
            files["etc/ssl/certs/ca-certificates.crt"].content,
            ROOTS.as_bytes()
        );
        assert_eq!(
            files["etc/passwd"].content,
            b"nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
        );
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let binary = elf(AMD64, PT_LOAD);
    let folders = [folder.path().join("here"), folder.path().join("elsewhere")];
    for folder in &folders {
        let Some(output) = run(folder, &binary, &binary) else {
            return;
        };
        assert!(output.status.success());
    }
    for name in ["collector", "operator"] {
        assert!(made(&folders[0], name) == made(&folders[1], name), "{name}");
    }
}

#[test]
fn a_binary_that_could_not_start_in_an_empty_image_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = elf(AMD64, PT_LOAD);
    for (bad, why) in [
        (elf(AMD64, PT_INTERP), "linked dynamically"),
        (b"#!/bin/sh\n".repeat(20), "not a 64-bit little-endian ELF"),
        (elf(8, PT_LOAD), "ELF machine 8"),
    ] {
        let Some(output) = run(folder.path(), &good, &bad) else {
            return;
        };
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(why), "{told}");
        assert!(!folder.path().join("out/operator.tar").exists());
    }
}

#[test]
fn the_dockerfile_builds_with_the_pinned_toolchain_and_ends_in_nothing_but_the_images_files() {
    let toolchain = text("rust-toolchain.toml");
    let (_, version) = toolchain.split_once("channel = \"").unwrap();
    let (version, _) = version.split_once('"').unwrap();
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains(&format!("FROM rust:{version}-slim-bookworm AS build\n")));
    assert!(dockerfile.contains(&format!("ENV RUSTUP_TOOLCHAIN={version}\n")));
    for name in ["collector", "operator"] {
        let (_, stage) = dockerfile
            .split_once(&format!("FROM scratch AS {name}\n"))
            .unwrap();
        assert!(stage.starts_with(&format!("COPY --from=build /out/{name}/ /\n")));
        let entry = format!("USER 65532:65532\nENTRYPOINT [\"/tracepipe-{name}\"]\n");
        assert!(stage.contains(&entry), "{stage}");
    }
}
