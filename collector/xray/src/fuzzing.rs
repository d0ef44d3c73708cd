//! What the fuzz target of `fuzz/` runs, which the tests run too, on its corpus. Not in the product.

use tracepipe_config::AwsXraySettings;
use tracepipe_otlp::TraceOutline;
use tracepipe_otlp::view::EachSpan;

use crate::Translator;
use crate::check::{check_document, check_no_repeated_key};
use crate::stack::StackTrace;

/// The first byte of the input says with which settings, the rest is an encoded request. Panics when a document is not one
/// that X-Ray takes, or a span is neither in one nor counted.
pub fn translate(input: &[u8]) {
    let Some((switches, request)) = input.split_first() else {
        return;
    };
    if let Ok(text) = std::str::from_utf8(request) {
        for language in ["java", "python", "nodejs", "go"] {
            StackTrace::parse(language, text);
        }
    }
    let Ok(mut spans) = EachSpan::new(request) else {
        return;
    };
    let is_on = |bit: u32| switches & (1 << bit) != 0;
    let names = ["http.method", "otel.resource.service.name", "k", "otel.span.name"];
    let settings = AwsXraySettings {
        index_all_attributes: is_on(0),
        indexed_attributes: names
            .iter()
            .filter(|_| is_on(1))
            .map(|name| (*name).to_owned())
            .collect(),
        aws_log_groups: is_on(2).then(|| "group".to_owned()).into_iter().collect(),
        ..AwsXraySettings::default()
    };
    let translator = Translator::new(&settings);
    let mut translator = translator.begin(|| TraceOutline::read(request, is_on(3)));
    let mut last_id = 0;
    let mut next_id = || {
        last_id += 1;
        last_id
    };
    let mut documents = Vec::new();
    while let Some(span) = spans.next() {
        documents.clear();
        let done = translator.translate(span, &mut next_id, &mut documents);
        assert_eq!(done.spans + done.untranslatable_spans.total(), 1);
        assert_eq!(done.documents, documents.len() as u64);
        let carried: u64 = documents.iter().map(|document| u64::from(document.spans)).sum();
        assert_eq!(carried, done.spans);
        for document in &documents {
            check_document(document);
            check_no_repeated_key(&document.json());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    #[test]
    fn the_corpus_holds() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/translate");
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() > 20, "{} files in {}", files.len(), folder.display());
        for file in files {
            // The name stands in the output when the input fails.
            println!("{}", file.display());
            super::translate(&std::fs::read(file).unwrap());
        }
    }
}
