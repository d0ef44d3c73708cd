//! Streams of points that grow as an application's do, of every kind and temporality, drawn by a seed.

mod value;

use std::collections::BTreeSet;

use super::{Any, Data, Metric, Number, Resource, Scope, Temporality, odd};
use crate::rng::Rng;
use value::{Stale, State, Turn, each, explicit, exponential, summary};

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
const BOUNDS: [&[f64]; 9] = [
    &[],
    &[0.0],
    &[0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 10.0],
    &[-5.0, 0.000_000_1, 1e21],
    &[1.0, 2.0, 3.0],
    &[f64::NEG_INFINITY, 0.0, f64::INFINITY],
    &[f64::INFINITY],
    &[-0.0, f64::MIN_POSITIVE, 1e308],
    &[0.1, 0.300_000_000_000_000_04, 123_456_789.125],
];
/// A second.
const STEP_NANOS: u64 = 1_000_000_000;

/// A source of requests.
#[derive(Debug)]
pub struct Source {
    rng: Rng,
    resources: Vec<Resource>,
    streams: Vec<Stream>,
    /// Of the next request's points.
    time: u64,
    has_late_points: bool,
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

impl Source {
    /// So many streams, dealt to some resources and scopes; points begin at `start` (nanoseconds since the Unix epoch) and
    /// each request is a second later.
    pub fn new(seed: u64, streams: usize, kinds: &[Kind], start: u64) -> Self {
        let mut rng = Rng::new(seed);
        let resources: Vec<Resource> = (0..streams.div_ceil(20).max(4))
            .map(|number| resource(&mut rng, number))
            .collect();
        let streams = streams_of(seed, (streams, resources.len()), kinds, start);
        Self {
            rng,
            resources,
            streams,
            time: start,
            has_late_points: false,
        }
    }

    /// Beside some points there are others that are up to six seconds older than the newest, each of a time of its own.
    #[must_use]
    pub fn with_late_points(self) -> Self {
        Self {
            has_late_points: true,
            ..self
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
                scope
                    .metrics
                    .push(stream.metric(&mut self.rng, self.time, self.has_late_points));
            }
        }
        self.time += STEP_NANOS;
        resources
    }
}

/// So many streams. One of five is called as another one of its kind is, in a resource or scope of its own, or in the same.
fn streams_of(seed: u64, (count, resources): (usize, usize), kinds: &[Kind], start: u64) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    for (number, kind) in kinds.iter().copied().cycle().take(count).enumerate() {
        let mut own = Rng::for_item(seed, number as u64);
        let place = own.between(0, resources as u64 - 1) as usize;
        let mut stream = Stream::new(&mut own, number, kind, place, start);
        let other = number.checked_sub(kinds.len());
        if let Some(other) = other.filter(|_| number / kinds.len() % 5 == 4)
            && let Some(other) = streams.get(other)
        {
            stream.name.clone_from(&other.name);
            stream.description.clone_from(&other.description);
            stream.unit = odd::other_unit(other.unit);
        }
        streams.push(stream);
    }
    streams
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
        ("scope_key".to_owned(), Any::from("last")),
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
        let points = (0..rng.between(1, 3) as usize).map(|point| {
            State::new(
                odd::point(rng, number * 10 + point, reserved(kind)),
                rng.next(),
                start,
            )
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

    fn metric(&mut self, rng: &mut Rng, time: u64, late: bool) -> Metric {
        // A metric without points is legal.
        let mut states = if rng.chance(0.02) {
            Vec::new()
        } else {
            std::mem::take(&mut self.points)
        };
        let data = self.data(&mut states, rng, time, late);
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

    fn data(&self, states: &mut [State], rng: &mut Rng, time: u64, late: bool) -> Data {
        let turn = |growth: Option<Growth>, stale| Turn {
            time,
            growth,
            stale,
            // Prometheus takes no native histogram that is older than the one before; older deltas are none.
            may_be_late: late && growth != Some(Growth::Delta) && stale != Stale::Native,
            has_exemplars: true,
        };
        match self.kind {
            Kind::Gauge => Data::Gauge(each(states, rng, turn(None, Stale::Bare), |_, rng| {
                if rng.chance(0.3) {
                    Number::Int(rng.next().cast_signed() >> rng.between(0, 63))
                } else {
                    Number::Double(odd::number(rng))
                }
            })),
            Kind::UpDown(growth) => self.sum(states, rng, turn(Some(growth), Stale::Bare), false),
            Kind::Counter(growth) => self.sum(states, rng, turn(Some(growth), Stale::Bare), true),
            Kind::Histogram(growth) => Data::Histogram {
                temporality: growth.temporality(),
                points: each(states, rng, turn(Some(growth), Stale::Whole), |state, rng| {
                    explicit(state, rng, self.bounds, growth)
                }),
            },
            Kind::Exponential(growth) | Kind::Fine(growth) => Data::Exponential {
                temporality: growth.temporality(),
                points: each(states, rng, turn(Some(growth), Stale::Native), |state, rng| {
                    exponential(state, rng, (self.scale, self.centre), growth)
                }),
            },
            Kind::Coarse => Data::Exponential {
                temporality: Temporality::Cumulative,
                points: each(
                    states,
                    rng,
                    turn(Some(Growth::Cumulative), Stale::Native),
                    |state, rng| exponential(state, rng, (self.scale, 0), Growth::Cumulative),
                ),
            },
            Kind::Summary => {
                let turn = Turn {
                    has_exemplars: false,
                    ..turn(Some(Growth::Cumulative), Stale::Whole)
                };
                Data::Summary(each(states, rng, turn, summary))
            }
        }
    }

    fn sum(&self, states: &mut [State], rng: &mut Rng, turn: Turn, monotonic: bool) -> Data {
        let is_delta = turn.growth == Some(Growth::Delta);
        Data::Sum {
            temporality: turn.growth.unwrap_or(Growth::Cumulative).temporality(),
            monotonic,
            points: each(states, rng, turn, |state, rng| {
                let added = rng.between(0, 1000) as i64 - if monotonic { 0 } else { 500 };
                state.total += added;
                let value = if is_delta { added } else { state.total };
                if state.nature.is_multiple_of(2) {
                    Number::Int(value)
                } else {
                    Number::Double(value as f64)
                }
            }),
        }
    }
}

/// The labels that the series of a kind have by themselves; of points they are rows of the table.
fn reserved(kind: Kind) -> &'static str {
    match kind {
        Kind::Histogram(_) => "le",
        Kind::Summary => "quantile",
        Kind::Gauge
        | Kind::UpDown(_)
        | Kind::Counter(_)
        | Kind::Exponential(_)
        | Kind::Fine(_)
        | Kind::Coarse => "",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
    fn every_kind_is_there_and_no_name_is_of_two() {
        let mut source = Source::new(3, 130, &Kind::ALL, 1_700_000_000_000_000_000);
        let named = source.streams.iter().map(|it| (it.name.as_str(), it.kind));
        let kinds: BTreeMap<&str, Kind> = named.collect();
        assert!(source.streams.iter().all(|it| kinds[it.name.as_str()] == it.kind));
        // Two of ten have a name that another one has.
        assert_eq!(kinds.len(), 130 - 2 * 13);
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
