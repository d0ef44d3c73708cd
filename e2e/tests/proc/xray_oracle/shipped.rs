//! What the collector makes of the same spans is what X-Ray takes: the strict fake and AWS's schema say so.

use tracepipe_e2e::fake_xray::checks;
use tracepipe_otlp::TraceOutline;
use tracepipe_xray::Translator;

use super::spans::SpanSource;
use super::{exporters, number, settings};
use crate::schema::Schema;

#[tokio::test]
async fn every_document_that_is_shipped_is_taken() {
    let seed = number("TRACEPIPE_XRAY_SEED", 7);
    let each = number("TRACEPIPE_XRAY_SPANS", 2_000).div_ceil(exporters().len() as u64);
    let mut lines = String::new();
    for (name, exporter) in exporters() {
        let settings = settings(&exporter);
        let source = SpanSource::new(seed, &settings);
        let translator = Translator::new(&settings);
        let mut id = 0;
        let mut random_id = || {
            id += 1;
            id
        };
        let (mut spans, mut documents, mut item) = (0, Vec::new(), 0);
        while spans < each {
            let trace = [source.resource_spans(item)];
            let done = translator
                .begin(|| TraceOutline::of(&trace, item % 2 == 0))
                .translate(&trace, &mut random_id, &mut documents);
            assert_eq!(
                done.spans + done.untranslatable_spans.total(),
                trace[0]
                    .scope_spans
                    .iter()
                    .map(|scope| scope.spans.len() as u64)
                    .sum::<u64>()
            );
            spans += done.spans;
            item += 1;
        }
        for document in &documents {
            let json = document.json();
            if let Err(refusal) = checks::check(&json) {
                panic!("{name}: {refusal:?}: {json}");
            }
            lines.push_str(&json.replace('\n', " "));
            lines.push('\n');
        }
        assert!(documents.len() as u64 >= spans);
    }
    if let Some(schema) = Schema::named() {
        schema.check(&lines).await;
    }
}
