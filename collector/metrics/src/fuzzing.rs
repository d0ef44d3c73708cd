//! What the fuzz target of `fuzz/` runs, which the tests run too, on its corpus. Not in the product.

use std::collections::HashSet;
use std::time::Duration;

use tracepipe_config::{
    ClientTls, LabelUnderscores, RemoteWriteSettings, ResourcePromotion, RetrySettings, TranslationSettings,
    TranslationStrategy,
};

use crate::series::{SampleValue, TranslatedSeries};
use crate::{RemoteWrite, UnixMillis, label_set, write_request};

/// Our clock; the corpus has points of this time.
const NOW_MS: i64 = 1_700_000_000_000;

/// The first byte of the input says how the settings differ from `settings`, the rest is an encoded request, which comes twice.
/// Panics when a series is not one that Prometheus takes, or a data point is neither translated nor counted as dropped.
pub fn translate(input: &[u8]) {
    let mut settings = settings();
    let Some((switches, request)) = input.split_first() else {
        return;
    };
    let is_on = |bit: u32| switches & (1 << bit) != 0;
    settings.translation.scope_info = is_on(0);
    settings.inject_zero = is_on(1);
    settings.target_info = is_on(2);
    if is_on(3) {
        settings.translation.promote = ResourcePromotion::All {
            exclude_service_attributes: is_on(4),
        };
    }
    if is_on(5) {
        settings.max_native_buckets = 3;
    }
    if is_on(6) {
        settings.max_streams = 2;
    }
    let points = tracepipe_otlp::metrics::check(request).map(|counted| counted.points);
    let mut remote_write = RemoteWrite::new(&settings);
    let mut out = Vec::new();
    for minute in 0..2 {
        let now = UnixMillis(NOW_MS + minute * 60_000);
        let before = out.len();
        let done = remote_write.translate(request, now, &mut out);
        assert_eq!(done.samples, (out.len() - before) as u64);
        if let Ok(points) = points {
            assert_eq!(done.points + done.dropped.total(), points);
        }
        remote_write.poll(now, &mut out);
    }
    remote_write.drain(UnixMillis(NOW_MS + 120_000), &mut out);
    out.iter().for_each(check);
    let mut metadata = Vec::new();
    remote_write.poll_metadata(UnixMillis(NOW_MS), &mut metadata);
    write_request::sort(&mut out);
    let mut bytes = Vec::new();
    write_request::encode(&out, &mut bytes);
    assert_eq!(bytes.len(), write_request::encoded_len(&out));
}

fn check(series: &TranslatedSeries) {
    let labels: Vec<_> = label_set::decoded(series.labels()).collect();
    let names: Vec<&[u8]> = labels.iter().map(|(name, _)| *name).collect();
    assert!(
        names.is_sorted_by(|a, b| a < b),
        "sorted, none twice: {}",
        series.describe()
    );
    for (name, value) in &labels {
        assert!(!value.is_empty(), "{}", series.describe());
        assert!(str::from_utf8(value).is_ok());
        let is_name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        assert!(
            name.iter().all(is_name_byte) && !name[0].is_ascii_digit(),
            "{}",
            series.describe()
        );
    }
    let distinct: HashSet<_> = names.iter().collect();
    assert!(distinct.contains(&label_set::NAME));
    match &series.value {
        SampleValue::Float(_) => {}
        SampleValue::Histogram(encoded) => check_histogram(encoded),
    }
}

/// As many deltas as the spans are long, and all within 32 bits.
fn check_histogram(encoded: &[u8]) {
    use tracepipe_otlp::wire::{Cursor, Payload, fields};
    let mut lengths = [0_u64; 2];
    let mut deltas = [0_u64; 2];
    for field in fields(encoded) {
        match field {
            (number @ (8 | 11), Payload::Bytes(span)) => {
                for field in fields(span) {
                    if let (2, Payload::Varint(length)) = field {
                        lengths[usize::from(number == 11)] += length;
                    }
                }
            }
            (number @ (9 | 12), Payload::Bytes(packed)) => {
                let mut cursor = Cursor::new(packed);
                while !cursor.is_empty() {
                    cursor.varint().expect("what we wrote");
                    deltas[usize::from(number == 12)] += 1;
                }
            }
            (3 | 5, Payload::Fixed64(_)) | (1 | 4 | 6 | 15, Payload::Varint(_)) => {}
            (number, _) => panic!("field {number} is none that we write"),
        }
    }
    assert_eq!(lengths, deltas);
    assert!(lengths[0] + lengths[1] <= 160 * 3);
}

/// Those that the tests begin with.
pub(crate) fn settings() -> RemoteWriteSettings {
    RemoteWriteSettings {
        endpoint: "http://localhost/".to_owned(),
        auth: None,
        headers: Vec::new(),
        tls: ClientTls::Insecure,
        proxy_url: None,
        translation: TranslationSettings {
            namespace: None,
            strategy: TranslationStrategy::UnderscoreEscapingWithSuffixes,
            label_underscores: LabelUnderscores::Collapse,
            promote: ResourcePromotion::None,
            scope_info: false,
        },
        external_labels: Vec::new(),
        target_info: false,
        target_info_interval: Duration::from_mins(1),
        send_metadata: true,
        metadata_interval: Duration::from_mins(1),
        timeout: Duration::from_secs(30),
        shards: 1,
        queue_size: 1,
        max_batch_size_bytes: 3_000_000,
        max_samples_per_send: 2000,
        batch_send_deadline: Duration::from_secs(1),
        retry: RetrySettings {
            enabled: true,
            initial_interval: Duration::from_millis(50),
            max_interval: Duration::from_secs(5),
            max_elapsed_time: Duration::ZERO,
            multiplier: 1.5,
            randomization_factor: 0.5,
        },
        bisect: true,
        inject_zero: false,
        sample_age_limit: Duration::from_hours(1),
        out_of_order_window: Duration::from_mins(1),
        max_streams: 100_000,
        max_stale: Duration::from_mins(5),
        max_native_buckets: 160,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use prost::Message;

    use crate::testing;

    #[test]
    fn the_corpus_holds() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/series");
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() > 10, "{} files in {}", files.len(), folder.display());
        for file in files {
            // The name stands in the output when the input fails.
            println!("{}", file.display());
            super::translate(&std::fs::read(file).unwrap());
        }
    }

    proptest! {
        #[test]
        fn a_request_with_some_bytes_changed_holds(
            switches: u8,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
            is_cut: bool,
        ) {
            let mut bytes = testing::every_kind().encode_to_vec();
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes.insert(0, switches);
            super::translate(&bytes);
        }

        #[test]
        fn arbitrary_bytes_hold(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            super::translate(&bytes);
        }
    }
}
