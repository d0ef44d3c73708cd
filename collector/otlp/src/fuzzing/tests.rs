use std::path::PathBuf;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::testing::json::json_texts;
use crate::testing::{self, broken_bytes, requests, wild_bytes};

/// The files of a corpus: small inputs that together reach everything the fuzzer has reached.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 20, "{} files in {}", files.len(), folder.display());
    files
}

fn replay(target: &str, run: fn(&[u8])) {
    for file in corpus(target) {
        // The name stands in the output when the input fails.
        println!("{}", file.display());
        run(&std::fs::read(file).unwrap());
    }
}

#[test]
fn the_corpus_of_the_walk_holds() {
    replay("walk", walk);
}

#[test]
fn the_corpus_of_json_holds() {
    replay("json", json);
}

#[test]
fn the_corpora_of_metrics_hold() {
    replay("metrics", metrics);
    replay("metrics_json", metrics_json);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_holds_for_the_walk_holds_for_encoded_requests(request in requests()) {
        walk(&request.encode_to_vec());
    }

    #[test]
    fn what_holds_for_the_walk_holds_for_odd_and_broken_bytes(odd in wild_bytes(), broken in broken_bytes()) {
        walk(&odd);
        walk(&broken);
    }

    #[test]
    fn what_holds_for_json_holds_for_every_text(text in json_texts()) {
        json(&text);
    }

    #[test]
    fn what_holds_for_metrics_holds_for_all_bytes(
        request in testing::metrics::requests(),
        odd in testing::metrics::wild_bytes(),
        broken in testing::metrics::broken_bytes(),
    ) {
        metrics(&request.encode_to_vec());
        metrics(&odd);
        metrics(&broken);
    }
}
