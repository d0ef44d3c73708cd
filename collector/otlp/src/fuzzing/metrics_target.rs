//! Requests with metrics: the check against itself, on what is made of a request.

use crate::edit::{ResourceEdit, ResourceEditOp, Value, edit_metrics, growth_max};
use crate::json::{metrics_bytes_max, metrics_json_to_protobuf};
use crate::metrics::{Counted, MetricKind, PartBounds, Parts, check};

/// Small, so that small inputs come in parts.
const BOUNDS: PartBounds = PartBounds {
    bytes_max: 64,
    spread_max: 256,
    around_max: 64,
    repeated_max: 1024,
};

/// Checks `input` as a request with metrics.
///
/// # Panics
/// When something does not hold that must hold for every input: with edited resources it is the same request, and no larger
/// than was said; its parts have its data points but for those that are passed over, and are requests themselves; nothing panics on what is refused.
pub fn metrics(input: &[u8]) {
    let edits = [
        edit("a", ResourceEditOp::Upsert(Value::String("edited".into()))),
        edit("b", ResourceEditOp::Delete),
    ];
    let mut edited = Vec::new();
    edit_metrics(input, &edits, &mut edited);
    let mut parts = Parts::new(input, BOUNDS);
    let mut together = Counted::default();
    let mut points_of = [0; 5];
    let checked = check(input);
    while let Some(part) = parts.next_part() {
        // Of what is refused some parts may be good.
        let part = check(part);
        assert!(
            part.is_ok() || checked.is_err(),
            "a part cannot be read: {part:?}"
        );
        let Ok(counted) = part else { continue };
        together.points += counted.points;
        for (kind, points) in KINDS.into_iter().zip(&mut points_of) {
            *points += counted.points_of(kind);
        }
    }
    let Ok(counted) = checked else { return };
    assert_eq!(together.points + parts.passed_over(), counted.points);
    if parts.passed_over() == 0 {
        assert_eq!(points_of, KINDS.map(|kind| counted.points_of(kind)));
    }
    assert_eq!(check(&edited), Ok(counted));
    let growth = edited.len().saturating_sub(input.len()) as u64;
    assert!(
        growth <= growth_max(counted.resources, &edits),
        "{growth} bytes more"
    );
}

/// Transcodes `input` as a request with metrics in JSON.
///
/// # Panics
/// When something does not hold that must hold for every input: the protobuf is no longer than was said and can be read;
/// a refusal leaves the output as it was.
pub fn metrics_json(input: &[u8]) {
    let before = b"before";
    let mut out = before.to_vec();
    let result = metrics_json_to_protobuf(input, &mut out);
    assert!(out.starts_with(before));
    let written = &out[before.len()..];
    match result {
        Ok(()) => {
            assert!(
                written.len() <= metrics_bytes_max(input),
                "{} bytes",
                written.len()
            );
            let checked = check(written);
            assert!(checked.is_ok(), "what it writes cannot be read: {checked:?}");
        }
        Err(error) => {
            assert!(written.is_empty());
            assert!(error.offset <= input.len(), "{error}");
            assert!(error.path.starts_with('$') && !error.message.is_empty());
        }
    }
}

const KINDS: [MetricKind; 5] = [
    MetricKind::Gauge,
    MetricKind::Sum,
    MetricKind::Histogram,
    MetricKind::ExponentialHistogram,
    MetricKind::Summary,
];

fn edit(key: &str, op: ResourceEditOp) -> ResourceEdit {
    ResourceEdit { key: key.into(), op }
}
