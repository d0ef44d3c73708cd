//! Every sample that came, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::checks::{self, Limits, Place};
use super::reason::Reason;
use crate::remote_write::{Exemplar, Histogram, Labels, Metadata, TimeSeries, WriteRequest, label_value};

/// Refused samples that are remembered; more are counted only.
const REFUSED_MAX: usize = 10_000;

/// A series as it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// The bits of its floats by their times in milliseconds.
    pub samples: BTreeMap<i64, u64>,
    /// Its native histograms by their times.
    pub histograms: BTreeMap<i64, Histogram>,
    /// Its exemplars in the order of arrival, each once.
    pub exemplars: Vec<Exemplar>,
}

impl Series {
    fn newest(&self) -> Option<i64> {
        let float = self.samples.keys().next_back();
        let histogram = self.histograms.keys().next_back();
        float.max(histogram).copied()
    }
}

/// A sample that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// Its series.
    pub labels: Labels,
    /// Its time in milliseconds since the Unix epoch.
    pub timestamp: i64,
}

/// What the fake counted since its start. A native histogram is a sample as a float is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// HTTP requests, all of them.
    pub requests: u64,
    /// Of these, refused for their signature.
    pub denied: u64,
    /// Of these, refused whole: path, headers, snappy, protobuf.
    pub invalid: u64,
    /// Of these, failed because the script said so.
    pub scripted: u64,
    /// Of these, above the rate of samples.
    pub over_rate: u64,
    /// Of these, too large.
    pub too_large: u64,
    /// Of these, refused for a sample in them.
    pub rejected: u64,
    /// Of these, refused by the Prometheus behind.
    pub refused_behind: u64,
    /// Requests that were answered with 200.
    pub writes: u64,
    /// Samples in them, repeated ones included.
    pub samples: u64,
    /// Of these, native histograms.
    pub histograms: u64,
    /// Of the samples, those that were there before, with the same value.
    pub samples_repeated: u64,
    /// Of the samples, those that came after a later one of their series.
    pub samples_out_of_order: u64,
    /// Samples that were not taken for a reason of their own.
    pub samples_refused: u64,
    /// Exemplars that were taken.
    pub exemplars: u64,
    /// Entries of metadata that were taken.
    pub metadata: u64,
    /// Bytes of the requests that were taken, compressed.
    pub bytes: u64,
}

/// What becomes of the good samples beside a bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBad {
    /// None is taken, as with Prometheus.
    #[default]
    RejectRequest,
    /// They are taken, as with Cortex. Whether AMP does is not known.
    KeepGood,
}

/// Series that are refused whatever they hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poison {
    /// A label that they have.
    pub label: String,
    /// Its value.
    pub value: String,
    /// Why.
    pub reason: Reason,
}

impl Poison {
    fn hits(&self, labels: &Labels) -> bool {
        label_value(labels, &self.label) == Some(&self.value)
    }
}

/// What the fake remembers.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) series: BTreeMap<Labels, Series>,
    pub(super) metadata: BTreeMap<String, Metadata>,
    pub(super) refused: Vec<Refused>,
    pub(super) counts: Counts,
    pub(super) poison: Vec<Poison>,
    /// Samples that may still come, and when that was worked out.
    bucket: Option<(f64, i64)>,
}

/// A sample that is to be taken back when another of its request is bad.
enum Undo {
    Float(Labels, i64),
    Histogram(Labels, i64),
}

impl Store {
    /// True: so many samples are within the rate, and are counted against it.
    pub(super) fn within_rate(&mut self, samples: u64, now: i64, limits: &Limits) -> bool {
        let Some((rate, burst)) = limits.rate else {
            return true;
        };
        let (left, at) = self.bucket.unwrap_or((burst as f64, now));
        let grown = rate as f64 * (now - at).max(0) as f64 / 1000.0;
        let left = (left + grown).min(burst as f64);
        let fits = samples as f64 <= left;
        self.bucket = Some((if fits { left - samples as f64 } else { left }, now));
        fits
    }

    /// Takes a request's samples, or says why not; of several bad samples the first.
    pub(super) fn put(
        &mut self,
        request: WriteRequest,
        now: i64,
        limits: &Limits,
        on_bad: OnBad,
    ) -> Result<(), Refused> {
        let before = self.counts;
        let mut seen = BTreeSet::new();
        let mut undo = Vec::new();
        let mut bad = Vec::new();
        let mut exemplars = Vec::new();
        for mut series in request.series {
            let fine = checks::series(&series, limits).and_then(|()| self.admits(&series.labels, limits));
            let fine = if seen.insert(series.labels.clone()) {
                fine
            } else {
                Err(Reason::DuplicateSeries)
            };
            let found = std::mem::take(&mut series.exemplars);
            match fine {
                Ok(()) => {
                    exemplars.push((series.labels.clone(), found));
                    self.put_series(series, (now, limits), &mut undo, &mut bad);
                }
                Err(reason) => refuse_all(&series, reason, &mut bad),
            }
        }
        let first = bad.first().cloned();
        if first.is_some() && on_bad == OnBad::RejectRequest {
            self.counts = before;
            self.take_back(undo);
        } else {
            self.put_metadata(request.metadata);
            self.put_exemplars(exemplars);
        }
        self.counts.samples_refused += bad.len() as u64;
        let room = REFUSED_MAX.saturating_sub(self.refused.len());
        self.refused.extend(bad.into_iter().take(room));
        first.map_or(Ok(()), Err)
    }

    pub(super) fn put_metadata(&mut self, metadata: Vec<Metadata>) {
        self.counts.metadata += metadata.len() as u64;
        let named = metadata.into_iter().map(|it| (it.name.clone(), it));
        self.metadata.extend(named);
    }

    fn admits(&self, labels: &Labels, limits: &Limits) -> Result<(), Reason> {
        if let Some(poison) = self.poison.iter().find(|it| it.hits(labels)) {
            Err(poison.reason)
        } else if self.series.len() >= limits.series && !self.series.contains_key(labels) {
            Err(Reason::PerUserSeriesLimit)
        } else {
            Ok(())
        }
    }

    fn put_series(
        &mut self,
        from: TimeSeries,
        (now, limits): (i64, &Limits),
        undo: &mut Vec<Undo>,
        bad: &mut Vec<Refused>,
    ) {
        let labels = from.labels;
        let into = self.series.entry(labels.clone()).or_default();
        let mut result = |place: Result<Place, Reason>, timestamp| match place {
            Ok(place) => {
                self.counts.samples += 1;
                self.counts.samples_repeated += u64::from(place == Place::Repeated);
                self.counts.samples_out_of_order += u64::from(place == Place::Older);
                place != Place::Repeated
            }
            Err(reason) => {
                bad.push(Refused {
                    reason,
                    labels: labels.clone(),
                    timestamp,
                });
                false
            }
        };
        for sample in from.samples {
            let time = sample.timestamp;
            let place = checks::time(time, now, limits).and_then(|()| {
                let known = into.samples.get(&time);
                checks::order(
                    (time, &sample.bits),
                    into.newest(),
                    known,
                    limits.out_of_order_window,
                )
            });
            if result(place, time) {
                into.samples.insert(time, sample.bits);
                undo.push(Undo::Float(labels.clone(), time));
            }
        }
        let mut histograms = 0;
        for histogram in from.histograms {
            let time = histogram.timestamp;
            let place = checks::time(time, now, limits)
                .and_then(|()| checks::histogram(&histogram, limits))
                .and_then(|()| {
                    let known = into.histograms.get(&time);
                    checks::order(
                        (time, &histogram),
                        into.newest(),
                        known,
                        limits.out_of_order_window,
                    )
                });
            histograms += u64::from(place.is_ok());
            if result(place, time) {
                into.histograms.insert(time, histogram);
                undo.push(Undo::Histogram(labels.clone(), time));
            }
        }
        self.counts.histograms += histograms;
        if into.newest().is_none() {
            self.series.remove(&labels);
        }
    }

    fn take_back(&mut self, undo: Vec<Undo>) {
        for one in undo {
            let labels = match one {
                Undo::Float(labels, time) => {
                    self.series
                        .entry(labels.clone())
                        .or_default()
                        .samples
                        .remove(&time);
                    labels
                }
                Undo::Histogram(labels, time) => {
                    self.series
                        .entry(labels.clone())
                        .or_default()
                        .histograms
                        .remove(&time);
                    labels
                }
            };
            if self.series.get(&labels).is_some_and(|it| it.newest().is_none()) {
                self.series.remove(&labels);
            }
        }
    }

    fn put_exemplars(&mut self, all: Vec<(Labels, Vec<Exemplar>)>) {
        for (labels, exemplars) in all {
            let Some(series) = self.series.get_mut(&labels) else {
                continue;
            };
            for exemplar in exemplars {
                if !series.exemplars.contains(&exemplar) {
                    series.exemplars.push(exemplar);
                    self.counts.exemplars += 1;
                }
            }
        }
    }
}

fn refuse_all(series: &TimeSeries, reason: Reason, bad: &mut Vec<Refused>) {
    let floats = series.samples.iter().map(|it| it.timestamp);
    let histograms = series.histograms.iter().map(|it| it.timestamp);
    let mut times: Vec<i64> = floats.chain(histograms).collect();
    if times.is_empty() {
        // A series of nothing is refused as well.
        times.push(0);
    }
    bad.extend(times.into_iter().map(|timestamp| Refused {
        reason,
        labels: series.labels.clone(),
        timestamp,
    }));
}
