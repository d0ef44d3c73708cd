//! Streams: the points of one metric with the same attributes, and the series that they become.

use std::rc::Rc;

use crate::account::DropReason;
use crate::context::{Metric, Sort};
use crate::floats;
use crate::identity::{Identities, Identity};
use crate::label_set::{BaseLabels, LabelSet};
use crate::limits::{LABELS_BYTES_MAX, POINT_LABELS_BYTES_MAX};

/// A series.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Of the labels.
    pub(crate) identity: Identity,
    pub(crate) labels: Rc<[u8]>,
}

/// The series of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) identity: Identity,
    pub(crate) sort: Sort,
    /// The bounds of a histogram or the quantiles of a summary, as bits: what the series were made for.
    pub(crate) layout: Box<[u64]>,
    /// Of a histogram: sum, count, each bound but one that is infinite, `+Inf`. Of a summary: sum, count, each quantile. Of
    /// everything else one.
    pub(crate) series: Box<[Series]>,
}

/// Bookkeeping of a stream and of a series beside the labels, roughly.
const OVERHEAD: usize = 96;

impl Stream {
    pub(crate) fn new(
        metric: &Metric,
        identity: Identity,
        point: &LabelSet,
        layout: &[u64],
        identities: &Identities,
    ) -> Result<Self, DropReason> {
        let mut maker = Maker {
            base: metric
                .scope
                .over
                .base(point, &metric.resource.under, extra_label(metric.sort)),
            name: &metric.name,
            identities,
            series: Vec::new(),
            scratch: Vec::new(),
        };
        let labels = maker.base.len() + metric.name.len();
        let series = match metric.sort {
            Sort::Gauge | Sort::Counter | Sort::NativeHistogram => 1,
            Sort::Histogram | Sort::Summary => layout.len() + 3,
        };
        if labels > LABELS_BYTES_MAX || labels.saturating_mul(series) > POINT_LABELS_BYTES_MAX {
            return Err(DropReason::LabelsTooLarge);
        }
        match metric.sort {
            Sort::Gauge | Sort::Counter | Sort::NativeHistogram => maker.add(b"", None),
            Sort::Histogram => {
                maker.add(b"_sum", None);
                maker.add(b"_count", None);
                for bound in finite(layout) {
                    maker.add_number(b"_bucket", bound);
                }
                maker.add(b"_bucket", Some(b"+Inf"));
            }
            Sort::Summary => {
                maker.add(b"_sum", None);
                maker.add(b"_count", None);
                for quantile in layout {
                    maker.add_number(b"", f64::from_bits(*quantile));
                }
            }
        }
        Ok(Self {
            identity,
            sort: metric.sort,
            layout: Box::from(layout),
            series: maker.series.into_boxed_slice(),
        })
    }

    /// It was made for points of this layout.
    pub(crate) fn has_layout(&self, layout: &[u64]) -> bool {
        // To compare nothing takes a hundred times as long as to see that there is nothing: memcmp is called with an address
        // that is none, and a masked load of AVX-512 that faults is slow even where the mask is empty.
        self.layout.len() == layout.len() && (layout.is_empty() || *self.layout == *layout)
    }

    /// Bytes that it takes in memory, roughly.
    pub(crate) fn weight(&self) -> usize {
        let series: usize = self
            .series
            .iter()
            .map(|series| series.labels.len() + OVERHEAD)
            .sum();
        OVERHEAD + 8 * self.layout.len() + series
    }
}

/// The bounds of a histogram that have a bucket of their own: not a last one that is infinite, since `+Inf` is there anyway.
pub(crate) fn finite(bounds: &[u64]) -> impl Iterator<Item = f64> + '_ {
    let bounds = match bounds {
        [finite @ .., last] if f64::from_bits(*last) == f64::INFINITY => finite,
        _ => bounds,
    };
    bounds.iter().map(|bits| f64::from_bits(*bits))
}

fn extra_label(sort: Sort) -> &'static [u8] {
    match sort {
        Sort::Summary => b"quantile",
        Sort::Gauge | Sort::Counter | Sort::Histogram | Sort::NativeHistogram => b"le",
    }
}

/// Makes the series of a stream.
struct Maker<'a> {
    base: BaseLabels,
    name: &'a [u8],
    identities: &'a Identities,
    series: Vec<Series>,
    scratch: Vec<u8>,
}

impl Maker<'_> {
    fn add(&mut self, suffix: &[u8], extra: Option<&[u8]>) {
        let labels = self.base.series(self.name, suffix, extra, &mut self.scratch);
        self.series.push(Series {
            identity: self.identities.of(&[&labels]),
            labels,
        });
    }

    fn add_number(&mut self, suffix: &[u8], extra: f64) {
        let mut text = Vec::new();
        floats::put_plain(extra, &mut text);
        self.add(suffix, Some(&text));
    }
}
