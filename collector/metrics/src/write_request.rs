//! Requests of remote write 1.0: samples grouped by series, encoded with exact sizes.
//!
//! Series stand in the order in which they first came and samples of one series by time, so that the same input gives the
//! same bytes.

use hashbrown::HashTable;
use tracepipe_otlp::wire::{bytes_field_len, put_bytes_header};

use crate::series::TranslatedSeries;

/// Field number of `timeseries` in `WriteRequest`.
pub(crate) const TIMESERIES: u32 = 1;

/// Brings samples of one series together, in the order in which the series came, and sorts them by time. Of several samples
/// of one time the last stays, since it is newer news; gives how many went.
pub fn sort(samples: &mut Vec<TranslatedSeries>) -> usize {
    let mut series: HashTable<usize> = HashTable::with_capacity(samples.len());
    // Of each sample: the first one of its series, its time and its place.
    let mut order: Vec<(usize, i64, usize)> = Vec::with_capacity(samples.len());
    let mut is_sorted = true;
    for (index, sample) in samples.iter().enumerate() {
        let is_same = |first: &usize| samples[*first].is_series_of(sample);
        let entry = series.entry(sample.hash, is_same, |first| samples[*first].hash);
        let next = (*entry.or_insert(index).get(), sample.timestamp_ms, index);
        is_sorted &= order
            .last()
            .is_none_or(|before| (before.0, before.1) < (next.0, next.1));
        order.push(next);
    }
    if is_sorted {
        return 0;
    }
    order.sort_unstable();
    let mut slots: Vec<Option<TranslatedSeries>> = samples.drain(..).map(Some).collect();
    for (position, (first, time, index)) in order.iter().enumerate() {
        let next = order.get(position + 1);
        if next.is_none_or(|(next_first, next_time, _)| (next_first, next_time) != (first, time)) {
            samples.extend(slots[*index].take());
        }
    }
    order.len() - samples.len()
}

/// Appends the `WriteRequest` of samples that [`sort`] has sorted, or of neighbours among them.
pub fn encode(sorted: &[TranslatedSeries], out: &mut Vec<u8>) {
    for (series, length) in grouped(sorted) {
        put_bytes_header(TIMESERIES, length, out);
        for (index, sample) in series.iter().enumerate() {
            if index == 0 {
                out.extend_from_slice(&sample.labels);
            }
            sample.put_sample(out);
        }
    }
}

/// Bytes that [`encode`] appends: never more than those of each sample alone.
pub fn encoded_len(sorted: &[TranslatedSeries]) -> usize {
    grouped(sorted)
        .map(|(_, length)| bytes_field_len(TIMESERIES, length))
        .sum()
}

/// The samples of each series, and the length of its `TimeSeries`.
fn grouped(sorted: &[TranslatedSeries]) -> impl Iterator<Item = (&[TranslatedSeries], usize)> {
    sorted.chunk_by(TranslatedSeries::is_series_of).map(|series| {
        let labels = series.first().map_or(0, |sample| sample.labels.len());
        let samples: usize = series.iter().map(TranslatedSeries::sample_len).sum();
        (series, labels + samples)
    })
}
