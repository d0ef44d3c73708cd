//! Families of series by name, so that no two of them write samples of one name.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use crate::labels::put_text;
use crate::limits::HELP_BYTES_MAX;

/// What Prometheus takes a family for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FamilyKind {
    Gauge,
    Counter,
    /// Of either sort of buckets.
    Histogram,
    Summary,
}

/// Series of one name.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: Rc<[u8]>,
    pub(super) kind: FamilyKind,
    /// UTF-8.
    pub(super) help: Box<[u8]>,
    /// Tells it from one that had the name before.
    pub(super) born: u64,
    /// Another family has, or had since this one is there, the name that OpenMetrics would give this counter.
    is_short_name_taken: bool,
    /// Where each series is, by its labels.
    pub(super) series: BTreeMap<Rc<[u8]>, Place>,
}

/// Where a series is held.
pub(super) type Place = usize;

/// All families, by name.
#[derive(Debug, Default)]
pub(super) struct Families {
    by_name: BTreeMap<Rc<[u8]>, Family>,
    born: u64,
}

/// Endings of samples' names.
const ENDINGS: [&[u8]; 3] = [b"_bucket", b"_sum", b"_count"];

// === impl FamilyKind ===

impl FamilyKind {
    /// Whether a family of this kind has samples whose names end so.
    fn has_ending(self, ending: &[u8]) -> bool {
        match self {
            Self::Gauge | Self::Counter => false,
            Self::Histogram => true,
            Self::Summary => ending != b"_bucket",
        }
    }

    /// The label that its samples have for themselves.
    pub(super) fn own_label(self) -> &'static [u8] {
        match self {
            Self::Gauge | Self::Counter => b"",
            Self::Histogram => b"le",
            Self::Summary => b"quantile",
        }
    }
}

// === impl Family ===

impl Family {
    /// The name that OpenMetrics has for it, and whether it is a counter there. One whose name does not end in `_total` is of
    /// no known type, as is one whose name without that is another family's.
    pub(super) fn open_metrics_name(&self) -> (&[u8], bool) {
        match self.name.strip_suffix(b"_total") {
            Some(short)
                if self.kind == FamilyKind::Counter && !self.is_short_name_taken && !short.is_empty() =>
            {
                (short, true)
            }
            Some(_) | None => (&self.name, false),
        }
    }

    pub(super) fn is_open_metrics_counter(&self) -> bool {
        self.open_metrics_name().1
    }

    /// Whether this is the description that it has.
    pub(super) fn is_described(&self, help: &[u8]) -> bool {
        *self.help == *said_of_it(help)
    }

    /// Bytes that it takes without its series, about.
    fn bytes(&self) -> usize {
        size_of::<Self>() + 2 * self.name.len() + self.help.len()
    }
}

// === impl Families ===

impl Families {
    pub(super) fn get(&self, name: &[u8]) -> Option<&Family> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &[u8]) -> Option<&mut Family> {
        self.by_name.get_mut(name)
    }

    /// Where the first series of a family is; none if there is no such family.
    pub(super) fn first_place(&self, name: &[u8]) -> Option<Place> {
        let (_, place) = self.by_name.get(name)?.series.first_key_value()?;
        Some(*place)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The first family behind `name`, or of all.
    pub(super) fn after(&self, name: Option<&[u8]>) -> Option<&Family> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = self.by_name.range::<[u8], _>((from, Bound::Unbounded));
        range.next().map(|(_, family)| family)
    }

    /// Another family that has a sample's name in common with one of this name and kind, or the name itself with another
    /// kind: only one of them can be. (Upstream's registry has the same rule, `checkSuffixCollisions`.)
    pub(super) fn rival(&self, name: &[u8], kind: FamilyKind) -> Option<&Family> {
        if let Some(family) = self.by_name.get(name) {
            return (family.kind != kind).then_some(family);
        }
        for ending in ENDINGS {
            let longer = kind
                .has_ending(ending)
                .then(|| self.by_name.get([name, ending].concat().as_slice()));
            let shorter = name
                .strip_suffix(ending)
                .and_then(|short| self.by_name.get(short));
            let shorter = shorter.filter(|family| family.kind.has_ending(ending));
            if let Some(rival) = longer.flatten().or(shorter) {
                return Some(rival);
            }
        }
        None
    }

    /// The family of this name, made if it is not there; with the bytes that it takes if it was made. It has no
    /// [`Self::rival`].
    pub(super) fn entry(&mut self, name: &[u8], kind: FamilyKind, help: &[u8]) -> (&mut Family, usize) {
        let is_new = !self.by_name.contains_key(name);
        let is_short_name_taken = is_new && self.is_short_name_taken(name, kind);
        if is_new {
            self.born += 1;
            self.take_short_names(name, kind);
        }
        let name: Rc<[u8]> = Rc::from(name);
        let family = self.by_name.entry(Rc::clone(&name)).or_insert_with(|| Family {
            name,
            kind,
            help: said_of_it(help),
            born: self.born,
            is_short_name_taken,
            series: BTreeMap::new(),
        });
        let bytes = if is_new { family.bytes() } else { 0 };
        (family, bytes)
    }

    fn is_short_name_taken(&self, name: &[u8], kind: FamilyKind) -> bool {
        kind == FamilyKind::Counter
            && name
                .strip_suffix(b"_total")
                .is_some_and(|short| self.by_name.contains_key(short) || self.rival(short, kind).is_some())
    }

    /// The names of a new family's samples are no counter's short name any more. It stays so while that counter is there:
    /// one that changed its type with every scrape would be worse.
    fn take_short_names(&mut self, name: &[u8], kind: FamilyKind) {
        let endings = ENDINGS.into_iter().filter(|ending| kind.has_ending(ending));
        for ending in endings.chain([&b""[..]]) {
            if let Some(counter) = self
                .by_name
                .get_mut([name, ending, b"_total"].concat().as_slice())
            {
                counter.is_short_name_taken = true;
            }
        }
    }

    /// Takes a family without series out; gives the bytes that it took.
    pub(super) fn remove_empty(&mut self, name: &[u8]) -> usize {
        match self.by_name.get(name) {
            Some(family) if family.series.is_empty() => {
                let bytes = family.bytes();
                self.by_name.remove(name);
                bytes
            }
            Some(_) | None => 0,
        }
    }
}

/// A description as it is held: UTF-8, cut where it is too long.
fn said_of_it(help: &[u8]) -> Box<[u8]> {
    let mut text = Vec::new();
    put_text(&help[..help.len().min(HELP_BYTES_MAX)], &mut text);
    text.into_boxed_slice()
}
