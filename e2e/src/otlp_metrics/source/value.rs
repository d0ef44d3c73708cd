//! What a series of points has come to, and its next point.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Any, Attributes, Exemplar, Explicit, Exponential, Point, Summary, odd};
use super::{Growth, STEP_NANOS};
use crate::rng::Rng;

/// Buckets that an exponential histogram spreads over at most, below the 160 of the SDKs.
const SPREAD: u64 = 60;

/// Observations of an exponential histogram from one point to the next. One that begins anew has fewer than before then: of
/// others Prometheus 2.42 falls when it looks for buckets that are gone.
const OBSERVED_MAX: u64 = 12;

/// Quantiles of a summary, in any order and of any size.
const QUANTILES: [&[f64]; 5] = [
    &[],
    &[0.5],
    &[0.0, 0.5, 0.99, 1.0],
    &[0.9, 0.1],
    &[-1.0, 2.0, 0.333_333_333_333_333_3],
];

/// A series of points.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    attributes: Attributes,
    /// What differs between series of one stream: integers or doubles, with a sum or without.
    pub(super) nature: u64,
    start: u64,
    last: u64,
    pub(super) total: i64,
    explicit: Explicit,
    zero: u64,
    sum: f64,
    positive: BTreeMap<i64, u64>,
    negative: BTreeMap<i64, u64>,
    /// Times of points that came late.
    late: BTreeSet<u64>,
}

/// How a point says that nothing was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stale {
    /// Without anything else.
    Bare,
    /// With the bounds and the sum of the others: upstream marks the series only that such a point names.
    Whole,
    /// As an empty exponential histogram.
    Native,
}

/// What the points of one metric in one request have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) time: u64,
    /// None for gauges, which have no start.
    pub(super) growth: Option<Growth>,
    pub(super) stale: Stale,
    pub(super) may_be_late: bool,
    pub(super) has_exemplars: bool,
}

/// The next point of each series.
pub(super) fn each<V: Default>(
    states: &mut [State],
    rng: &mut Rng,
    turn: Turn,
    mut value: impl FnMut(&mut State, &mut Rng) -> V,
) -> Vec<Point<V>> {
    let mut points = Vec::new();
    for state in states {
        let start = state.next_start(rng, turn);
        let stale = state.may_be_stale(turn) && rng.chance(0.03);
        state.last = turn.time;
        let mut point = Point {
            attributes: state.attributes.clone(),
            start,
            time: turn.time,
            stale,
            ..Point::default()
        };
        if !stale || turn.stale == Stale::Whole {
            point.value = value(state, rng);
        }
        if turn.has_exemplars && !stale {
            point.exemplars = exemplars(rng, turn.time);
        }
        points.push(point);
        // Half a second beside all others: one time is never there twice.
        let late = turn.time - rng.between(1, 5) * STEP_NANOS - STEP_NANOS / 2;
        if turn.may_be_late && rng.chance(0.05) && state.late.insert(late) {
            points.push(Point {
                attributes: state.attributes.clone(),
                start,
                time: late,
                value: value(state, rng),
                ..Point::default()
            });
        }
    }
    points
}

impl State {
    pub(super) fn new(attributes: Attributes, nature: u64, start: u64) -> Self {
        Self {
            attributes,
            nature,
            start,
            last: start,
            ..Self::default()
        }
    }

    fn next_start(&mut self, rng: &mut Rng, turn: Turn) -> u64 {
        let kind = self.nature >> 8;
        match turn.growth {
            None => 0,
            // One series in eight never says it.
            Some(_) if kind.is_multiple_of(8) => 0,
            Some(Growth::Cumulative) => {
                if rng.chance(0.02) && (turn.stale != Stale::Native || self.observed() > OBSERVED_MAX) {
                    self.reset(turn.time - STEP_NANOS / 2);
                }
                self.start
            }
            Some(Growth::Delta) => match kind % 8 {
                1 => self.last - STEP_NANOS / 2,
                2 => turn.time - STEP_NANOS / 4,
                _ => self.last,
            },
        }
    }

    /// The process began anew.
    fn reset(&mut self, start: u64) {
        *self = Self {
            attributes: std::mem::take(&mut self.attributes),
            late: std::mem::take(&mut self.late),
            nature: self.nature,
            last: self.last,
            start,
            ..Self::default()
        };
    }

    /// Observations of an exponential histogram.
    fn observed(&self) -> u64 {
        self.positive.values().chain(self.negative.values()).sum::<u64>() + self.zero
    }

    /// A delta that says so is a row of the table.
    fn may_be_stale(&self, turn: Turn) -> bool {
        turn.growth != Some(Growth::Delta) && (turn.stale != Stale::Whole || self.has_sum())
    }

    /// One series in eight never has a sum.
    fn has_sum(&self) -> bool {
        !self.nature.is_multiple_of(8)
    }
}

/// Later ones are newer, and newer than those of the points before.
fn exemplars(rng: &mut Rng, time: u64) -> Vec<Exemplar> {
    let count = if rng.chance(0.3) { rng.between(1, 4) } else { 0 };
    let one = |place: u64, rng: &mut Rng| Exemplar {
        attributes: filtered(rng),
        time: time - (9 - place) * (STEP_NANOS / 10),
        value: rng.between(0, 2000) as f64 / 8.0 - 10.0,
        trace_id: rng.trace_id(),
        span_id: if rng.chance(0.8) { rng.span_id() } else { [0; 8] },
    };
    (0..count).map(|place| one(place, rng)).collect()
}

/// Keys that are names, and values that are none too long, but some that are.
fn filtered(rng: &mut Rng) -> Attributes {
    let all = [
        ("exemplar_key", Any::from("v")),
        ("number", Any::Int(-7)),
        ("flag", Any::Bool(true)),
        ("ratio", Any::Double(0.25)),
        ("text", Any::from("l\u{ed}nea \"1\"")),
        ("long", Any::Text("\u{e9}".repeat(130))),
    ];
    all.into_iter()
        .filter(|_| rng.chance(0.1))
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

pub(super) fn explicit(state: &mut State, rng: &mut Rng, bounds: &[f64], growth: Growth) -> Explicit {
    let buckets = bounds.len() + 1;
    let mut added = Explicit {
        sum: Some(0.0),
        counts: vec![0; buckets],
        bounds: bounds.to_vec(),
        ..Explicit::default()
    };
    // Nothing is above an infinite bound.
    let above = usize::from(bounds.last() != Some(&f64::INFINITY));
    for _ in 0..rng.between(0, 20) {
        let bucket = rng.between(0, (bounds.len() + above).saturating_sub(1) as u64) as usize;
        if let Some(count) = added.counts.get_mut(bucket) {
            *count += 1;
            added.count += 1;
            *added.sum.get_or_insert_default() += bucket as f64 + 0.5;
        }
    }
    let has_sum = state.has_sum();
    // One series in sixteen says nothing of its buckets.
    let has_counts = !(state.nature >> 16).is_multiple_of(16);
    let whole = &mut state.explicit;
    whole.counts.resize(buckets, 0);
    whole
        .counts
        .iter_mut()
        .zip(&added.counts)
        .for_each(|(whole, added)| *whole += added);
    whole.count += added.count;
    whole.sum = Some(whole.sum.unwrap_or_default() + added.sum.unwrap_or_default());
    whole.bounds = bounds.to_vec();
    let mut value = if growth == Growth::Delta {
        added
    } else {
        whole.clone()
    };
    if !has_sum {
        value.sum = None;
    }
    if !has_counts {
        value.counts.clear();
    }
    value
}

pub(super) fn exponential(
    state: &mut State,
    rng: &mut Rng,
    (scale, centre): (i32, i64),
    growth: Growth,
) -> Exponential {
    if growth == Growth::Delta {
        state.positive.clear();
        state.negative.clear();
        (state.zero, state.sum) = (0, 0.0);
    }
    // Few values far apart leave empty buckets between, and groups of them.
    let spread = SPREAD >> rng.between(0, 5);
    for _ in 0..rng.between(0, OBSERVED_MAX) {
        let index = centre + rng.between(0, spread) as i64 - spread as i64 / 2;
        match rng.between(0, 9) {
            0 => state.zero += 1,
            1 | 2 => *state.negative.entry(index).or_default() += 1,
            _ => *state.positive.entry(index).or_default() += 1,
        }
        state.sum += rng.between(0, 64) as f64;
    }
    // One series in four has empty buckets before and behind the others. With one more upstream begins with a span of no
    // buckets, and Prometheus 2.42 falls over the next point of the series.
    let pad = i64::from((state.nature >> 24).is_multiple_of(4) && scale <= 8) * 2;
    Exponential {
        count: state.observed(),
        sum: Some(state.sum),
        scale,
        zero_count: state.zero,
        zero_threshold: [0.0, 1e-9, 0.25][(state.nature % 3) as usize],
        positive: array(&state.positive, pad),
        negative: array(&state.negative, pad),
    }
}

/// Offset and counts from the first populated bucket to the last, and so many empty ones at both ends.
fn array(counts: &BTreeMap<i64, u64>, pad: i64) -> (i32, Vec<u64>) {
    let (Some((first, _)), Some((last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return (pad as i32, Vec::new());
    };
    let (first, last) = (first - pad, last + pad);
    let of = |index| counts.get(&index).copied().unwrap_or_default();
    (first as i32, (first..=last).map(of).collect())
}

pub(super) fn summary(state: &mut State, rng: &mut Rng) -> Summary {
    state.total += rng.between(0, 9) as i64;
    let quantiles = QUANTILES[((state.nature >> 40) % 5) as usize];
    Summary {
        count: state.total.unsigned_abs(),
        sum: state.total as f64 * 0.25,
        quantiles: quantiles
            .iter()
            .map(|quantile| (*quantile, odd::number(rng)))
            .collect(),
    }
}
