//! The way of a data point, from the bytes of a request to those of a remote write request, uncompressed.

use std::hint::black_box;
use std::time::Duration;

use tracepipe_config::{
    ClientTls, LabelUnderscores, RemoteWriteSettings, ResourcePromotion, RetrySettings, TranslationSettings,
    TranslationStrategy,
};
use tracepipe_metrics::{RemoteWrite, UnixMillis, write_request};
use tracepipe_otlp::wire::put_bytes;

use super::SEED;

/// Data points of a request: ten metrics of a service, each with ten sets of five attributes.
const METRICS: u64 = 10;
const POINTS_PER_METRIC: u64 = 10;
const POINTS: u64 = METRICS * POINTS_PER_METRIC;

/// Milliseconds since the Unix epoch at the first pass, and from one to the next.
const START_MS: i64 = 1_700_000_000_000;
const PASS_MS: i64 = 10_000;

/// Passes before those that are counted: all series are known then.
const WARM_UP_PASSES: u64 = 2;

/// Bounds of the usual histogram of an SDK.
const BOUNDS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10_000.0,
];

/// Points of cumulative sums of series that are known: a point.
pub(super) fn points(passes: u64) -> Result<u64, String> {
    run(passes, &mut request(&Shape::SUM), false)
}

/// Points of histograms with fifteen bounds, eighteen samples each, of series that are known: a point.
pub(super) fn histograms(passes: u64) -> Result<u64, String> {
    run(passes, &mut request(&Shape::HISTOGRAM), false)
}

/// Points of cumulative sums of series that nobody knows: a point.
pub(super) fn new_series(passes: u64) -> Result<u64, String> {
    run(passes, &mut request(&Shape::SUM), true)
}

/// Each pass brings the same request, later.
fn run(passes: u64, request: &mut [u8], is_forgetful: bool) -> Result<u64, String> {
    let settings = settings();
    let mut remote_write = RemoteWrite::with_seed(&settings, SEED);
    let times = times(request);
    let mut samples = Vec::new();
    let mut body = Vec::new();
    let mut now_ms = START_MS;
    let mut translated = 0;
    for _ in 0..passes + WARM_UP_PASSES {
        if is_forgetful {
            remote_write = RemoteWrite::with_seed(&settings, SEED);
        }
        now_ms += PASS_MS;
        let nanos = (now_ms.cast_unsigned() * 1_000_000).to_le_bytes();
        for place in &times {
            request[*place..*place + 8].copy_from_slice(&nanos);
        }
        let done = remote_write.translate(black_box(request), UnixMillis(now_ms), &mut samples);
        translated = done.points;
        write_request::sort(&mut samples);
        body.clear();
        write_request::encode(&samples, &mut body);
        black_box(&body);
        samples.clear();
    }
    if translated == POINTS {
        Ok(POINTS)
    } else {
        Err(format!("{translated} points of {POINTS} were translated"))
    }
}

/// What a metric is, by the field numbers of OTLP.
struct Shape {
    data: u32,
    attributes: u32,
    put_value: fn(&mut Vec<u8>),
}

impl Shape {
    const SUM: Self = Self {
        data: 7,
        attributes: 7,
        put_value: |point| put_fixed(4, 0.5_f64.to_bits(), point),
    };

    const HISTOGRAM: Self = Self {
        data: 9,
        attributes: 9,
        put_value: |point| {
            put_fixed(4, 16, point);
            put_fixed(5, 1234.5_f64.to_bits(), point);
            put_bytes(6, &1_u64.to_le_bytes().repeat(BOUNDS.len() + 1), point);
            put_bytes(7, &BOUNDS.map(f64::to_le_bytes).concat(), point);
        },
    };
}

fn request(shape: &Shape) -> Vec<u8> {
    let mut resource = Vec::new();
    for (key, value) in [
        ("service.name", "checkout"),
        ("service.namespace", "shop"),
        ("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", "checkout-7d9f8b6c5d-x2x7k"),
        ("telemetry.sdk.language", "java"),
    ] {
        put_bytes(1, &attribute(key, value), &mut resource);
    }
    let mut scope = Vec::new();
    put_bytes(1, b"io.opentelemetry.http-server", &mut scope);
    let mut scope_metrics = Vec::new();
    put_bytes(1, &scope, &mut scope_metrics);
    for number in 0..METRICS {
        put_bytes(2, &metric(number, shape), &mut scope_metrics);
    }
    let mut resource_metrics = Vec::new();
    put_bytes(1, &resource, &mut resource_metrics);
    put_bytes(2, &scope_metrics, &mut resource_metrics);
    let mut request = Vec::new();
    put_bytes(1, &resource_metrics, &mut request);
    request
}

fn metric(number: u64, shape: &Shape) -> Vec<u8> {
    let mut data = Vec::new();
    for route in 0..POINTS_PER_METRIC {
        let mut point = Vec::new();
        put_fixed(2, START_MS.cast_unsigned() * 1_000_000, &mut point);
        put_fixed(3, TIME_MARK, &mut point);
        (shape.put_value)(&mut point);
        for (key, value) in [
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("http.route", &format!("/api/v1/items/{route}")),
            ("network.protocol.version", "1.1"),
            ("url.scheme", "https"),
        ] {
            put_bytes(shape.attributes, &attribute(key, value), &mut point);
        }
        put_bytes(1, &point, &mut data);
    }
    // Cumulative; monotonic, where it is a sum.
    data.extend_from_slice(&[2 << 3, 2]);
    if shape.data == 7 {
        data.extend_from_slice(&[3 << 3, 1]);
    }
    let mut metric = Vec::new();
    put_bytes(1, format!("http.server.metric.{number}").as_bytes(), &mut metric);
    put_bytes(2, b"Duration of HTTP server requests.", &mut metric);
    put_bytes(3, b"s", &mut metric);
    put_bytes(shape.data, &data, &mut metric);
    metric
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    let mut any = Vec::new();
    put_bytes(1, value.as_bytes(), &mut any);
    let mut attribute = Vec::new();
    put_bytes(1, key.as_bytes(), &mut attribute);
    put_bytes(2, &any, &mut attribute);
    attribute
}

fn put_fixed(field: u8, bits: u64, out: &mut Vec<u8>) {
    out.push(field << 3 | 1);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Stands where the times go.
const TIME_MARK: u64 = 0x5449_4d45_4d41_524b;

/// Where the times are in a request.
fn times(request: &[u8]) -> Vec<usize> {
    let mark = TIME_MARK.to_le_bytes();
    let windows = request.windows(mark.len()).enumerate();
    windows
        .filter(|(_, bytes)| *bytes == mark)
        .map(|(place, _)| place)
        .collect()
}

fn settings() -> RemoteWriteSettings {
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
            promote: ResourcePromotion::All {
                exclude_service_attributes: true,
            },
            scope_info: true,
        },
        external_labels: vec![("k8s_node_name".to_owned(), "ip-10-0-0-1".to_owned())],
        target_info: true,
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
