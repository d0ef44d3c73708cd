//! Exemplars: observations that stand for others, with the trace that they are of.

use tracepipe_otlp::wire::{put_bytes_header, put_varint, varint_len};

use crate::label_set::{Unsorted, put_label};
use crate::limits::EXEMPLAR_CHARS_MAX;
use crate::rules::Rules;
use crate::series::ordinary;
use crate::view::{Exemplar, Exemplars};

/// Field number of `exemplars` in `TimeSeries`.
const EXEMPLARS: u32 = 3;

/// The newest of the exemplars, at most `most`, the oldest first; with how many were left out.
pub(crate) fn newest(
    exemplars: Exemplars<'_>,
    most: usize,
    rules: &Rules,
    point_ms: i64,
) -> (Option<Box<[u8]>>, u64) {
    let mut kept = Newest::default();
    let mut dropped = 0;
    for exemplar in exemplars.iter() {
        dropped += match encoded(&exemplar, rules, point_ms) {
            Some((_, one)) => kept.put(one, most),
            None => 1,
        };
    }
    (kept.joined(), dropped)
}

/// The newest exemplars of each bucket of a histogram with these upper bounds, which rise, at most `most` each, the oldest
/// first; the last bucket has no bound. With how many were left out.
pub(crate) fn of_buckets(
    exemplars: Exemplars<'_>,
    bounds: &[f64],
    most: usize,
    rules: &Rules,
    point_ms: i64,
) -> (Vec<Option<Box<[u8]>>>, u64) {
    let mut kept: Vec<Newest> = Vec::new();
    kept.resize_with(bounds.len() + 1, Newest::default);
    let mut dropped = 0;
    for exemplar in exemplars.iter() {
        let Some((value, one)) = encoded(&exemplar, rules, point_ms) else {
            dropped += 1;
            continue;
        };
        // What is not a number is in no bucket but the last.
        let bucket = bounds.partition_point(|bound| value > *bound || value.is_nan());
        if let Some(bucket) = kept.get_mut(bucket) {
            dropped += bucket.put(one, most);
        }
    }
    (kept.iter().map(Newest::joined).collect(), dropped)
}

/// Exemplars of one series with their times, the oldest first: a receiver refuses those that are older than one it has.
#[derive(Debug, Default)]
struct Newest(Vec<(i64, Vec<u8>)>);

impl Newest {
    /// Gives how many had to go.
    fn put(&mut self, one: (i64, Vec<u8>), most: usize) -> u64 {
        let place = self.0.partition_point(|(time, _)| *time <= one.0);
        self.0.insert(place, one);
        if self.0.len() <= most {
            return 0;
        }
        self.0.remove(0);
        1
    }

    fn joined(&self) -> Option<Box<[u8]>> {
        let parts = self.0.iter().map(|(_, encoded)| encoded.as_slice());
        let joined = parts.collect::<Vec<_>>().concat();
        (!joined.is_empty()).then(|| joined.into_boxed_slice())
    }
}

/// Value, time and the encoded exemplar. None for one without a number, and for one without any label: Cortex, which Amazon
/// Managed Prometheus is made of, refuses the sample that such a one comes with (`ValidateExemplar`).
fn encoded(exemplar: &Exemplar<'_>, rules: &Rules, point_ms: i64) -> Option<(f64, (i64, Vec<u8>))> {
    let value = exemplar.value?.as_f64();
    let labels = labels(exemplar, rules);
    if labels.is_empty() {
        return None;
    }
    let time = time_of(exemplar, point_ms);
    let mut out = Vec::new();
    put(&labels, ordinary(value), time, &mut out);
    Some((value, (time, out)))
}

/// In milliseconds since the Unix epoch; the point's own when the sender wrote none.
fn time_of(exemplar: &Exemplar<'_>, point_ms: i64) -> i64 {
    match exemplar.time_unix_nano {
        0 => point_ms,
        nanos => crate::time::millis(nanos),
    }
}

fn put(labels: &[u8], value: f64, time: i64, out: &mut Vec<u8>) {
    let value_len = if value.to_bits() == 0 { 0 } else { 9 };
    let time_len = if time == 0 {
        0
    } else {
        1 + varint_len(time.cast_unsigned())
    };
    put_bytes_header(EXEMPLARS, labels.len() + value_len + time_len, out);
    out.extend_from_slice(labels);
    if value_len > 0 {
        out.push(2 << 3 | 1);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    if time_len > 0 {
        out.push(3 << 3);
        put_varint(time.cast_unsigned(), out);
    }
}

/// The ids, and what the view left out of the point's attributes unless all are too long together. Receivers count the labels
/// as they are sent, and one that is too long costs the sample, too.
fn labels(exemplar: &Exemplar<'_>, rules: &Rules) -> Vec<u8> {
    let mut ids = Unsorted::default();
    for (name, id, length) in [
        (&b"trace_id"[..], exemplar.trace_id, 16),
        (b"span_id", exemplar.span_id, 8),
    ] {
        if id.len() == length && id.iter().any(|byte| *byte != 0) {
            ids.push(name, &hex(id));
        }
    }
    let ids = ids.sort();
    // What gives no label is not counted: the exemplar is an aside.
    let filtered = rules.labels(exemplar.filtered_attributes().iter(), &mut 0);
    let all = ids.over(&filtered);
    let chars: usize = all
        .iter()
        .map(|(name, value)| count_chars(name) + count_chars(value))
        .sum();
    let labels = if chars > EXEMPLAR_CHARS_MAX { ids } else { all };
    let mut encoded = Vec::new();
    for (name, value) in labels.iter() {
        put_label(name, value, &[], &mut encoded);
    }
    encoded
}

/// Characters of a text, as Go counts them.
fn count_chars(text: &[u8]) -> usize {
    text.utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum()
}

fn hex(id: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    id.iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .collect()
}
