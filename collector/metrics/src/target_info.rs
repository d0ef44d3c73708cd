//! `target_info`: a series that tells what a resource is beyond `job` and `instance`.
//!
//! It has a clock of its own, which is ours: written when a resource is first seen and then every interval, for as long as
//! something comes for it. Upstream writes it with the points' times in every request, so that two requests that overtake
//! each other cost both (prometheus#16063). There is one for each `job` and `instance`; where two resources say the same
//! and differ otherwise, the first one has it until nothing comes for it for an interval.

use std::rc::Rc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::context::{Resource, Sort};
use crate::identity::{Identities, Identity};
use crate::label_set::LabelSet;
use crate::limits::{LABELS_BYTES_MAX, TARGETS_BYTES_MAX, TARGETS_MAX};
use crate::series::{STALE_NAN, SampleValue};
use crate::sink::{Sink, Stamp};
use crate::stream::Series;

/// Those that are written.
#[derive(Debug)]
pub(crate) struct Targets {
    name: Vec<u8>,
    interval_ms: i64,
    stale_ms: i64,
    targets: HashTable<Target>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Target {
    /// Of `job` and `instance`.
    owner: Identity,
    resource: Rc<Resource>,
    series: Series,
    seen_ms: i64,
    written_ms: i64,
}

impl Targets {
    pub(crate) fn new(name: Vec<u8>, interval_ms: i64, stale_ms: i64) -> Self {
        Self {
            name,
            interval_ms,
            stale_ms,
            targets: HashTable::new(),
            bytes: 0,
            bytes_max: TARGETS_BYTES_MAX,
        }
    }

    /// With another bound than [`TARGETS_BYTES_MAX`].
    pub(crate) fn set_bytes_max(&mut self, bytes: usize) {
        self.bytes_max = bytes;
    }

    /// Bytes that they take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A resource has sent something.
    pub(crate) fn saw(&mut self, resource: &Rc<Resource>, identities: &Identities, sink: &mut Sink<'_>) {
        let Some(labels) = &resource.target else { return };
        let now_ms = sink.now_ms;
        let owner = identity_of(&resource.owner, identities);
        let is_full = self.targets.len() >= TARGETS_MAX
            || labels.weight() > LABELS_BYTES_MAX
            || self.bytes + resource.weight() > self.bytes_max;
        let entry = self.targets.entry(
            owner.hash(),
            |target| target.owner == owner,
            |target| target.owner.hash(),
        );
        match entry {
            Entry::Occupied(mut found) => {
                let target = found.get_mut();
                if Rc::ptr_eq(&target.resource, resource) || target.resource.target.as_ref() == Some(labels) {
                    target.seen_ms = now_ms;
                } else if target.seen_ms + self.interval_ms <= now_ms && !is_full {
                    target.end(sink);
                    self.bytes = self.bytes - target.resource.weight() + resource.weight();
                    target.resource = Rc::clone(resource);
                    target.series = series(&self.name, labels, identities);
                    target.seen_ms = now_ms;
                    target.written_ms = i64::MIN;
                    target.write(sink);
                } else {
                    sink.done.target_info_conflicts += 1;
                }
            }
            Entry::Vacant(_) if is_full => sink.done.target_info_conflicts += 1,
            Entry::Vacant(vacant) => {
                let mut target = Target {
                    owner,
                    resource: Rc::clone(resource),
                    series: series(&self.name, labels, identities),
                    seen_ms: now_ms,
                    written_ms: i64::MIN,
                };
                target.write(sink);
                self.bytes += resource.weight();
                vacant.insert(target);
            }
        }
    }

    /// Writes those that are due, and the end of those that nothing came for; gives when the next one is due.
    pub(crate) fn poll(&mut self, sink: &mut Sink<'_>) -> Option<i64> {
        let (now_ms, stale_ms, interval_ms) = (sink.now_ms, self.stale_ms, self.interval_ms);
        let bytes = &mut self.bytes;
        self.targets.retain(|target| {
            if target.seen_ms + stale_ms <= now_ms {
                target.end(sink);
                *bytes -= target.resource.weight();
                return false;
            }
            if target.written_ms + interval_ms <= now_ms {
                target.write(sink);
            }
            true
        });
        self.targets
            .iter()
            .map(|target| (target.written_ms + interval_ms).min(target.seen_ms + stale_ms))
            .min()
    }

    /// Writes the end of all.
    pub(crate) fn drain(&mut self, sink: &mut Sink<'_>) {
        self.bytes = 0;
        for target in self.targets.drain() {
            target.end(sink);
        }
    }
}

impl Target {
    /// Writes that it is so, now.
    fn write(&mut self, sink: &mut Sink<'_>) {
        // Our own clock may stand still or step back.
        self.written_ms = sink.now_ms.max(self.written_ms.saturating_add(1));
        self.put(self.written_ms, 1.0, sink);
    }

    /// Writes the end, right behind what was written last: the collector that takes over from this one may have written the
    /// series since.
    fn end(&self, sink: &mut Sink<'_>) {
        self.put(self.written_ms.saturating_add(1), STALE_NAN, sink);
    }

    fn put(&self, timestamp_ms: i64, value: f64, sink: &mut Sink<'_>) {
        let stamp = Stamp {
            sort: Sort::Gauge,
            writer: self.owner.hash(),
            timestamp_ms,
            zero_ms: None,
            restart: None,
        };
        // Refused only where a metric of another type calls itself so.
        let refused = sink.write(&self.series, stamp, SampleValue::Float(value), None);
        if let Err(reason) = refused {
            sink.done.samples_dropped.count(reason);
        }
    }
}

fn series(name: &[u8], labels: &LabelSet, identities: &Identities) -> Series {
    let none = LabelSet::default();
    let labels = labels
        .base(&none, &none, b"le")
        .series(name, b"", None, &mut Vec::new());
    Series {
        identity: identities.of(&[&labels]),
        labels,
    }
}

fn identity_of(owner: &LabelSet, identities: &Identities) -> Identity {
    let root = identities.of(&[]);
    owner.iter().fold(root, |parent, (name, value)| {
        identities.child(parent, identities.of(&[name, value]))
    })
}
