//! Files that are made from the types. They are committed, so that people and tools can read them.

use std::fs;
use std::path::Path;

use super::docs;
use crate::generate;

#[test]
fn the_generated_files_are_up_to_date() {
    up_to_date(generate::FILE, &generate::crd_yaml().unwrap());
    up_to_date(docs::FILE, &docs::markdown());
}

/// Compares, or writes where that is asked for.
fn up_to_date(file: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(file);
    if std::env::var_os("TRACEPIPE_WRITE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{file} is not what the types say now; write it with: TRACEPIPE_WRITE=1 cargo test -p tracepipe-crds generated"
    );
}
