//! Points of all kinds, read and checked.

use crate::account::DropReason;
use crate::identity::{Identities, Identity};
use crate::names::NameKind;
use crate::view::{
    Attributes, ExponentialPoint, HistogramPoint, Kind, NumberPoint, SummaryPoint, Temporality,
};

use super::families::FamilyKind;
use super::series::{Reading, Sample};

/// What a metric's kind means here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) family: FamilyKind,
    pub(super) name: NameKind,
    is_delta: bool,
}

/// Room that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    bounds: Vec<f64>,
    counts: Vec<u64>,
    quantiles: Vec<(f64, f64)>,
}

/// A point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'a> {
    pub(super) attributes: Attributes<'a>,
    /// None: there is no value any more.
    pub(super) sample: Option<Sample<'a>>,
    pub(super) time_unix_nano: u64,
}

impl Shape {
    /// As Prometheus sees a metric: a sum that may fall is a gauge.
    pub(super) fn of(kind: Kind) -> Result<Self, DropReason> {
        let (family, name, temporality) = match kind {
            Kind::Gauge => (FamilyKind::Gauge, NameKind::Gauge, Temporality::Cumulative),
            Kind::Sum {
                temporality,
                is_monotonic: true,
            } => (FamilyKind::Counter, NameKind::Counter, temporality),
            Kind::Sum {
                temporality,
                is_monotonic: false,
            } => (FamilyKind::Gauge, NameKind::Other, temporality),
            Kind::Histogram { temporality } | Kind::ExponentialHistogram { temporality } => {
                (FamilyKind::Histogram, NameKind::Other, temporality)
            }
            Kind::Summary => (FamilyKind::Summary, NameKind::Other, Temporality::Cumulative),
        };
        let is_delta = match temporality {
            Temporality::Delta => true,
            Temporality::Cumulative => false,
            Temporality::Unspecified => return Err(DropReason::UnspecifiedTemporality),
        };
        Ok(Self {
            kind,
            family,
            name,
            is_delta,
        })
    }

    /// What tells a metric's streams from those of others of its scope, beside the attributes. Deltas and totals of one
    /// metric are one: a change of the sender's settings does not make another series.
    pub(super) fn identity(
        self,
        scope: Identity,
        name: &[u8],
        unit: &[u8],
        identities: &Identities,
    ) -> Identity {
        let number = match self.kind {
            Kind::Gauge => 0,
            Kind::Sum {
                is_monotonic: true, ..
            } => 1,
            Kind::Sum {
                is_monotonic: false, ..
            } => 2,
            Kind::Histogram { .. } => 3,
            Kind::ExponentialHistogram { .. } => 4,
            Kind::Summary => 5,
        };
        identities.child(scope, identities.of(&[name, unit, &[number]]))
    }

    /// Reads an encoded point.
    pub(super) fn read<'a>(
        self,
        message: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Result<Point<'a>, DropReason> {
        match self.kind {
            Kind::Gauge | Kind::Sum { .. } => self.read_number(message),
            Kind::Histogram { .. } => self.read_explicit(message, scratch),
            Kind::ExponentialHistogram { .. } => Ok(self.read_exponential(message)),
            Kind::Summary => Ok(self.read_summary(message, scratch)),
        }
    }

    fn read_number(self, message: &[u8]) -> Result<Point<'_>, DropReason> {
        let point = NumberPoint::read(message);
        let sample = match (point.is_stale, point.value) {
            (true, _) => None,
            (false, None) => return Err(DropReason::NoValue),
            (false, Some(number)) => Some(Sample {
                start_unix_nano: point.start_time_unix_nano,
                time_unix_nano: point.time_unix_nano,
                is_delta: self.is_delta,
                reading: Reading::Number(number),
                // OpenMetrics has none of gauges.
                exemplars: (point.has_exemplars && self.family == FamilyKind::Counter)
                    .then(|| point.exemplars()),
            }),
        };
        Ok(Point {
            attributes: point.attributes(),
            sample,
            time_unix_nano: point.time_unix_nano,
        })
    }

    fn read_explicit<'a>(self, message: &'a [u8], scratch: &'a mut Scratch) -> Result<Point<'a>, DropReason> {
        let point = HistogramPoint::read(message);
        let Scratch { bounds, counts, .. } = scratch;
        bounds.clear();
        bounds.extend(point.explicit_bounds.iter().map(f64::from_bits));
        counts.clear();
        counts.extend(point.bucket_counts.iter());
        let attributes = point.attributes();
        if point.is_stale {
            return Ok(Point {
                attributes,
                sample: None,
                time_unix_nano: point.time_unix_nano,
            });
        }
        if counts.is_empty() {
            // No buckets at all, whatever bounds they would have.
            bounds.clear();
            counts.push(point.count);
        }
        if counts.len() != bounds.len() + 1 {
            return Err(DropReason::Buckets);
        }
        // A single bound can be wrong as well: not a number.
        let rises = |pair: &[f64]| pair[0] < pair[1];
        if !bounds.windows(2).all(rises) || bounds.iter().any(|bound| bound.is_nan()) {
            return Err(DropReason::Bounds);
        }
        // Buckets are written added up, and the last of them is the count of all: it must not be below the one before.
        let total = counts
            .iter()
            .try_fold(0_u64, |total, count| total.checked_add(*count));
        if total.is_none_or(|total| total > point.count) {
            return Err(DropReason::Buckets);
        }
        Ok(Point {
            attributes,
            sample: Some(Sample {
                start_unix_nano: point.start_time_unix_nano,
                time_unix_nano: point.time_unix_nano,
                is_delta: self.is_delta,
                reading: Reading::Explicit {
                    count: point.count,
                    sum: point.sum,
                    bounds,
                    counts,
                },
                exemplars: point.has_exemplars.then(|| point.exemplars()),
            }),
            time_unix_nano: point.time_unix_nano,
        })
    }

    /// Its buckets, and so its scale, have no place in the text.
    fn read_exponential(self, message: &[u8]) -> Point<'_> {
        let point = ExponentialPoint::read(message);
        Point {
            attributes: point.attributes(),
            sample: (!point.is_stale).then_some(Sample {
                start_unix_nano: point.start_time_unix_nano,
                time_unix_nano: point.time_unix_nano,
                is_delta: self.is_delta,
                reading: Reading::Exponential {
                    count: point.count,
                    sum: point.sum,
                },
                exemplars: None,
            }),
            time_unix_nano: point.time_unix_nano,
        }
    }

    fn read_summary<'a>(self, message: &'a [u8], scratch: &'a mut Scratch) -> Point<'a> {
        let point = SummaryPoint::read(message);
        let quantiles = &mut scratch.quantiles;
        quantiles.clear();
        quantiles.extend(
            point
                .quantiles()
                .map(|quantile| (quantile.quantile, quantile.value)),
        );
        // Each is a label's value: of equal ones the last counts, as in upstream's map.
        quantiles.reverse();
        quantiles.sort_by(|(a, _), (b, _)| label_order(*a).total_cmp(&label_order(*b)));
        quantiles.dedup_by(|(a, _), (b, _)| label_order(*a).to_bits() == label_order(*b).to_bits());
        Point {
            attributes: point.attributes(),
            sample: (!point.is_stale).then_some(Sample {
                start_unix_nano: point.start_time_unix_nano,
                time_unix_nano: point.time_unix_nano,
                is_delta: self.is_delta,
                reading: Reading::Summary {
                    count: point.count,
                    sum: point.sum,
                    quantiles,
                },
                exemplars: None,
            }),
            time_unix_nano: point.time_unix_nano,
        }
    }
}

/// One double for each text: both zeros are `0`, and all that is no number is `NaN`.
fn label_order(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}
