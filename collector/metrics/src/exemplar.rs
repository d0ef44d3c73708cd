//! Exemplars: observations that stand for others, with the trace that they are of.

use tracepipe_otlp::wire::{put_bytes_header, put_varint, varint_len};

use crate::label_set::{Unsorted, put_label};
use crate::labels::put_value;
use crate::limits::EXEMPLAR_CHARS_MAX;
use crate::rules::Rules;
use crate::series::ordinary;
use crate::view::{Exemplar, Exemplars};

/// Field number of `exemplars` in `TimeSeries`.
const EXEMPLARS: u32 = 3;

/// The newest of the exemplars, at most `count`, the oldest first; with how many were left out.
pub(crate) fn newest(
    exemplars: Exemplars<'_>,
    count: usize,
    rules: &Rules,
    point_ms: i64,
) -> (Option<Box<[u8]>>, u64) {
    let mut kept: Vec<(i64, Exemplar<'_>)> = Vec::new();
    let mut dropped = 0;
    for exemplar in exemplars.iter() {
        if exemplar.value.is_none() {
            dropped += 1;
            continue;
        }
        let time = time_of(&exemplar, point_ms);
        let place = kept.partition_point(|(other, _)| *other <= time);
        kept.insert(place, (time, exemplar));
        if kept.len() > count {
            kept.remove(0);
            dropped += 1;
        }
    }
    let mut encoded = Vec::new();
    for (time, exemplar) in &kept {
        put(exemplar, *time, rules, &mut encoded);
    }
    ((!encoded.is_empty()).then(|| encoded.into_boxed_slice()), dropped)
}

/// The newest exemplar of each bucket of a histogram with these upper bounds, which rise; the last bucket has none. With how
/// many were left out.
pub(crate) fn of_buckets(
    exemplars: Exemplars<'_>,
    bounds: &[f64],
    rules: &Rules,
    point_ms: i64,
) -> (Vec<Option<Box<[u8]>>>, u64) {
    let mut kept: Vec<Option<(i64, Exemplar<'_>)>> = vec![None; bounds.len() + 1];
    let mut dropped = 0;
    for exemplar in exemplars.iter() {
        let Some(value) = exemplar.value else {
            dropped += 1;
            continue;
        };
        // What is not a number is in no bucket but the last.
        let value = value.as_f64();
        let bucket = bounds.partition_point(|bound| value > *bound || value.is_nan());
        let time = time_of(&exemplar, point_ms);
        if let Some(slot) = kept.get_mut(bucket) {
            dropped += u64::from(slot.is_some());
            if slot.is_none_or(|(other, _)| other <= time) {
                *slot = Some((time, exemplar));
            }
        }
    }
    let encode = |(time, exemplar): (i64, Exemplar<'_>)| {
        let mut encoded = Vec::new();
        put(&exemplar, time, rules, &mut encoded);
        encoded.into_boxed_slice()
    };
    (kept.into_iter().map(|slot| slot.map(encode)).collect(), dropped)
}

/// In milliseconds since the Unix epoch; the point's own when the sender wrote none.
fn time_of(exemplar: &Exemplar<'_>, point_ms: i64) -> i64 {
    match exemplar.time_unix_nano {
        0 => point_ms,
        nanos => crate::time::millis(nanos),
    }
}

fn put(exemplar: &Exemplar<'_>, time: i64, rules: &Rules, out: &mut Vec<u8>) {
    let labels = labels(exemplar, rules);
    let value = exemplar.value.map_or(0.0, |value| ordinary(value.as_f64()));
    let value_len = if value.to_bits() == 0 { 0 } else { 9 };
    let time_len = if time == 0 {
        0
    } else {
        1 + varint_len(time.cast_unsigned())
    };
    put_bytes_header(EXEMPLARS, labels.len() + value_len + time_len, out);
    out.extend_from_slice(&labels);
    if value_len > 0 {
        out.push(2 << 3 | 1);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    if time_len > 0 {
        out.push(3 << 3);
        put_varint(time.cast_unsigned(), out);
    }
}

/// The ids, and what the view left out of the point's attributes unless it is too long with them.
fn labels(exemplar: &Exemplar<'_>, rules: &Rules) -> Vec<u8> {
    let mut ids = Unsorted::default();
    let mut chars = 0;
    for (name, id, length) in [
        (&b"trace_id"[..], exemplar.trace_id, 16),
        (b"span_id", exemplar.span_id, 8),
    ] {
        if id.len() == length && id.iter().any(|byte| *byte != 0) {
            ids.push(name, &hex(id));
            chars += name.len() + 2 * length;
        }
    }
    let ids = ids.sort();
    let filtered = exemplar.filtered_attributes();
    let mut text = Vec::new();
    for attribute in filtered.iter() {
        text.clear();
        put_value(attribute.value, &mut text);
        chars += count_chars(attribute.key) + count_chars(&text);
        if chars > EXEMPLAR_CHARS_MAX {
            break;
        }
    }
    let labels = if chars > EXEMPLAR_CHARS_MAX {
        ids
    } else {
        // What gives no label is not counted: the exemplar is an aside.
        ids.over(&rules.labels(filtered.iter(), &mut 0))
    };
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
