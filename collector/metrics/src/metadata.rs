//! Metadata: type, unit and description of each family of series, as requests of their own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tracepipe_otlp::wire::{bytes_field_len, put_bytes, put_bytes_header};

use crate::context::Sort;
use crate::labels::put_text;
use crate::limits::{FAMILIES_BYTES_MAX, FAMILIES_MAX, HELP_BYTES_MAX, UNIT_BYTES_MAX};
use crate::units::UnitWords;

/// Field number of `metadata` in `WriteRequest`.
const METADATA: u32 = 3;

/// A family that nothing came for in this time is no longer spoken of, and is the first to go when there are too many:
/// Prometheus' lookback.
const FRESH_MS: i64 = 5 * 60 * 1000;

/// Requests with metadata are at least this far apart, so that new families go together.
const PAUSE_MS: i64 = 5000;

/// Bookkeeping of a family beside its texts, roughly.
const OVERHEAD: usize = 192;

/// A family of series.
#[derive(Debug)]
pub(crate) struct Family {
    name: Vec<u8>,
    kind: u8,
    unit: Vec<u8>,
    help: Vec<u8>,
    seen_ms: Cell<i64>,
    sent_ms: Cell<Option<i64>>,
    is_listed: Cell<bool>,
}

/// The families seen, by name.
#[derive(Debug)]
pub(crate) struct Families {
    families: BTreeMap<Vec<u8>, Rc<Family>>,
    /// What they weigh together.
    weight: usize,
    weight_max: usize,
    /// When the next family is to be told; one that is new at once.
    due_ms: i64,
    paused_till_ms: i64,
}

// === impl Family ===

impl Family {
    /// Bytes that it takes in memory, roughly.
    pub(crate) fn weight(&self) -> usize {
        OVERHEAD + 2 * self.name.len() + self.unit.len() + self.help.len()
    }

    fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(12 + self.name.len() + self.unit.len() + self.help.len());
        encoded.extend_from_slice(&[1 << 3, self.kind]);
        for (field, text) in [(2, &self.name), (4, &self.help), (5, &self.unit)] {
            if !text.is_empty() {
                put_bytes(field, text, &mut encoded);
            }
        }
        encoded
    }
}

/// A number of `MetricMetadata.MetricType`.
fn type_number(sort: Sort) -> u8 {
    match sort {
        Sort::Counter => 1,
        Sort::Gauge => 2,
        Sort::Histogram | Sort::NativeHistogram => 3,
        Sort::Summary => 5,
    }
}

// === impl Families ===

impl Default for Families {
    fn default() -> Self {
        Self {
            families: BTreeMap::new(),
            weight: 0,
            weight_max: FAMILIES_BYTES_MAX,
            due_ms: 0,
            paused_till_ms: 0,
        }
    }
}

impl Families {
    /// With another bound than [`FAMILIES_BYTES_MAX`].
    pub(crate) fn set_bytes_max(&mut self, bytes: usize) {
        self.weight_max = bytes;
    }

    /// Bytes that they take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.weight
    }

    /// The family of this name. The first metric that has the name says what the family is, until it is gone.
    pub(crate) fn family(&mut self, name: &[u8], sort: Sort, unit: &[u8], help: &[u8]) -> Rc<Family> {
        if let Some(known) = self.families.get(name) {
            return Rc::clone(known);
        }
        let mut unit_words = Vec::new();
        if unit.len() <= UNIT_BYTES_MAX {
            UnitWords::of(unit).put_metadata(&mut unit_words);
        }
        let mut text = Vec::new();
        put_text(&help[..help.len().min(HELP_BYTES_MAX)], &mut text);
        let family = Rc::new(Family {
            name: name.to_vec(),
            kind: type_number(sort),
            unit: unit_words,
            help: text,
            seen_ms: Cell::default(),
            sent_ms: Cell::default(),
            is_listed: Cell::default(),
        });
        self.list(&family);
        family
    }

    /// Points of the family have come.
    pub(crate) fn saw(&mut self, family: &Rc<Family>, now_ms: i64) {
        family.seen_ms.set(family.seen_ms.get().max(now_ms));
        if !family.is_listed.get() {
            self.list(family);
        }
    }

    /// Speaks of the family, if there is room and no other one has its name.
    fn list(&mut self, family: &Rc<Family>) {
        let has_room = self.families.len() < FAMILIES_MAX && self.weight + family.weight() <= self.weight_max;
        if has_room && !self.families.contains_key(&family.name) {
            family.is_listed.set(true);
            self.weight += family.weight();
            self.due_ms = i64::MIN;
            self.families.insert(family.name.clone(), Rc::clone(family));
        }
    }

    /// Appends the requests that are due, each at most `bytes_max` bytes but for a family that is larger alone; gives when to
    /// ask again.
    pub(crate) fn poll(
        &mut self,
        now_ms: i64,
        interval_ms: i64,
        bytes_max: usize,
        out: &mut Vec<Vec<u8>>,
    ) -> Option<i64> {
        if self.families.is_empty() {
            return None;
        }
        let next_ms = self.due_ms.max(self.paused_till_ms);
        if now_ms < next_ms {
            return Some(next_ms);
        }
        self.families.retain(|_, family| {
            let is_fresh = family.seen_ms.get() + FRESH_MS > now_ms;
            family.is_listed.set(is_fresh);
            is_fresh
        });
        self.weight = self.families.values().map(|family| family.weight()).sum();
        let before = out.len();
        self.put_due(now_ms, interval_ms, bytes_max, out);
        if out.len() > before {
            self.paused_till_ms = now_ms + PAUSE_MS.min(interval_ms);
        }
        let due = |family: &Rc<Family>| family.sent_ms.get().map_or(now_ms, |sent| sent + interval_ms);
        self.due_ms = self.families.values().map(due).min()?;
        Some(self.due_ms.max(self.paused_till_ms))
    }

    fn put_due(&self, now_ms: i64, interval_ms: i64, bytes_max: usize, out: &mut Vec<Vec<u8>>) {
        let mut request = Vec::new();
        for family in self.families.values() {
            if family
                .sent_ms
                .get()
                .is_some_and(|sent| sent + interval_ms > now_ms)
            {
                continue;
            }
            family.sent_ms.set(Some(now_ms));
            let encoded = family.encode();
            if !request.is_empty() && request.len() + bytes_field_len(METADATA, encoded.len()) > bytes_max {
                out.push(std::mem::take(&mut request));
            }
            put_bytes_header(METADATA, encoded.len(), &mut request);
            request.extend_from_slice(&encoded);
        }
        if !request.is_empty() {
            out.push(request);
        }
    }
}
