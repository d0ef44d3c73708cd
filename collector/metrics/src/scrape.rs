//! What the `prometheus` exporter holds, and the page that it shows: the last value of each series, deltas added up, as
//! text. Pure: the caller has the socket, the clock and the compression.
//!
//! Points are read by `read`, held by `series` in `slots`, kept apart by `families`, and written by `page` and `text`;
//! `accept` says in which [`Format`].
//!
//! The rules are those of the `prometheus` exporter of the OpenTelemetry Collector Contrib v0.161.0 but where it loses
//! data: a point that says "no value" ends its own series only, a key that makes no label costs the label, keys that make
//! the same label are joined, and series are bounded and expire without a scrape. Protobuf scrapes, and with them the
//! buckets of exponential histograms, are out of scope.

mod accept;
mod expiry;
mod families;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what it finds wrong shall end the test"
)]
pub mod fuzzing;
mod page;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::panic, reason = "what it finds wrong shall end the test")]
mod parser;
mod read;
mod series;
mod slots;
mod stream;
mod target;
mod text;

use std::collections::HashMap;
use std::rc::Rc;

use tracepipe_config::PrometheusSettings;

use crate::account::{DropReason, Translated, UnixMillis};
use crate::identity::{Identities, Identity};
use crate::limits::{FUTURE_MS_MAX, POINT_LABELS_BYTES_MAX};
use crate::recent::Recent;
use crate::rules::Rules;
use crate::time::millis;
use crate::view::{self, ScopeMetrics};

use self::families::{Families, FamilyKind, Place};
use self::read::{Point, Scratch, Shape};
use self::series::{Sample, Series};
use self::slots::{Handle, Slots};
use self::stream::{Resource, Stream};

pub use self::accept::Format;
pub use self::page::Page;

/// Bytes that all series of one exporter may take, about: labels, buckets and bookkeeping. What comes first is held; the
/// first point of a series beyond it is dropped as one beyond `max_series`. See [`Registry::with_bytes_max`].
pub const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that the name and the labels of a series may have; a point with more is dropped. Names and values that people read
/// are a hundredth of it.
pub const LABELS_BYTES_MAX: usize = 64 * 1024;

/// The series of one `prometheus` exporter.
#[derive(Debug)]
pub struct Registry {
    rules: Rules,
    send_timestamps: bool,
    with_exemplars: bool,
    expiration_ms: i64,
    series_max: usize,
    bytes_max: usize,
    bytes: usize,
    identities: Identities,
    /// Where the series of streams are that points came for lately: their labels need not be made again.
    known: Recent<Handle>,
    families: Families,
    series: Slots,
    target_name: Vec<u8>,
    /// The `target_info` of each `job` and `instance`.
    targets: HashMap<Vec<u8>, Handle>,
    scratch: Scratch,
    held: Held,
    expire_at: Option<UnixMillis>,
}

/// What is held, for metrics of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Data points whose last value is held; one histogram is one. `target_info` counts for each resource.
    pub series: usize,
    /// Names on the page.
    pub families: usize,
    /// Bytes, about; at most [`BYTES_MAX`].
    pub bytes: usize,
    /// Series that have been forgotten because nothing came for them.
    pub expired: u64,
    /// Series whose description is not the one that is shown, which is that of the first series of the name.
    pub help_conflicts: u64,
    /// Resources without a `target_info` because there was no room.
    pub targets_refused: u64,
}

/// Where a series is, or its labels if it is not held.
enum Found {
    Held(Place),
    New(Vec<u8>),
}

impl Registry {
    /// An empty one.
    pub fn new(settings: &PrometheusSettings) -> Self {
        let rules = Rules::new(&settings.translation, &settings.const_labels);
        let mut target_name = Vec::new();
        rules.namer.put_target_info(&mut target_name);
        let series_max = usize::try_from(settings.max_series).unwrap_or(usize::MAX);
        Self {
            rules,
            send_timestamps: settings.send_timestamps,
            with_exemplars: settings.enable_open_metrics,
            expiration_ms: i64::try_from(settings.metric_expiration.as_millis()).unwrap_or(i64::MAX),
            series_max,
            bytes_max: BYTES_MAX,
            bytes: 0,
            identities: Identities::default(),
            // Half of them are never forgotten.
            known: Recent::new(series_max.saturating_mul(2)),
            families: Families::default(),
            series: Slots::default(),
            target_name,
            targets: HashMap::new(),
            scratch: Scratch::default(),
            held: Held::default(),
            expire_at: None,
        }
    }

    /// With another bound than [`BYTES_MAX`], in bytes: where memory is short.
    #[must_use]
    pub fn with_bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Takes the bytes of an `ExportMetricsServiceRequest`. Every data point is in the answer's `points` or `dropped`;
    /// `samples` and what belongs to them stay zero.
    ///
    /// A point that says that there is no value ends its series and is one of `points`.
    pub fn apply(&mut self, request: &[u8], now: UnixMillis) -> Translated {
        let mut done = Translated::default();
        for view in view::resources(request) {
            let identity = self
                .identities
                .of_items(self.identities.of(&[]), view.encoded_attributes());
            let resource = Resource::new(view, identity);
            let before = done.points;
            for scope in view.scopes() {
                self.apply_scope(&resource, &scope, now, &mut done);
            }
            if done.points > before {
                self.apply_target(&resource, now, &mut done);
            }
        }
        self.look_for_expired_later(now);
        done
    }

    fn apply_scope(
        &mut self,
        resource: &Resource<'_>,
        scope: &ScopeMetrics<'_>,
        now: UnixMillis,
        done: &mut Translated,
    ) {
        let head = self.identities.of(&[scope.name, scope.version, scope.schema_url]);
        let own = self.identities.of_items(head, scope.encoded_attributes());
        let identity = self.identities.child(resource.identity, own);
        for metric in scope.metrics() {
            let Some(kind) = metric.kind else { continue };
            let shape = match Shape::of(kind) {
                Ok(shape) => shape,
                Err(reason) => {
                    metric.points().for_each(|_| done.dropped.count(reason));
                    continue;
                }
            };
            let identity = shape.identity(identity, metric.name, metric.unit, &self.identities);
            let stream = Stream::new(resource, scope, &metric, shape, identity);
            for message in metric.points() {
                let mut scratch = std::mem::take(&mut self.scratch);
                let applied = shape
                    .read(message, &mut scratch)
                    .and_then(|point| self.apply_point(&stream, &point, now, done));
                self.scratch = scratch;
                match applied {
                    Ok(()) => done.points += 1,
                    Err(reason) => done.dropped.count(reason),
                }
            }
        }
    }

    fn apply_point(
        &mut self,
        stream: &Stream<'_>,
        point: &Point<'_>,
        now: UnixMillis,
        done: &mut Translated,
    ) -> Result<(), DropReason> {
        if millis(point.time_unix_nano) > now.0.saturating_add(FUTURE_MS_MAX) {
            // It would hold off all that comes until then.
            return Err(DropReason::Future);
        }
        let identity = self
            .identities
            .of_items(stream.identity, point.attributes.encoded());
        let known = self.known.get(identity).copied();
        let found = match known.and_then(|handle| self.series.find(handle)) {
            Some(place) => Found::Held(place),
            None => {
                self.make_way(stream, now)?;
                self.find(stream, point, identity, done)?
            }
        };
        match (found, &point.sample) {
            (Found::Held(place), Some(sample)) => self.update(place, sample, now, done),
            (Found::Held(place), None) => self.end(place, point.time_unix_nano),
            (Found::New(labels), Some(sample)) => {
                let place = self.begin(stream, &labels, sample, now)?;
                self.known.insert(identity, 1, self.series.handle(place));
                self.keep_exemplars(place, sample, done);
                Ok(())
            }
            (Found::New(_), None) => Ok(()),
        }
    }

    /// Sees to it that a stream's name may be that of a family of its kind.
    fn make_way(&mut self, stream: &Stream<'_>, now: UnixMillis) -> Result<(), DropReason> {
        let name = stream.name(&self.rules)?;
        if name == self.target_name {
            return Err(DropReason::TypeCollision);
        }
        while let Some(rival) = self.families.rival(name, stream.shape.family) {
            let rival = Rc::clone(&rival.name);
            if !self.forget_expired_family(&rival, now) {
                return Err(DropReason::TypeCollision);
            }
        }
        Ok(())
    }

    /// Where the series of a stream is whose labels are not known.
    fn find(
        &mut self,
        stream: &Stream<'_>,
        point: &Point<'_>,
        identity: Identity,
        done: &mut Translated,
    ) -> Result<Found, DropReason> {
        let name = stream.name(&self.rules)?;
        let labels = stream.labels(point, &self.rules, &mut done.labels_dropped);
        check_length(name.len() + labels.len(), point.sample.as_ref())?;
        let family = self.families.get(name);
        match family.and_then(|family| family.series.get(labels.as_slice()).copied()) {
            Some(place) => {
                self.known.insert(identity, 1, self.series.handle(place));
                Ok(Found::Held(place))
            }
            None => Ok(Found::New(labels)),
        }
    }

    fn update(
        &mut self,
        place: Place,
        sample: &Sample<'_>,
        now: UnixMillis,
        done: &mut Translated,
    ) -> Result<(), DropReason> {
        let Some(series) = self.series.get_mut(place) else {
            return Ok(());
        };
        check_length(series.family.len() + series.labels.len(), Some(sample))?;
        series.admit(sample)?;
        let before = series.bytes();
        series.update(sample, now, done);
        let after = series.bytes();
        self.bytes = self.bytes + after - before;
        if after > before && self.bytes > self.bytes_max {
            // Its buckets are others than before, and there is no room for the new ones.
            self.remove(place);
            return Err(DropReason::SeriesFull);
        }
        self.keep_exemplars(place, sample, done);
        Ok(())
    }

    /// There is no value any more, unless this is older news than the value.
    fn end(&mut self, place: Place, time_unix_nano: u64) -> Result<(), DropReason> {
        let is_older = self
            .series
            .get(place)
            .is_some_and(|series| series.is_newer_than(time_unix_nano));
        if is_older {
            return Err(DropReason::OutOfOrder);
        }
        self.remove(place);
        Ok(())
    }

    fn begin(
        &mut self,
        stream: &Stream<'_>,
        labels: &[u8],
        sample: &Sample<'_>,
        now: UnixMillis,
    ) -> Result<Place, DropReason> {
        let name = stream.name(&self.rules)?;
        let family = (name, stream.shape.family, stream.metric.description);
        self.insert(family, labels, sample, now)
            .ok_or(DropReason::SeriesFull)
    }

    fn keep_exemplars(&mut self, place: Place, sample: &Sample<'_>, done: &mut Translated) {
        let (Some(exemplars), true) = (sample.exemplars, self.with_exemplars) else {
            return;
        };
        if let Some(series) = self.series.get_mut(place) {
            let before = series.bytes();
            let room = self.bytes_max.saturating_sub(self.bytes);
            series.keep_exemplars(exemplars, room, done);
            self.bytes = self.bytes + series.bytes() - before;
        }
    }

    /// Holds a new series of a family; none if there is no room.
    fn insert(
        &mut self,
        (name, kind, help): (&[u8], FamilyKind, &[u8]),
        labels: &[u8],
        sample: &Sample<'_>,
        now: UnixMillis,
    ) -> Option<Place> {
        if self.series.len() >= self.series_max {
            return None;
        }
        let (family, family_bytes) = self.families.entry(name, kind, help);
        let labels: Rc<[u8]> = Rc::from(labels);
        let series = Series::new(Rc::clone(&family.name), Rc::clone(&labels), sample, now);
        let bytes = series.bytes();
        if self.bytes + family_bytes + bytes > self.bytes_max {
            self.families.remove_empty(name);
            return None;
        }
        let is_other_help = !family.is_described(help);
        self.bytes += family_bytes + bytes;
        let place = self.series.insert(series);
        family.series.insert(labels, place);
        self.held.help_conflicts += u64::from(is_other_help);
        Some(place)
    }

    fn remove(&mut self, place: Place) {
        let Some(series) = self.series.remove(place) else {
            return;
        };
        self.bytes -= series.bytes();
        if let Some(family) = self.families.get_mut(&series.family) {
            family.series.remove(&series.labels);
        }
        self.bytes -= self.families.remove_empty(&series.family);
    }

    /// Bytes that it takes, about, for the memory limiter.
    pub fn memory_bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// What is held now.
    pub fn held(&self) -> Held {
        Held {
            series: self.series.len(),
            families: self.families.len(),
            bytes: self.bytes,
            ..self.held
        }
    }
}

/// Whether labels of so many bytes, name included, may stand in each line of a point.
fn check_length(labels: usize, sample: Option<&Sample<'_>>) -> Result<(), DropReason> {
    let lines = sample.map_or(1, |sample| sample.reading.lines());
    if labels > LABELS_BYTES_MAX || labels.saturating_mul(lines) > POINT_LABELS_BYTES_MAX {
        return Err(DropReason::LabelsTooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
