//! A long request in parts, for whoever makes much of each data point.

use super::kind_of;
use crate::wire::{Payload, put_bytes, put_bytes_header, records};

/// How large a part may be. A single data point is a part however large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartBounds {
    /// Bytes of its metrics, without what stands around them.
    pub bytes_max: usize,
    /// Series times the bytes of their resource and scope, which each series may repeat. A series is a data point or a
    /// bucket of one.
    pub spread_max: usize,
    /// Bytes that stand around data points: the fields of their resource, scope and metric. Data points below more are
    /// passed over: each part would repeat it, so a request of megabytes would make terabytes.
    pub around_max: usize,
    /// Bytes that stand around the data points of all parts of one request. What would need more is passed over: below one
    /// resource there may be millions of scopes with a data point each, and each is a part.
    pub repeated_max: usize,
}

/// A data point has more bytes than this, and a bucket, which has a count and a bound.
const SERIES_BYTES_MIN: usize = 16;

/// Gives requests that have, one after the other, the data points of one: each below the same resource, scope and metric
/// as there, in the same order. A metric without data points may be in none. Bytes that no check has passed end early.
#[derive(Debug)]
pub struct Parts<'a> {
    bounds: PartBounds,
    /// What of the request is to come.
    resources: &'a [u8],
    resource: Option<Level<'a>>,
    scope: Option<Level<'a>>,
    /// One that alone is larger than a part.
    metric: Option<LongMetric<'a>>,
    part: Vec<u8>,
    /// Bytes around the data points of all parts given.
    repeated: usize,
    passed_over: u64,
}

/// A message that is being taken apart.
#[derive(Debug)]
struct Level<'a> {
    /// All its fields but those that are taken out.
    context: Vec<u8>,
    rest: &'a [u8],
}

#[derive(Debug)]
struct LongMetric<'a> {
    /// All its fields but its data.
    context: Vec<u8>,
    /// The number of its data.
    field: u32,
    /// All fields of the data but its points.
    data_context: Vec<u8>,
    /// What has not been read of its data, which may come in several pieces; the next is last.
    data: Vec<&'a [u8]>,
}

/// `ExportMetricsServiceRequest.resource_metrics`, `ResourceMetrics.scope_metrics`, `ScopeMetrics.metrics`, and the data
/// points of a metric's data.
const RESOURCE: u32 = 1;
const SCOPE: u32 = 2;
const METRIC: u32 = 2;
const POINT: u32 = 1;

// === impl Parts ===

impl<'a> Parts<'a> {
    /// The parts of a request that was checked.
    pub fn new(request: &'a [u8], bounds: PartBounds) -> Self {
        Self {
            bounds,
            resources: request,
            resource: None,
            scope: None,
            metric: None,
            part: Vec::new(),
            repeated: 0,
            passed_over: 0,
        }
    }

    /// Data points, of those there are before the end of the last part, that are in no part for what stands around them.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The next request; none when all data points are given.
    pub fn next_part(&mut self) -> Option<&[u8]> {
        self.next_part_of(u64::MAX)
    }

    /// As [`Self::next_part`], with at most `points_max` data points; at least one is given.
    pub fn next_part_of(&mut self, points_max: u64) -> Option<&[u8]> {
        let points_max = points_max.max(1);
        loop {
            let Some(resource) = &mut self.resource else {
                self.resource = Some(Level::new(next_message(&mut self.resources, RESOURCE)?, SCOPE));
                continue;
            };
            let Some(scope) = &mut self.scope else {
                match next_message(&mut resource.rest, SCOPE) {
                    Some(message) => self.scope = Some(Level::new(message, METRIC)),
                    None => self.resource = None,
                }
                continue;
            };
            let around = resource.context.len() + scope.context.len();
            let around_metric = around + self.metric.as_ref().map_or(0, LongMetric::around);
            if around > self.bounds.around_max || self.repeated + around_metric > self.bounds.repeated_max {
                self.passed_over += self.metric.take().map_or(0, |metric| metric.points());
                self.passed_over += points_below(scope.rest);
                self.scope = None;
                continue;
            }
            let series_max = self.bounds.spread_max / around_metric.max(1);
            let bytes_max = series_max.saturating_mul(SERIES_BYTES_MIN);
            let bytes_max = self.bounds.bytes_max.min(bytes_max);
            let metrics = match &mut self.metric {
                Some(metric) if around_metric > self.bounds.around_max => {
                    self.passed_over += metric.points();
                    Vec::new()
                }
                Some(metric) => metric.take(bytes_max, points_max),
                None => whole_metrics(&mut scope.rest, bytes_max, points_max),
            };
            if !metrics.is_empty() {
                self.repeated += around_metric;
                write(&resource.context, &scope.context, &metrics, &mut self.part);
                return Some(&self.part);
            }
            if self.metric.take().is_none() {
                match next_message(&mut scope.rest, METRIC) {
                    Some(too_long) => self.metric = LongMetric::new(too_long),
                    None => self.scope = None,
                }
            }
        }
    }
}

/// The next metrics that fit together, each as it stands. Empty when none is left and when the next alone is too long.
fn whole_metrics(rest: &mut &[u8], bytes_max: usize, points_max: u64) -> Vec<u8> {
    let mut metrics = Vec::new();
    let mut points_left = points_max;
    for (field, payload, record) in records(rest) {
        if let (METRIC, Payload::Bytes(metric)) = (field, payload) {
            if metrics.len().saturating_add(record.len()) > bytes_max {
                break;
            }
            // Counted only where it matters.
            if points_max < u64::MAX {
                let points = LongMetric::new(metric).map_or(0, |metric| metric.points());
                match points_left.checked_sub(points) {
                    Some(left) => points_left = left,
                    None => break,
                }
            }
            metrics.extend_from_slice(record);
        }
        *rest = &rest[record.len()..];
    }
    metrics
}

/// The data points of all metrics of a scope.
fn points_below(mut scope: &[u8]) -> u64 {
    let metrics = std::iter::from_fn(|| next_message(&mut scope, METRIC));
    metrics
        .filter_map(LongMetric::new)
        .map(|metric| metric.points())
        .sum()
}

/// A request of metrics in their scope and resource.
fn write(resource: &[u8], scope: &[u8], metrics: &[u8], out: &mut Vec<u8>) {
    let mut scope_header = Vec::new();
    put_bytes_header(SCOPE, scope.len() + metrics.len(), &mut scope_header);
    let resource_len = resource.len() + scope_header.len() + scope.len() + metrics.len();
    out.clear();
    put_bytes_header(RESOURCE, resource_len, out);
    for piece in [resource, &scope_header, scope, metrics] {
        out.extend_from_slice(piece);
    }
}

/// The next embedded message of this field; what stands before it is passed over.
fn next_message<'a>(rest: &mut &'a [u8], number: u32) -> Option<&'a [u8]> {
    for (field, payload, record) in records(rest) {
        *rest = &rest[record.len()..];
        if let (field, Payload::Bytes(message)) = (field, payload)
            && field == number
        {
            return Some(message);
        }
    }
    None
}

/// All fields of a message but the embedded messages of this one.
fn all_but(message: &[u8], number: u32, out: &mut Vec<u8>) {
    for (field, payload, record) in records(message) {
        if field != number || !matches!(payload, Payload::Bytes(_)) {
            out.extend_from_slice(record);
        }
    }
}

// === impl Level ===

impl<'a> Level<'a> {
    fn new(message: &'a [u8], taken_out: u32) -> Self {
        let mut context = Vec::new();
        all_but(message, taken_out, &mut context);
        Self {
            context,
            rest: message,
        }
    }
}

// === impl LongMetric ===

impl<'a> LongMetric<'a> {
    /// None when it has no data. Of several kinds the last stands, and all pieces of it.
    fn new(metric: &'a [u8]) -> Option<Self> {
        let mut this = Self {
            context: Vec::new(),
            field: 0,
            data_context: Vec::new(),
            data: Vec::new(),
        };
        for (field, payload, record) in records(metric) {
            match (kind_of(field), payload) {
                (Some(_), Payload::Bytes(data)) => {
                    if field != this.field {
                        this.field = field;
                        this.data.clear();
                        this.data_context.clear();
                    }
                    this.data.push(data);
                    all_but(data, POINT, &mut this.data_context);
                }
                _ => this.context.extend_from_slice(record),
            }
        }
        this.data.reverse();
        (this.field != 0).then_some(this)
    }

    /// Bytes of what stands around its points.
    fn around(&self) -> usize {
        self.context.len() + self.data_context.len()
    }

    /// How many points it still has.
    fn points(&self) -> u64 {
        let of_one = |mut data: &[u8]| {
            let points = std::iter::from_fn(|| next_message(&mut data, POINT));
            points.fold(0, |count, _| count + 1)
        };
        self.data.iter().map(|data| of_one(data)).sum()
    }

    /// The metric with its next points, at least one if any is left; else nothing.
    fn take(&mut self, bytes_max: usize, points_max: u64) -> Vec<u8> {
        let mut points = Vec::new();
        let mut left = points_max;
        while let Some(data) = self.data.last_mut() {
            let before = *data;
            match next_message(data, POINT) {
                Some(point)
                    if left == 0
                        || !points.is_empty() && points.len().saturating_add(point.len()) > bytes_max =>
                {
                    *data = before;
                    break;
                }
                Some(point) => {
                    left -= 1;
                    put_bytes(POINT, point, &mut points);
                }
                None => drop(self.data.pop()),
            }
        }
        if points.is_empty() {
            return Vec::new();
        }
        let mut metric = std::mem::take(&mut self.context);
        let context_len = metric.len();
        put_bytes_header(self.field, self.data_context.len() + points.len(), &mut metric);
        metric.extend_from_slice(&self.data_context);
        metric.extend_from_slice(&points);
        let mut record = Vec::with_capacity(metric.len() + 16);
        put_bytes(METRIC, &metric, &mut record);
        metric.truncate(context_len);
        self.context = metric;
        record
    }
}

#[cfg(test)]
mod tests;
