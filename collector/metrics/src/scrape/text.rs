//! Lines of both text formats.

use crate::floats;
use crate::label_set::LabelSet;

use super::accept::Format;
use super::families::{Family, FamilyKind};
use super::series::Exemplar;

/// Appends the labels as they stand between the braces: `a="1",b="2"`. Both formats escape alike.
///
/// Names that the formats keep for themselves are changed: what begins with `__` gets `key` before it, `taken` (`le` of a
/// histogram, `quantile` of a summary) gets `exported_`, which is Prometheus' own word for it. If that name is there too,
/// the label is left out. `__name__` always is: a metric has one name. The same labels make the same text, since it tells
/// series apart: they stand in the order of the names that they have here.
pub(super) fn put_labels(labels: &LabelSet, taken: &[u8], out: &mut Vec<u8>) {
    let mut changed: Vec<(Vec<u8>, &[u8])> = Vec::new();
    for (name, value) in labels.iter() {
        if let Some(prefix) = prefix_of(name, taken) {
            let name = [prefix, name].concat();
            if !labels.has(&name) {
                changed.push((name, value));
            }
        }
    }
    changed.sort();
    let changed = changed.iter().map(|(name, value)| (name.as_slice(), *value));
    let unchanged = labels
        .iter()
        .filter(|(name, _)| *name != b"__name__" && prefix_of(name, taken).is_none());
    let mut changed = changed.peekable();
    let start = out.len();
    for label in unchanged {
        while let Some(before) = changed.next_if(|(name, _)| *name < label.0) {
            put_label(before, start, out);
        }
        put_label(label, start, out);
    }
    changed.for_each(|label| put_label(label, start, out));
}

/// What a name gets before it; none if it stays as it is, or has no place here.
fn prefix_of(name: &[u8], taken: &[u8]) -> Option<&'static [u8]> {
    if name == b"__name__" {
        None
    } else if name.starts_with(b"__") {
        Some(b"key")
    } else if name == taken {
        Some(b"exported_")
    } else {
        None
    }
}

fn put_label((name, value): (&[u8], &[u8]), start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    out.extend_from_slice(name);
    out.extend_from_slice(b"=\"");
    put_escaped(value, true, out);
    out.push(b'"');
}

/// With `\\` and `\n`, and `\"` where quotes end the text.
pub(super) fn put_escaped(text: &[u8], with_quotes: bool, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest
        .iter()
        .position(|byte| matches!(byte, b'\\' | b'\n') || (*byte == b'"' && with_quotes))
    {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        out.push(if rest[at] == b'\n' { b'n' } else { rest[at] });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// `# HELP` if there is one, and `# TYPE`.
pub(super) fn put_header(format: Format, family: &Family, out: &mut Vec<u8>) {
    let (name, is_counter) = match format {
        Format::Text => (&*family.name, true),
        Format::OpenMetrics => family.open_metrics_name(),
    };
    let kind: &[u8] = match family.kind {
        FamilyKind::Gauge => b"gauge",
        FamilyKind::Histogram => b"histogram",
        FamilyKind::Summary => b"summary",
        FamilyKind::Counter if is_counter => b"counter",
        FamilyKind::Counter => b"unknown",
    };
    if !family.help.is_empty() {
        out.extend_from_slice(b"# HELP ");
        out.extend_from_slice(name);
        out.push(b' ');
        put_escaped(&family.help, format == Format::OpenMetrics, out);
        out.push(b'\n');
    }
    out.extend_from_slice(b"# TYPE ");
    out.extend_from_slice(name);
    out.push(b' ');
    out.extend_from_slice(kind);
    out.push(b'\n');
}

/// Writes the samples of one series.
pub(super) struct Lines<'a> {
    pub(super) format: Format,
    pub(super) name: &'a [u8],
    pub(super) labels: &'a [u8],
    /// Nanoseconds since the Unix epoch, if samples carry their time.
    pub(super) time_unix_nano: Option<u64>,
    pub(super) out: &'a mut Vec<u8>,
}

impl Lines<'_> {
    /// `name{labels} value`.
    pub(super) fn put(&mut self, value: f64, exemplar: Option<&Exemplar>) {
        self.begin(b"", None);
        self.value(value);
        self.end(exemplar);
    }

    /// A sum: `name_sum{labels} value`.
    pub(super) fn put_sum(&mut self, value: f64) {
        self.begin(b"_sum", None);
        self.value(value);
        self.end(None);
    }

    /// A count: `name_count{labels} count`.
    pub(super) fn put_count(&mut self, count: u64) {
        self.begin(b"_count", None);
        self.count(count);
        self.end(None);
    }

    /// `name_bucket{labels,le="bound"} count`.
    pub(super) fn put_bucket(&mut self, bound: f64, count: u64, exemplar: Option<&Exemplar>) {
        self.begin(b"_bucket", Some((b"le", bound)));
        self.count(count);
        self.end(exemplar);
    }

    /// `name{labels,quantile="quantile"} value`.
    pub(super) fn put_quantile(&mut self, quantile: f64, value: f64) {
        self.begin(b"", Some((b"quantile", quantile)));
        self.value(value);
        self.end(None);
    }

    fn begin(&mut self, suffix: &[u8], more: Option<(&[u8], f64)>) {
        self.out.extend_from_slice(self.name);
        self.out.extend_from_slice(suffix);
        if !self.labels.is_empty() || more.is_some() {
            self.out.push(b'{');
            self.out.extend_from_slice(self.labels);
            if let Some((name, value)) = more {
                if !self.labels.is_empty() {
                    self.out.push(b',');
                }
                self.out.extend_from_slice(name);
                self.out.extend_from_slice(b"=\"");
                self.value(value);
                self.out.push(b'"');
            }
            self.out.push(b'}');
        }
        self.out.push(b' ');
    }

    fn value(&mut self, value: f64) {
        match self.format {
            Format::Text => floats::put_go(value, self.out),
            Format::OpenMetrics => floats::put_open_metrics(value, self.out),
        }
    }

    /// In the text format a count is a double like all values, as upstream has it; in OpenMetrics it is whole.
    fn count(&mut self, count: u64) {
        match self.format {
            #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in doubles")]
            Format::Text => floats::put_go(count as f64, self.out),
            Format::OpenMetrics => self
                .out
                .extend_from_slice(itoa::Buffer::new().format(count).as_bytes()),
        }
    }

    fn end(&mut self, exemplar: Option<&Exemplar>) {
        if let Some(nanos) = self.time_unix_nano {
            self.out.push(b' ');
            let millis = nanos / 1_000_000;
            match self.format {
                Format::Text => self
                    .out
                    .extend_from_slice(itoa::Buffer::new().format(millis).as_bytes()),
                Format::OpenMetrics => self.seconds(millis),
            }
        }
        if let (Some(exemplar), Format::OpenMetrics) = (exemplar, self.format) {
            self.out.extend_from_slice(b" # {");
            exemplar.put_labels(self.out);
            self.out.extend_from_slice(b"} ");
            self.value(exemplar.value);
            if exemplar.time_unix_nano > 0 {
                self.out.push(b' ');
                self.seconds(exemplar.time_unix_nano / 1_000_000);
            }
        }
        self.out.push(b'\n');
    }

    /// Milliseconds as seconds, whole digits.
    fn seconds(&mut self, millis: u64) {
        let mut buffer = itoa::Buffer::new();
        self.out
            .extend_from_slice(buffer.format(millis / 1000).as_bytes());
        let rest = buffer.format(1000 + millis % 1000);
        self.out.push(b'.');
        self.out.extend_from_slice(&rest.as_bytes()[1..]);
    }
}
