//! What is sent: for each application one request, encoded once and then only stamped with times and values.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::bench::generator::Requests;
use crate::bench::payload::{GRPC_PREFIX, grpc_prefix};
use crate::otlp_metrics::{
    Attributes, Data, Explicit, Exponential, Metric, Number, Point, Resource, Scope, Summary, Temporality,
    encode, texts,
};

/// Streams of a metric: one for each route of the application.
const STREAMS_PER_METRIC: u64 = 10;
/// Bounds of the usual histogram of an SDK (OpenTelemetry specification, "Explicit Bucket Histogram Aggregation").
const BOUNDS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10_000.0,
];
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];
/// Populated buckets of an exponential histogram.
const BUCKETS: u64 = 40;
/// Up to 8 native histograms have the scale as it is. Above it, upstream's buckets are wrong.
const SCALE: i32 = 6;
/// Cumulative streams began so long before the run, in nanoseconds.
const AGE_NANOS: u64 = 60 * 1_000_000_000;
/// What a cumulative stream has counted when the run begins.
const COUNTED: u64 = 1000;

/// How many metrics of each kind an application has, of ten streams each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds {
    /// Sums that only grow.
    pub sums: u64,
    /// Gauges.
    pub gauges: u64,
    /// Histograms of 15 bounds: 18 samples each.
    pub histograms: u64,
    /// Exponential histograms: a native histogram each.
    pub exponential: u64,
    /// Summaries of four quantiles: 6 samples each.
    pub summaries: u64,
}

impl Kinds {
    /// An application: 40 % sums, 20 % gauges, 25 % histograms, 10 % exponential ones, 5 % summaries.
    pub const MIX: Self = Self {
        sums: 8,
        gauges: 4,
        histograms: 5,
        exponential: 2,
        summaries: 1,
    };
    /// Sums alone.
    pub const SUMS: Self = Self {
        sums: 20,
        ..Self::NONE
    };
    /// Histograms alone.
    pub const HISTOGRAMS: Self = Self {
        histograms: 20,
        ..Self::NONE
    };
    const NONE: Self = Self {
        sums: 0,
        gauges: 0,
        histograms: 0,
        exponential: 0,
        summaries: 0,
    };

    /// Data points of a request: one for each stream.
    pub const fn points(&self) -> u64 {
        let metrics = self.sums + self.gauges + self.histograms + self.exponential + self.summaries;
        metrics * STREAMS_PER_METRIC
    }

    /// Samples that these become.
    pub const fn samples(&self) -> Samples {
        let of_histogram = BOUNDS.len() as u64 + 3;
        let of_summary = QUANTILES.len() as u64 + 2;
        let floats = self.sums + self.gauges + self.histograms * of_histogram + self.summaries * of_summary;
        Samples {
            floats: floats * STREAMS_PER_METRIC,
            natives: self.exponential * STREAMS_PER_METRIC,
        }
    }
}

/// Samples of remote write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Samples {
    /// Numbers.
    pub floats: u64,
    /// Native histograms.
    pub natives: u64,
}

/// What is to arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owed {
    /// How many.
    pub samples: Samples,
    /// The sum of their times in milliseconds, modulo 2^64: one that is lost and one that comes twice do not make up for
    /// each other.
    pub times: u64,
}

/// The requests of some applications in turn.
#[derive(Debug)]
pub struct MetricsPayload {
    kinds: Kinds,
    is_delta: bool,
    started: u64,
    apps: Vec<App>,
    built: AtomicU64,
    /// Of the requests that were built, in milliseconds, modulo 2^64.
    times: AtomicU64,
}

/// An application, whose requests differ in times and values.
#[derive(Debug)]
struct App {
    template: Vec<u8>,
    places: Vec<(usize, Place)>,
    /// When it was last heard of: there the next delta begins.
    last: AtomicU64,
}

/// What is written into eight bytes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The time of a point.
    Time,
    /// When counting began.
    Start,
    /// So many times the turn's count and some more.
    Count { times: u8, more: u16 },
    /// The same as a double, by the step.
    Double { times: u8, more: u16 },
}

/// Marks where a place is, in the template: what begins so is nothing else in it.
const MARK: u64 = 0x4d41_524b_0000_0000;
const MARK_BITS: u64 = 0xffff_ffff_0000_0000;
/// Doubles are multiples of this: they have digits behind the point.
const STEP: f64 = 0.37;

impl Place {
    fn mark(self) -> u64 {
        let (kind, times, more) = match self {
            Self::Time => (0, 0, 0),
            Self::Start => (1, 0, 0),
            Self::Count { times, more } => (2, times, more),
            Self::Double { times, more } => (3, times, more),
        };
        MARK | kind << 24 | u64::from(times) << 16 | u64::from(more)
    }

    fn read(bits: u64) -> Option<Self> {
        let [_, _, _, _, kind, times, more @ ..] = bits.to_be_bytes();
        let more = u16::from_be_bytes(more);
        match kind {
            _ if bits & MARK_BITS != MARK => None,
            0 => Some(Self::Time),
            1 => Some(Self::Start),
            2 => Some(Self::Count { times, more }),
            3 => Some(Self::Double { times, more }),
            _ => None,
        }
    }

    fn bits(self, stamp: &Stamp) -> u64 {
        let number = |times: u8, more: u16| u64::from(times) * stamp.count + u64::from(more);
        match self {
            Self::Time => stamp.time,
            Self::Start => stamp.start,
            Self::Count { times, more } => number(times, more),
            Self::Double { times, more } => (number(times, more) as f64 * STEP).to_bits(),
        }
    }
}

/// What differs from request to request.
struct Stamp {
    time: u64,
    start: u64,
    count: u64,
}

impl MetricsPayload {
    /// The requests of `apps` applications; `now`: nanoseconds since the Unix epoch.
    pub fn new(kinds: Kinds, is_delta: bool, apps: u64, now: u64) -> Self {
        let made = (0..apps.max(1)).map(|number| App::new(&kinds, is_delta, number, now));
        Self {
            kinds,
            is_delta,
            started: now - AGE_NANOS,
            apps: made.collect(),
            built: AtomicU64::new(0),
            times: AtomicU64::new(0),
        }
    }

    /// What comes of the requests that were built so far.
    pub fn owed(&self) -> Owed {
        let built = self.built.load(Ordering::Relaxed);
        let Samples { floats, natives } = self.kinds.samples();
        Owed {
            samples: Samples {
                floats: floats * built,
                natives: natives * built,
            },
            times: self.times.load(Ordering::Relaxed).wrapping_mul(floats + natives),
        }
    }
}

impl Requests for MetricsPayload {
    fn bytes_per_request(&self) -> usize {
        let sizes = self.apps.iter().map(|app| app.template.len());
        sizes.max().unwrap_or(0)
    }

    fn request(&self, number: u64, unix_nano: u64) -> std::io::Result<Bytes> {
        let apps = self.apps.len() as u64;
        let turn = number / apps;
        let Some(app) = self.apps.get((number % apps) as usize) else {
            return Err(std::io::ErrorKind::NotFound.into());
        };
        let last = app.last.swap(unix_nano, Ordering::Relaxed);
        let (start, count) = if self.is_delta {
            (last, 1 + turn % 7)
        } else {
            (self.started, COUNTED + turn)
        };
        let stamp = Stamp {
            time: unix_nano,
            start,
            count,
        };
        let mut request = app.template.clone();
        for (at, place) in &app.places {
            if let Some(bytes) = request.get_mut(*at..*at + 8) {
                bytes.copy_from_slice(&place.bits(&stamp).to_le_bytes());
            }
        }
        self.built.fetch_add(1, Ordering::Relaxed);
        self.times.fetch_add(unix_nano / 1_000_000, Ordering::Relaxed);
        Ok(request.into())
    }
}

impl App {
    fn new(kinds: &Kinds, is_delta: bool, number: u64, now: u64) -> Self {
        let message = encode(&[resource(kinds, is_delta, number)]);
        let mut template = grpc_prefix(0, message.len()).to_vec();
        template.extend_from_slice(&message);
        let windows = template.windows(8).enumerate().skip(GRPC_PREFIX);
        let places = windows.filter_map(|(at, window)| {
            let bits = u64::from_le_bytes(window.try_into().ok()?);
            Some((at, Place::read(bits)?))
        });
        Self {
            places: places.collect(),
            template,
            last: AtomicU64::new(now),
        }
    }
}

fn resource(kinds: &Kinds, is_delta: bool, number: u64) -> Resource {
    let temporality = if is_delta {
        Temporality::Delta
    } else {
        Temporality::Cumulative
    };
    let of = |kind: &str, count: u64, data: &dyn Fn() -> Data| -> Vec<Metric> {
        let metric = |index: u64| Metric {
            description: format!("What the {kind} number {index} of the application says."),
            ..Metric::new(&format!("http.server.{kind}.{index}"), "ms", data())
        };
        (0..count).map(metric).collect()
    };
    let metrics = [
        of("requests", kinds.sums, &|| Data::Sum {
            temporality,
            monotonic: true,
            points: points(|| Number::Int(count(1, 0).cast_signed())),
        }),
        of("usage", kinds.gauges, &|| {
            Data::Gauge(points(|| Number::Double(double(1, 0))))
        }),
        of("duration", kinds.histograms, &|| Data::Histogram {
            temporality,
            points: points(explicit),
        }),
        of("size", kinds.exponential, &|| Data::Exponential {
            temporality,
            points: points(exponential),
        }),
        of("wait", kinds.summaries, &|| Data::Summary(points(summary))),
    ];
    Resource {
        attributes: attributes(number),
        scopes: vec![Scope {
            name: "io.opentelemetry.http-server".to_owned(),
            version: "2.12.0".to_owned(),
            metrics: metrics.into_iter().flatten().collect(),
            ..Scope::default()
        }],
    }
}

fn attributes(number: u64) -> Attributes {
    texts(&[
        ("service.name", &format!("checkout-{number}")),
        ("service.namespace", "shop"),
        (
            "service.instance.id",
            &format!("627cc493-f310-47de-96bd-{number:012x}"),
        ),
        ("k8s.namespace.name", "shop"),
        ("k8s.deployment.name", &format!("checkout-{number}")),
        ("k8s.pod.name", &format!("checkout-{number}-7d9f8b6c5d-x2x7k")),
        ("telemetry.sdk.language", "java"),
    ])
}

fn points<V>(value: impl Fn() -> V) -> Vec<Point<V>> {
    let point = |route: u64| Point {
        attributes: texts(&[
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("http.route", &format!("/api/v1/items/{route}")),
            ("network.protocol.version", "1.1"),
            ("url.scheme", "https"),
        ]),
        start: Place::Start.mark(),
        time: Place::Time.mark(),
        stale: false,
        exemplars: Vec::new(),
        value: value(),
    };
    (0..STREAMS_PER_METRIC).map(point).collect()
}

fn count(times: u8, more: u16) -> u64 {
    Place::Count { times, more }.mark()
}

fn double(times: u8, more: u16) -> f64 {
    f64::from_bits(Place::Double { times, more }.mark())
}

/// Each bucket grows with each turn and has a number of its own beside.
fn explicit() -> Explicit {
    let buckets = BOUNDS.len() as u16 + 1;
    Explicit {
        count: count(buckets as u8, (0..buckets).sum()),
        sum: Some(double(16, 5)),
        counts: (0..buckets).map(|bucket| count(1, bucket)).collect(),
        bounds: BOUNDS.to_vec(),
    }
}

/// The zero bucket grows; the others have two bytes each whatever the turn.
fn exponential() -> Exponential {
    let counts: Vec<u64> = (0..BUCKETS).map(|bucket| 130 + bucket * bucket % 97).collect();
    Exponential {
        count: count(1, counts.iter().sum::<u64>() as u16),
        sum: Some(double(16, 5)),
        scale: SCALE,
        zero_count: count(1, 0),
        zero_threshold: 0.0,
        positive: (200, counts),
        negative: (0, Vec::new()),
    }
}

fn summary() -> Summary {
    let value = |(index, quantile): (usize, &f64)| (*quantile, double(1, index as u16 + 1));
    Summary {
        count: count(1, 0),
        sum: double(16, 5),
        quantiles: QUANTILES.iter().enumerate().map(value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kinds, MetricsPayload, Owed, Place, Samples};
    use crate::bench::generator::Requests;
    use crate::bench::payload::GRPC_PREFIX;

    const NOW: u64 = 1_795_236_000_000_000_000;

    #[test]
    fn a_mark_says_what_it_is_the_place_of() {
        let (times, more) = (16, 40_000);
        for place in [
            Place::Time,
            Place::Start,
            Place::Count { times, more },
            Place::Double { times, more },
        ] {
            assert_eq!(Place::read(place.mark()), Some(place));
        }
        assert_eq!(Place::read(NOW), None);
    }

    #[test]
    fn every_place_of_a_request_is_stamped() {
        let payload = MetricsPayload::new(Kinds::MIX, true, 3, NOW);
        let request = payload.request(5, NOW + 1_000_000).unwrap();
        let marks = request.windows(8).filter(|window| {
            let bits = u64::from_le_bytes((*window).try_into().unwrap());
            Place::read(bits).is_some()
        });
        assert_eq!(marks.count(), 0);
        // Start and time of each point; of what it counts: 1, 1, 18, 3 and 6 numbers.
        let numbers = 80 + 40 + 50 * 18 + 20 * 3 + 10 * 6;
        assert_eq!(payload.apps[2].places.len(), 400 + numbers);
    }

    #[test]
    fn a_delta_begins_where_the_one_before_ended() {
        let payload = MetricsPayload::new(Kinds::SUMS, true, 2, NOW);
        let time_of = |number, now| {
            let request = payload.request(number, now).unwrap();
            let app = &payload.apps[number as usize % 2];
            let (at, _) = app
                .places
                .iter()
                .find(|(_, place)| *place == Place::Start)
                .unwrap();
            u64::from_le_bytes(request[*at..*at + 8].try_into().unwrap())
        };
        assert_eq!(time_of(0, NOW + 5), NOW);
        assert_eq!(time_of(1, NOW + 7), NOW);
        assert_eq!(time_of(2, NOW + 9), NOW + 5);
    }

    #[test]
    fn what_is_owed_is_what_was_built() {
        let samples = Kinds::MIX.samples();
        let wanted = Samples {
            floats: 80 + 40 + 50 * 18 + 10 * 6,
            natives: 20,
        };
        assert_eq!((samples, Kinds::MIX.points()), (wanted, 200));
        let payload = MetricsPayload::new(Kinds::MIX, false, 2, NOW);
        assert_eq!(payload.owed(), Owed::default());
        let request = payload.request(0, NOW).unwrap();
        assert!(request.len() > GRPC_PREFIX + 200 * 100);
        assert_eq!(payload.owed().samples, wanted);
        assert_eq!(payload.owed().times, NOW / 1_000_000 * 1100);
    }
}
