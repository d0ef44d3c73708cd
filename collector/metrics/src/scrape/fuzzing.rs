//! What the fuzz target `page` runs, which the tests run too, on its corpus. Not in the product.

use std::time::Duration;

use tracepipe_config::{
    LabelUnderscores, PrometheusSettings, ResourcePromotion, TranslationSettings, TranslationStrategy,
};

use crate::account::UnixMillis;

use super::{Format, Page, Registry, parser};

/// Our clock; the corpus has points of this time.
const NOW_MS: i64 = 1_700_000_000_000;

/// The first byte of the input says how the settings differ from [`settings`], the rest is an encoded request, which comes
/// twice. Panics when the page is not well-formed, when it is another one in pieces, or when a data point is neither on it
/// nor counted as dropped.
pub fn page(input: &[u8]) {
    let Some((switches, request)) = input.split_first() else {
        return;
    };
    let points = tracepipe_otlp::metrics::check(request).map(|counted| counted.points);
    let mut registry = Registry::new(&switched(*switches));
    for second in 0..2 {
        let now = UnixMillis(NOW_MS + second * 1000);
        let done = registry.apply(request, now);
        if let Ok(points) = points {
            assert_eq!(done.points + done.dropped.total(), points);
        }
        for format in [Format::Text, Format::OpenMetrics] {
            check(&registry, format, now);
        }
    }
    let mut next = registry.expire(UnixMillis(NOW_MS));
    while let Some(at) = next {
        next = registry.expire(at);
    }
    let held = registry.held();
    assert_eq!((held.series, held.families, held.bytes), (0, 0, 0));
}

fn check(registry: &Registry, format: Format, now: UnixMillis) {
    let mut whole = Vec::new();
    registry.write(format, now, &mut whole);
    let mut pieces = Vec::new();
    let mut page = Page::new(format);
    while registry.write_some(&mut page, now, 64, &mut pieces) {}
    assert_eq!(whole, pieces);
    let text = str::from_utf8(&whole).expect("pages are UTF-8");
    parser::check(text, format);
}

fn switched(switches: u8) -> PrometheusSettings {
    let is_on = |bit: u32| switches & (1 << bit) != 0;
    let mut settings = settings();
    settings.translation.scope_info = is_on(0);
    settings.send_timestamps = is_on(1);
    if is_on(2) {
        settings.translation.strategy = TranslationStrategy::UnderscoreEscapingWithoutSuffixes;
    }
    if is_on(3) {
        settings.translation.promote = ResourcePromotion::All {
            exclude_service_attributes: is_on(4),
        };
    }
    if is_on(5) {
        settings.translation.label_underscores = LabelUnderscores::Preserve;
    }
    if is_on(6) {
        settings.max_series = 2;
    }
    if is_on(7) {
        settings.const_labels = vec![("a".to_owned(), "const".to_owned())];
    }
    settings
}

/// Those that the tests begin with.
pub(super) fn settings() -> PrometheusSettings {
    PrometheusSettings {
        endpoint: ([127, 0, 0, 1], 8889).into(),
        translation: TranslationSettings {
            namespace: None,
            strategy: TranslationStrategy::UnderscoreEscapingWithSuffixes,
            label_underscores: LabelUnderscores::Collapse,
            promote: ResourcePromotion::None,
            scope_info: true,
        },
        const_labels: Vec::new(),
        send_timestamps: false,
        metric_expiration: Duration::from_mins(5),
        enable_open_metrics: true,
        max_series: 1000,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    #[test]
    fn the_corpus_holds() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/page");
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() > 10, "{} files in {}", files.len(), folder.display());
        for file in files {
            // The name stands in the output when the input fails.
            println!("{}", file.display());
            super::page(&std::fs::read(file).unwrap());
        }
    }
}
