//! Names, units, attributes and values as nobody should choose them.

use super::{Any, Attributes};
use crate::rng::Rng;

/// Pieces of names; a stream's own number stands between two of them.
const NAMES: [&str; 20] = [
    "http.server.request.duration",
    "http_server_requests",
    "total",
    "total.bytes.total",
    "ratio",
    "2xx",
    "a..b__c",
    "job:http:rate5m",
    "UPPER-Case",
    "日本.メトリック",
    "seconds",
    "_lead",
    "trail_",
    "process.cpu.seconds",
    "with blank",
    "per.second",
    "bytes",
    "süß",
    "x",
    "milliseconds.total",
];

const UNITS: [&str; 26] = [
    "",
    "s",
    "ms",
    "us",
    "ns",
    "By",
    "KiBy",
    "MBy",
    "1",
    "%",
    "Cel",
    "Hz",
    "By/s",
    "1/s",
    "{request}",
    "{widget}/s",
    "widget/{day}",
    "foo^2/bar",
    "m/h",
    "s ",
    "W",
    "h",
    "requests",
    "/",
    "m",
    "µs",
];

/// Of points. None is of a resource, and none is refused by upstream.
const KEYS: [&str; 17] = [
    "http.request.method",
    "http.route",
    "a.b",
    "a_b",
    "a-b",
    "a..b",
    "1digit",
    "_lead",
    "__two",
    "with blank",
    "ключ",
    "UPPER",
    "job",
    "instance",
    "cluster",
    "otel.scope.name",
    "colon:key",
];

/// Of resources.
const RESOURCE_KEYS: [&str; 8] = [
    "k8s.pod.name",
    "k8s.node.name",
    "host.name",
    "res.x",
    "res_x",
    "telemetry.sdk.language",
    "3res",
    "process.command_args",
];

pub(super) fn name(rng: &mut Rng, number: usize) -> String {
    let mut piece = || rng.pick(&NAMES).copied().unwrap_or_default();
    match number % 4 {
        0 => format!("s{number}.{}", piece()),
        1 => format!("{}.s{number}", piece()),
        2 => format!("{}.{number}s.{}", piece(), piece()),
        _ => format!("{}_s{number}-{}", piece(), piece()),
    }
}

pub(super) fn unit(rng: &mut Rng) -> &'static str {
    rng.pick(&UNITS).copied().unwrap_or_default()
}

pub(super) fn point(rng: &mut Rng, number: usize) -> Attributes {
    let mut attributes = some(rng, &KEYS, 4);
    // Two points of a stream are never the same series.
    attributes.push(("pt".to_owned(), Any::Int(number as i64)));
    attributes
}

pub(super) fn resource(rng: &mut Rng, number: usize) -> Attributes {
    let mut attributes = some(rng, &RESOURCE_KEYS, 3);
    // One of four has neither a name nor an instance, and its series no job.
    if number % 4 != 3 {
        attributes.push(("service.name".to_owned(), Any::Text(format!("shop{number}"))));
        attributes.push(("service.instance.id".to_owned(), Any::Text(format!("i{number}"))));
    }
    if number % 4 == 2 {
        attributes.push(("service.namespace".to_owned(), Any::from("ns")));
    }
    attributes.push(("resource.number".to_owned(), Any::Int(number as i64)));
    attributes
}

/// At most `most` attributes with different keys.
fn some(rng: &mut Rng, keys: &[&'static str], most: u64) -> Attributes {
    let mut attributes: Attributes = Vec::new();
    for _ in 0..rng.between(0, most) {
        let key = rng.pick(keys).copied().unwrap_or_default();
        if attributes.iter().all(|(known, _)| known != key) {
            attributes.push((key.to_owned(), value(rng, 2)));
        }
    }
    attributes
}

fn value(rng: &mut Rng, depth: u32) -> Any {
    // Of an empty text in a list upstream makes `null`; by itself it is no label.
    let empty = if depth == 2 { "" } else { "-" };
    let text = |rng: &mut Rng| {
        let texts = [
            "GET",
            empty,
            "a \"quoted\" \\ text",
            "línea\nnueva",
            " blank ",
            "x;y",
            "<&>",
        ];
        Any::from(rng.pick(&texts).copied().unwrap_or_default())
    };
    match rng.between(0, if depth == 0 { 5 } else { 7 }) {
        0 | 1 => text(rng),
        2 => Any::Bool(rng.chance(0.5)),
        3 => Any::Int(rng.next().cast_signed() >> rng.between(0, 63)),
        4 => Any::Double(plain_number(rng)),
        5 => {
            let least = if depth == 2 { 0 } else { 1 };
            Any::Bytes(rng.span_id()[..rng.between(least, 8) as usize].to_vec())
        }
        6 => Any::List((0..rng.between(0, 3)).map(|_| value(rng, depth - 1)).collect()),
        _ => Any::Map(
            (0..rng.between(0, 2))
                .map(|number| (format!("k{number}"), value(rng, depth - 1)))
                .collect(),
        ),
    }
}

/// Finite.
fn plain_number(rng: &mut Rng) -> f64 {
    let numbers = [
        0.0,
        -0.0,
        0.1,
        1.0,
        -2.5,
        1e21,
        1e20,
        1e-7,
        123_456_789.125,
        1e308,
        5e-324,
        0.3,
    ];
    rng.pick(&numbers).copied().unwrap_or_default()
}

/// Any at all, but the bits that mark a series as gone.
pub(super) fn number(rng: &mut Rng) -> f64 {
    match rng.between(0, 9) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3..=5 => plain_number(rng),
        _ => rng.between(0, 1_000_000) as f64 / 64.0 - 5000.0,
    }
}
