//! Names, units, attributes and values as nobody should choose them.

use super::{Any, Attributes};
use crate::rng::Rng;

/// Pieces of names; a stream's own number stands between two of them.
const NAMES: [&str; 30] = [
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
    "::",
    "\u{1f4a1}idea",
    "line\nbreak",
    "quo\"te\\",
    "per_",
    "ratio.ratio_total",
    "9",
    "%",
    "\u{0}",
    "a.name.that.goes.on.and.on.for.as.long.as.anybody.may.like.and.then.for.some.more.words.until.the.end",
];

const UNITS: [&str; 48] = [
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
    "°C",
    "By/{request}",
    "1/{x}",
    "//s",
    "s/s/s",
    "per",
    "_",
    "kg.m/s2",
    "total",
    "ratio",
    "By_",
    "{}",
    "/s",
    "s/",
    "%/s",
    "1/w",
    "By/mo",
    "min",
    "1/1",
    "日",
    "{a}{b}",
    "a b",
];

/// Of points. None is of a resource, and none is refused by upstream.
const KEYS: [&str; 32] = [
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
    "\u{e9}",
    ".lead",
    "trail.",
    "__",
    "_",
    "-",
    "9",
    "key_1digit",
    "key_9",
    "tab\tkey",
    "\u{1f600}",
    "__two__",
    "exported_job",
    "le",
    "quantile",
];

/// Of resources.
const RESOURCE_KEYS: [&str; 14] = [
    "k8s.pod.name",
    "k8s.node.name",
    "host.name",
    "res.x",
    "res_x",
    "telemetry.sdk.language",
    "3res",
    "process.command_args",
    "service.version",
    "otel.scope.version",
    "__meta__",
    "regi\u{f3}n",
    "_res",
    "key_res",
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

/// Another unit that makes the same words, where there is one.
pub(super) fn other_unit(unit: &'static str) -> &'static str {
    match unit {
        "" => "{item}",
        "s" => " s",
        "By" => "By/{item}",
        other => other,
    }
}

/// Without the key that is `reserved`.
pub(super) fn point(rng: &mut Rng, number: usize, reserved: &str) -> Attributes {
    let mut attributes = some(rng, &KEYS, 4);
    attributes.retain(|(key, _)| key != reserved);
    // Two points are never the same series.
    attributes.push(("pt".to_owned(), Any::Int(number as i64)));
    attributes
}

pub(super) fn resource(rng: &mut Rng, number: usize) -> Attributes {
    let mut attributes = some(rng, &RESOURCE_KEYS, 3);
    let [name, instance] = ["shop", "i"].map(|text| Any::Text(format!("{text}{number}")));
    // Some have neither a name nor an instance, and their series no job.
    let owner = match number % 8 {
        0 => vec![("service.name", name), ("service.instance.id", instance)],
        1 => vec![
            ("service.instance.id", instance),
            ("service.namespace", Any::from("ns")),
            ("service.name", name),
        ],
        2 => vec![("service.name", name)],
        3 => Vec::new(),
        4 => vec![("service.instance.id", instance)],
        5 => vec![
            ("service.namespace", Any::from("ns")),
            ("service.instance.id", instance),
        ],
        6 => vec![("service.name", Any::from("")), ("service.instance.id", instance)],
        _ => vec![
            ("service.name", Any::Int(number as i64)),
            ("service.namespace", Any::from("")),
            ("service.instance.id", Any::Bool(true)),
        ],
    };
    attributes.extend(owner.into_iter().map(|(key, value)| (key.to_owned(), value)));
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
    let text = |rng: &mut Rng| {
        let texts = [
            "GET",
            "",
            "a \"quoted\" \\ text",
            "línea\nnueva",
            " blank ",
            "x;y",
            "<&>",
        ];
        Any::from(rng.pick(&texts).copied().unwrap_or_default())
    };
    match rng.between(0, if depth == 0 { 5 } else { 8 }) {
        0 | 1 => text(rng),
        8 => Any::Empty,
        2 => Any::Bool(rng.chance(0.5)),
        3 => Any::Int(rng.next().cast_signed() >> rng.between(0, 63)),
        4 => Any::Double(plain_number(rng)),
        5 => {
            // Of empty bytes in a list upstream makes `null`.
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
