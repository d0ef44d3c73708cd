//! A page for a scraper, in pieces: a hundred thousand histograms are hundreds of megabytes of text.

use std::ops::Bound;
use std::rc::Rc;

use crate::account::UnixMillis;

use super::Registry;
use super::accept::Format;
use super::families::Family;
use super::series::{Series, Way};
use super::text::put_header;

/// How far a page has been written. What is held may change between two pieces: each family is still one block under one
/// type, and no series is on the page twice.
#[derive(Debug)]
pub struct Page {
    format: Format,
    at: At,
    rest: Option<Box<Rest>>,
}

/// A series of which the first lines have been written: as it was then, lest its buckets be of two points.
#[derive(Debug)]
struct Rest {
    series: Series,
    way: Way,
    /// The number of the next line.
    line: usize,
}

#[derive(Debug)]
enum At {
    /// Behind the family of this name, or before the first one.
    Behind(Option<Rc<[u8]>>),
    /// Behind this series of a family.
    Within {
        family: Rc<[u8]>,
        born: u64,
        labels: Rc<[u8]>,
    },
    End,
}

/// What is being written of it.
struct Piece<'a> {
    now: UnixMillis,
    /// The length of `out` that is enough.
    full: usize,
    out: &'a mut Vec<u8>,
}

impl Page {
    /// A page of which nothing has been written.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            at: At::Behind(None),
            rest: None,
        }
    }
}

impl Registry {
    /// Appends the next piece of a page to `out`: lines until it has `bytes` more, one at least. False when the page is
    /// whole; then nothing is appended. A line is up to [`super::LABELS_BYTES_MAX`] and some hundred bytes.
    ///
    /// Families come in the order of their names, series in that of their labels: what has not changed is the same text.
    /// Series that have expired are left out, whether they have been forgotten already or not.
    pub fn write_some(&self, page: &mut Page, now: UnixMillis, bytes: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let full = start.saturating_add(bytes.max(1));
        let mut piece = Piece { now, full, out };
        while piece.out.len() < full {
            if let Some(mut rest) = page.rest.take() {
                let next = rest
                    .series
                    .put(&rest.way, rest.line, piece.out, |out| out.len() >= full);
                page.rest = next.map(|line| {
                    rest.line = line;
                    rest
                });
                continue;
            }
            match self.next_family(page) {
                Some(family) => self.write_family(family, page, &mut piece),
                None => {
                    if !matches!(page.at, At::End) && page.format == Format::OpenMetrics {
                        piece.out.extend_from_slice(b"# EOF\n");
                    }
                    page.at = At::End;
                    break;
                }
            }
        }
        piece.out.len() > start
    }

    /// Appends a whole page to `out`. Its size is that of all that is held several times over: see [`Self::write_some`].
    pub fn write(&self, format: Format, now: UnixMillis, out: &mut Vec<u8>) {
        let mut page = Page::new(format);
        while self.write_some(&mut page, now, usize::MAX, out) {}
    }

    /// The family that is written next, in part already or not.
    fn next_family(&self, page: &Page) -> Option<&Family> {
        match &page.at {
            At::Behind(name) => self.families.after(name.as_deref()),
            At::Within {
                family: name, born, ..
            } => {
                let family = self.families.get(name).filter(|family| family.born == *born);
                // What has the name now may be of another type than what the page says.
                family.or_else(|| self.families.after(Some(name)))
            }
            At::End => None,
        }
    }

    /// Appends series of one family.
    fn write_family(&self, family: &Family, page: &mut Page, piece: &mut Piece<'_>) {
        let behind = match &page.at {
            At::Within {
                family: name, labels, ..
            } if *name == family.name => Some(Rc::clone(labels)),
            At::Within { .. } | At::Behind(_) | At::End => None,
        };
        let from = behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut has_header = behind.is_some();
        let way = Way {
            format: page.format,
            is_open_metrics_counter: family.is_open_metrics_counter(),
            with_time: self.send_timestamps,
        };
        for (labels, place) in family.series.range::<[u8], _>((from, Bound::Unbounded)) {
            let Some(series) = self
                .series
                .get(*place)
                .filter(|series| !self.is_expired(series, piece.now))
            else {
                continue;
            };
            if !has_header {
                put_header(page.format, family, piece.out);
                has_header = true;
            }
            let next = series.put(&way, 0, piece.out, |out| out.len() >= piece.full);
            page.rest = next.map(|line| {
                let series = series.clone();
                Box::new(Rest { series, way, line })
            });
            if piece.out.len() >= piece.full {
                page.at = At::Within {
                    family: Rc::clone(&family.name),
                    born: family.born,
                    labels: Rc::clone(labels),
                };
                return;
            }
        }
        page.at = At::Behind(Some(Rc::clone(&family.name)));
    }
}
