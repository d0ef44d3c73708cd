//! Streams of points that grow as an application's do, of every kind and temporality, drawn by a seed.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Any, Data, Exemplar, Explicit, Exponential, Metric, Number, Point, Resource, Scope, Summary, Temporality,
    odd,
};
use crate::rng::Rng;

/// What a stream measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A gauge.
    Gauge,
    /// A sum that goes up and down.
    UpDown(Growth),
    /// A sum that only grows.
    Counter(Growth),
    /// A histogram with bounds of its own.
    Histogram(Growth),
    /// An exponential histogram with a scale that native histograms have.
    Exponential(Growth),
    /// One with a finer scale, as every SDK begins with.
    Fine(Growth),
    /// One with a coarser scale, which Prometheus cannot hold.
    Coarse,
    /// A summary.
    Summary,
}

/// Whether points count from the start or since the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Growth {
    /// From the start.
    Cumulative,
    /// Since the last one.
    Delta,
}

impl Growth {
    fn temporality(self) -> Temporality {
        match self {
            Self::Cumulative => Temporality::Cumulative,
            Self::Delta => Temporality::Delta,
        }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Gauge,
        Self::UpDown(Growth::Cumulative),
        Self::Counter(Growth::Cumulative),
        Self::Histogram(Growth::Cumulative),
        Self::Exponential(Growth::Cumulative),
        Self::Fine(Growth::Cumulative),
        Self::Coarse,
        Self::Summary,
        Self::UpDown(Growth::Delta),
        Self::Counter(Growth::Delta),
        Self::Histogram(Growth::Delta),
        Self::Exponential(Growth::Delta),
        Self::Fine(Growth::Delta),
    ];
}

/// Bounds of explicit histograms, so different that some have none.
const BOUNDS: [&[f64]; 5] = [
    &[],
    &[0.0],
    &[0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 10.0],
    &[-5.0, 0.000_000_1, 1e21],
    &[1.0, 2.0, 3.0],
];
/// A second.
const STEP_NANOS: u64 = 1_000_000_000;
/// Buckets that an exponential histogram spreads over at most, below the 160 of the SDKs.
const SPREAD: u64 = 60;

/// A source of requests.
#[derive(Debug)]
pub struct Source {
    rng: Rng,
    resources: Vec<Resource>,
    streams: Vec<Stream>,
    /// Of the next request's points.
    time: u64,
}

#[derive(Debug)]
struct Stream {
    kind: Kind,
    name: String,
    description: String,
    unit: &'static str,
    /// Place of its resource, and of its scope there.
    place: (usize, usize),
    scale: i32,
    centre: i64,
    bounds: &'static [f64],
    points: Vec<State>,
}

/// What a series of points has come to.
#[derive(Debug, Clone, Default)]
struct State {
    attributes: super::Attributes,
    /// What differs between series of one stream: integers or doubles, with a sum or without.
    nature: u64,
    start: u64,
    last: u64,
    total: i64,
    explicit: Explicit,
    zero: u64,
    sum: f64,
    positive: BTreeMap<i64, u64>,
    negative: BTreeMap<i64, u64>,
}

impl Source {
    /// So many streams, dealt to some resources and scopes; points begin at `start` (nanoseconds since the Unix epoch) and
    /// each request is a second later.
    pub fn new(seed: u64, streams: usize, kinds: &[Kind], start: u64) -> Self {
        let mut rng = Rng::new(seed);
        let resources: Vec<Resource> = (0..streams.div_ceil(20).max(4))
            .map(|number| resource(&mut rng, number))
            .collect();
        let streams = (0..streams)
            .filter_map(|number| {
                let kind = kinds.get(number % kinds.len().max(1))?;
                let mut own = Rng::for_item(seed, number as u64);
                let place = own.between(0, resources.len() as u64 - 1) as usize;
                Some(Stream::new(&mut own, number, *kind, place, start))
            })
            .collect();
        Self {
            rng,
            resources,
            streams,
            time: start,
        }
    }

    /// The time of the points of the next request.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The numbers of the streams of some kinds; each stands in the names of its series as `s17` or `17s`.
    pub fn numbers(&self, of: impl Fn(Kind) -> bool) -> BTreeSet<usize> {
        let streams = self.streams.iter().enumerate();
        let found = streams.filter(|(_, stream)| of(stream.kind));
        found.map(|(number, _)| number).collect()
    }

    /// The next request.
    pub fn request(&mut self) -> Vec<Resource> {
        let mut resources = self.resources.clone();
        for stream in &mut self.streams {
            if self.rng.chance(0.2) {
                continue;
            }
            let (resource, scope) = stream.place;
            let scopes = resources.get_mut(resource).map(|it| &mut it.scopes);
            if let Some(scope) = scopes.and_then(|scopes| scopes.get_mut(scope)) {
                scope.metrics.push(stream.metric(&mut self.rng, self.time));
            }
        }
        self.time += STEP_NANOS;
        resources
    }
}

fn resource(rng: &mut Rng, number: usize) -> Resource {
    let scope = |name: &str, version: &str, attributes| Scope {
        name: name.to_owned(),
        version: version.to_owned(),
        attributes,
        ..Scope::default()
    };
    let attributes = vec![
        ("scope.key".to_owned(), Any::Int(7)),
        ("name".to_owned(), Any::from("no")),
    ];
    Resource {
        attributes: odd::resource(rng, number),
        scopes: vec![
            scope("", "", Vec::new()),
            scope("io.example.lib", "", Vec::new()),
            scope("io.example.lib", "1.2.3", attributes),
        ],
    }
}

impl Stream {
    fn new(rng: &mut Rng, number: usize, kind: Kind, resource: usize, start: u64) -> Self {
        let scale = match kind {
            Kind::Fine(_) => rng.between(9, 20) as i32,
            Kind::Coarse => rng.between(0, 5) as i32 - 10,
            Kind::Gauge
            | Kind::UpDown(_)
            | Kind::Counter(_)
            | Kind::Histogram(_)
            | Kind::Exponential(_)
            | Kind::Summary => rng.between(0, 12) as i32 - 4,
        };
        // Upstream leaves a delta point out whose start it has not seen when it begins later than the stream.
        let start = start - STEP_NANOS;
        let points = (0..rng.between(1, 3) as usize).map(|point| State {
            attributes: odd::point(rng, point),
            nature: rng.next(),
            start,
            last: start,
            ..State::default()
        });
        let points = points.collect();
        Self {
            kind,
            name: odd::name(rng, number),
            description: format!("stream {number}"),
            unit: odd::unit(rng),
            place: (resource, rng.between(0, 2) as usize),
            scale,
            // Bounds stay finite with the coarsest scale.
            centre: (rng.between(0, 200) as i64 - 100) >> (-scale).clamp(0, 63),
            bounds: rng.pick(&BOUNDS).copied().unwrap_or_default(),
            points,
        }
    }

    fn metric(&mut self, rng: &mut Rng, time: u64) -> Metric {
        // A metric without points is legal.
        let mut states = if rng.chance(0.02) {
            Vec::new()
        } else {
            std::mem::take(&mut self.points)
        };
        let data = match self.kind {
            Kind::Gauge => Data::Gauge(each(&mut states, rng, time, None, |_, rng| {
                if rng.chance(0.3) {
                    Number::Int(rng.next().cast_signed() >> rng.between(0, 63))
                } else {
                    Number::Double(odd::number(rng))
                }
            })),
            Kind::UpDown(growth) | Kind::Counter(growth) => {
                let monotonic = matches!(self.kind, Kind::Counter(_));
                Data::Sum {
                    temporality: growth.temporality(),
                    monotonic,
                    points: each(&mut states, rng, time, Some(growth), |state, rng| {
                        let added = rng.between(0, 1000) as i64 - if monotonic { 0 } else { 500 };
                        state.total += added;
                        let value = if growth == Growth::Delta {
                            added
                        } else {
                            state.total
                        };
                        if state.nature.is_multiple_of(2) {
                            Number::Int(value)
                        } else {
                            Number::Double(value as f64)
                        }
                    }),
                }
            }
            Kind::Histogram(growth) => Data::Histogram {
                temporality: growth.temporality(),
                points: recorded(each(&mut states, rng, time, Some(growth), |state, rng| {
                    explicit(state, rng, self.bounds, growth)
                })),
            },
            Kind::Exponential(growth) | Kind::Fine(growth) => Data::Exponential {
                temporality: growth.temporality(),
                points: each(&mut states, rng, time, Some(growth), |state, rng| {
                    exponential(state, rng, (self.scale, self.centre), growth)
                }),
            },
            Kind::Coarse => Data::Exponential {
                temporality: Temporality::Cumulative,
                points: each(&mut states, rng, time, Some(Growth::Cumulative), |state, rng| {
                    exponential(state, rng, (self.scale, 0), Growth::Cumulative)
                }),
            },
            Kind::Summary => Data::Summary(recorded(each(
                &mut states,
                rng,
                time,
                Some(Growth::Cumulative),
                |state, rng| {
                    state.total += rng.between(0, 9) as i64;
                    Summary {
                        count: state.total.unsigned_abs(),
                        sum: state.total as f64 * 0.25,
                        quantiles: vec![(0.0, 0.5), (0.5, odd::number(rng)), (0.99, 7.25), (1.0, 1e3)],
                    }
                },
            ))),
        };
        if !states.is_empty() {
            self.points = states;
        }
        Metric {
            name: self.name.clone(),
            description: self.description.clone(),
            unit: self.unit.to_owned(),
            data,
        }
    }
}

/// Without those that say "nothing recorded": upstream marks fewer series of them than were written.
fn recorded<V>(points: Vec<Point<V>>) -> Vec<Point<V>> {
    points.into_iter().filter(|point| !point.stale).collect()
}

/// The next point of each series. `growth`: None for gauges, which have no start.
fn each<V: Default>(
    states: &mut [State],
    rng: &mut Rng,
    time: u64,
    growth: Option<Growth>,
    mut value: impl FnMut(&mut State, &mut Rng) -> V,
) -> Vec<Point<V>> {
    let mut points = Vec::new();
    for state in states {
        let start = match growth {
            None => 0,
            Some(Growth::Cumulative) => state.start,
            Some(Growth::Delta) => state.last,
        };
        // A delta stream that says "nothing recorded" is one more gap, so those do not.
        let stale = growth != Some(Growth::Delta) && rng.chance(0.03);
        state.last = time;
        points.push(Point {
            attributes: state.attributes.clone(),
            start,
            time,
            stale,
            exemplars: if stale || growth.is_none() {
                Vec::new()
            } else {
                exemplars(rng, time)
            },
            value: if stale { V::default() } else { value(state, rng) },
        });
    }
    points
}

fn exemplars(rng: &mut Rng, time: u64) -> Vec<Exemplar> {
    if !rng.chance(0.3) {
        return Vec::new();
    }
    let with_span = rng.chance(0.8);
    let attributes = if rng.chance(0.3) {
        vec![("exemplar.key".to_owned(), Any::from("v"))]
    } else {
        Vec::new()
    };
    vec![Exemplar {
        attributes,
        time: time - 1_000_000,
        value: rng.between(0, 1000) as f64 / 8.0,
        trace_id: if with_span { rng.trace_id() } else { [0; 16] },
        span_id: if with_span { rng.span_id() } else { [0; 8] },
    }]
}

fn explicit(state: &mut State, rng: &mut Rng, bounds: &[f64], growth: Growth) -> Explicit {
    let buckets = bounds.len() + 1;
    let mut added = Explicit {
        sum: Some(0.0),
        counts: vec![0; buckets],
        bounds: bounds.to_vec(),
        ..Explicit::default()
    };
    for _ in 0..rng.between(0, 20) {
        let bucket = rng.between(0, buckets as u64 - 1) as usize;
        if let Some(count) = added.counts.get_mut(bucket) {
            *count += 1;
            added.count += 1;
            *added.sum.get_or_insert_default() += bucket as f64 + 0.5;
        }
    }
    // One series in eight never has a sum.
    let has_sum = !state.nature.is_multiple_of(8) || growth == Growth::Delta;
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
    value
}

fn exponential(state: &mut State, rng: &mut Rng, (scale, centre): (i32, i64), growth: Growth) -> Exponential {
    if growth == Growth::Delta {
        state.positive.clear();
        state.negative.clear();
        (state.zero, state.sum) = (0, 0.0);
    }
    // Few values far apart leave empty buckets between, and groups of them.
    let spread = SPREAD >> rng.between(0, 5);
    for _ in 0..rng.between(0, 12) {
        let index = centre + rng.between(0, spread) as i64 - spread as i64 / 2;
        match rng.between(0, 9) {
            0 => state.zero += 1,
            1 | 2 => *state.negative.entry(index).or_default() += 1,
            _ => *state.positive.entry(index).or_default() += 1,
        }
        state.sum += rng.between(0, 64) as f64;
    }
    let all = state.positive.values().chain(state.negative.values());
    Exponential {
        count: all.sum::<u64>() + state.zero,
        sum: Some(state.sum),
        scale,
        zero_count: state.zero,
        zero_threshold: if state.nature.is_multiple_of(3) { 1e-9 } else { 0.0 },
        positive: array(&state.positive),
        negative: array(&state.negative),
    }
}

/// Offset and counts from the first populated bucket to the last.
fn array(counts: &BTreeMap<i64, u64>) -> (i32, Vec<u64>) {
    let (Some((first, _)), Some((last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return (0, Vec::new());
    };
    let of = |index| counts.get(&index).copied().unwrap_or_default();
    (*first as i32, (*first..=*last).map(of).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Data, Resource, encode, points};
    use super::{Kind, Source};

    fn metrics(all: &[Resource]) -> impl Iterator<Item = &super::Metric> {
        all.iter().flat_map(|it| &it.scopes).flat_map(|it| &it.metrics)
    }

    #[test]
    fn a_seed_says_all() {
        let requests = |seed| {
            let mut source = Source::new(seed, 60, &Kind::ALL, 1_700_000_000_000_000_000);
            (0..5).map(|_| encode(&source.request())).collect::<Vec<_>>()
        };
        assert_eq!(requests(1), requests(1));
        assert_ne!(requests(1), requests(2));
    }

    #[test]
    fn every_kind_is_there_and_no_name_twice() {
        let mut source = Source::new(3, 130, &Kind::ALL, 1_700_000_000_000_000_000);
        let names: BTreeSet<&str> = source.streams.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names.len(), 130);
        for kind in Kind::ALL {
            assert_eq!(source.numbers(|it| it == kind).len(), 10, "{kind:?}");
        }
        let request = source.request();
        assert!(points(&request) > 130);
        let exponential = metrics(&request).filter_map(|it| match &it.data {
            Data::Exponential { points, .. } => Some(points),
            Data::Gauge(_) | Data::Sum { .. } | Data::Histogram { .. } | Data::Summary(_) => None,
        });
        for point in exponential.flatten().filter(|it| !it.stale) {
            let counts = point.value.positive.1.iter().chain(&point.value.negative.1);
            assert_eq!(counts.sum::<u64>() + point.value.zero_count, point.value.count);
        }
    }
}
