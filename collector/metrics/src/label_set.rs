//! Sets of labels, and the encoded labels of series.

use std::borrow::Cow;
use std::rc::Rc;

use tracepipe_otlp::wire::{Payload, bytes_field_len, fields, put_bytes, put_bytes_header};

/// The label that holds the metric's name.
pub(crate) const NAME: &[u8] = b"__name__";

/// Field number of `labels` in `TimeSeries` and in `Exemplar`.
const LABELS: u32 = 1;

/// Labels sorted by name, no name twice, no value empty. Made by [`Unsorted::sort`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSet {
    text: Vec<u8>,
    labels: Vec<Span>,
}

/// Labels as they come.
#[derive(Debug, Default)]
pub(crate) struct Unsorted(LabelSet);

/// Where a label lies: its name, then its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    name_len: usize,
    value_len: usize,
}

/// The labels that all series of a stream have, encoded, with room for the name and for one label more.
#[derive(Debug)]
pub(crate) struct BaseLabels {
    encoded: Vec<u8>,
    name_at: usize,
    /// Where the label `extra` goes, or lies and is replaced.
    extra_at: (usize, usize),
    extra: &'static [u8],
}

// === impl Unsorted ===

impl Unsorted {
    /// Adds a label whose name and value `write` appends, in this order; it gives the length of the name, or none when there
    /// is nothing to add.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<usize>) {
        let LabelSet { text, labels } = &mut self.0;
        let start = text.len();
        match write(text) {
            Some(name_len) if text.len() > start + name_len && &text[start..start + name_len] != NAME => {
                labels.push(Span {
                    start,
                    name_len,
                    value_len: text.len() - start - name_len,
                });
            }
            // An empty value is as no label (Prometheus, remote write 1.0, "Labels"), and the name is the metric's.
            Some(_) | None => text.truncate(start),
        }
    }

    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_with(|text| {
            text.extend_from_slice(name);
            text.extend_from_slice(value);
            Some(name.len())
        });
    }

    /// Sorts by name. Values of one name are joined with `;` in the order in which they came, but one that equals those
    /// before it (OpenTelemetry's compatibility specification, and the Collector's `createAttributes`).
    pub(crate) fn sort(self) -> LabelSet {
        let LabelSet { text, mut labels } = self.0;
        labels.sort_by(|a, b| a.name(&text).cmp(b.name(&text)));
        if labels
            .windows(2)
            .all(|pair| pair[0].name(&text) != pair[1].name(&text))
        {
            return LabelSet { text, labels };
        }
        let mut joined = Unsorted::default();
        for same in labels.chunk_by(|a, b| a.name(&text) == b.name(&text)) {
            joined.push_with(|out| {
                let name = same.first()?.name(&text);
                out.extend_from_slice(name);
                let start = out.len();
                for label in same {
                    let value = label.value(&text);
                    if out.len() == start {
                        out.extend_from_slice(value);
                    } else if &out[start..] != value {
                        out.push(b';');
                        out.extend_from_slice(value);
                    }
                }
                Some(name.len())
            });
        }
        joined.0
    }

    /// Sorts by name; of several values of one name the last one stays.
    pub(crate) fn sort_last_wins(self) -> LabelSet {
        let LabelSet { text, mut labels } = self.0;
        labels.reverse();
        labels.sort_by(|a, b| a.name(&text).cmp(b.name(&text)));
        labels.dedup_by(|a, b| a.name(&text) == b.name(&text));
        LabelSet { text, labels }
    }
}

impl Span {
    fn name<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..self.start + self.name_len]
    }

    fn value<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start + self.name_len..self.start + self.name_len + self.value_len]
    }
}

// === impl LabelSet ===

impl LabelSet {
    /// Names and values, sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.labels
            .iter()
            .map(|label| (label.name(&self.text), label.value(&self.text)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Whether a label has this name.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.labels
            .binary_search_by(|label| label.name(&self.text).cmp(name))
            .is_ok()
    }

    /// Bytes that it takes in memory, roughly.
    pub(crate) fn weight(&self) -> usize {
        self.text.len() + self.labels.len() * size_of::<Span>()
    }

    /// Both; where they have the same name, this one's value.
    pub(crate) fn over(&self, under: &Self) -> Self {
        let mut merged = Unsorted::default();
        merge(self.iter(), under.iter(), |name, value| merged.push(name, value));
        merged.0
    }

    /// The labels of all series of a stream: `self` over `point` over `under`. The series have the name and the label `extra`
    /// besides, which replaces one of that name.
    pub(crate) fn base(&self, point: &Self, under: &Self, extra: &'static [u8]) -> BaseLabels {
        let lower = point.over(under);
        let mut base = BaseLabels {
            encoded: Vec::new(),
            name_at: 0,
            extra_at: (0, 0),
            extra,
        };
        merge(self.iter(), lower.iter(), |name, value| base.push(name, value));
        base
    }
}

/// Shows the labels of both in order of their names; of the same name that of `over`.
fn merge<'a>(
    over: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    under: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    mut show: impl FnMut(&[u8], &[u8]),
) {
    let mut under = under.peekable();
    for (name, value) in over {
        while let Some((lower, value)) = under.next_if(|(lower, _)| *lower < name) {
            show(lower, value);
        }
        let _same = under.next_if(|(lower, _)| *lower == name);
        show(name, value);
    }
    for (name, value) in under {
        show(name, value);
    }
}

// === impl BaseLabels ===

impl BaseLabels {
    /// Bytes of the labels that all series have.
    pub(crate) fn len(&self) -> usize {
        self.encoded.len()
    }

    /// Labels come in order of their names.
    fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.encoded.len();
        put_label(name, value, &[], &mut self.encoded);
        let end = self.encoded.len();
        if name < NAME {
            self.name_at = end;
        }
        if name < self.extra {
            self.extra_at = (end, end);
        } else if name == self.extra {
            self.extra_at = (start, end);
        }
    }

    /// The labels of the series whose name is `name` and `suffix`, in `scratch`; with a value of the extra label, or with
    /// what the stream itself has under its name.
    pub(crate) fn series(
        &self,
        name: &[u8],
        suffix: &[u8],
        extra: Option<&[u8]>,
        scratch: &mut Vec<u8>,
    ) -> Rc<[u8]> {
        scratch.clear();
        scratch.extend_from_slice(&self.encoded[..self.name_at]);
        put_label(NAME, name, suffix, scratch);
        match extra {
            Some(value) => {
                // Every extra label's name is behind that of the name.
                let (start, end) = (
                    self.extra_at.0.max(self.name_at),
                    self.extra_at.1.max(self.name_at),
                );
                scratch.extend_from_slice(&self.encoded[self.name_at..start]);
                put_label(self.extra, value, &[], scratch);
                scratch.extend_from_slice(&self.encoded[end..]);
            }
            None => scratch.extend_from_slice(&self.encoded[self.name_at..]),
        }
        Rc::from(scratch.as_slice())
    }
}

/// A label whose value is in two parts, as a field of a `TimeSeries` or an `Exemplar`.
pub(crate) fn put_label(name: &[u8], value: &[u8], suffix: &[u8], out: &mut Vec<u8>) {
    let value_len = value.len() + suffix.len();
    let length = bytes_field_len(1, name.len()) + bytes_field_len(2, value_len);
    put_bytes_header(LABELS, length, out);
    put_bytes(1, name, out);
    put_bytes_header(2, value_len, out);
    out.extend_from_slice(value);
    out.extend_from_slice(suffix);
}

/// Names and values of encoded labels.
pub(crate) fn decoded(labels: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields(labels).filter_map(|field| match field {
        (LABELS, Payload::Bytes(label)) => {
            let mut pair: (&[u8], &[u8]) = (&[], &[]);
            for field in fields(label) {
                match field {
                    (1, Payload::Bytes(name)) => pair.0 = name,
                    (2, Payload::Bytes(value)) => pair.1 = value,
                    _ => {}
                }
            }
            Some(pair)
        }
        _ => None,
    })
}

/// Encoded labels as Prometheus shows them: `up{job="a"}`.
pub(crate) fn describe(labels: &[u8]) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes);
    let mut name: Cow<'_, str> = Cow::Borrowed("");
    let mut described = String::new();
    for (label, value) in decoded(labels) {
        if label == NAME {
            name = text(value);
        } else {
            let comma = if described.is_empty() { "" } else { "," };
            described.push_str(comma);
            described.push_str(&format!("{}={:?}", text(label), text(value)));
        }
    }
    format!("{name}{{{described}}}")
}
