//! `testdata/errors/*.yaml`: files with mistakes, and beside each what is said about it. `UPDATE=1` rewrites that.

use std::path::Path;

use super::source;
use crate::load;

#[test]
fn every_mistake_is_explained_with_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/errors");
    let update = std::env::var_os("UPDATE").is_some();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 25);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let mut yaml = source(&std::fs::read_to_string(&file).unwrap());
        name.clone_into(&mut yaml.name);
        let errors = load(&yaml, &[], &|_| None).expect_err(name);
        let said = format!("{errors}\n");
        let beside = file.with_extension("txt");
        if update {
            std::fs::write(&beside, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(said, expected, "{name}: UPDATE=1 rewrites");
        for error in errors.errors() {
            assert!(error.at.is_some(), "{name}: no place: {error}");
        }
    }
}
