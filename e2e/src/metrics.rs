//! Prometheus text, parsed.

use std::collections::BTreeMap;

use anyhow::Context;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Everything that a `/metrics` page said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// In the page's order.
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// Parses the text exposition format, version 0.0.4.
    ///
    /// # Errors
    /// The first line that is no sample and no comment.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let samples = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| parse_line(line).with_context(|| format!("no metric: {line}")))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { samples })
    }

    /// The samples of one metric.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The sum over all labels; 0 when there is no sample.
    pub fn sum(&self, name: &str) -> f64 {
        self.named(name).map(|sample| sample.value).sum()
    }

    /// The sum over the samples that have this label; 0 when there is none.
    pub fn sum_with(&self, name: &str, label: (&str, &str)) -> f64 {
        self.named(name)
            .filter(|sample| sample.labels.get(label.0).is_some_and(|value| value == label.1))
            .map(|sample| sample.value)
            .sum()
    }

    /// The sums by the values of one label; samples without it are left out.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.named(name) {
            if let Some(value) = sample.labels.get(label) {
                *sums.entry(value.clone()).or_default() += sample.value;
            }
        }
        sums
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    // What follows the value, if anything, is a timestamp.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Reads up to and with the closing brace; values know the escapes `\\`, `\"` and `\n`.
fn parse_labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.trim().to_owned(), value);
        rest = after.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn samples_labels_escapes_and_comments_are_read() {
        let text = "# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"q\\\"u\\\\o\\n\"} 3\na{x=\"2\",} 4.5 1700000000\nb 7\n";
        let metrics = Metrics::parse(text).unwrap();
        assert_eq!(metrics.samples.len(), 3);
        assert_eq!(metrics.samples[0].labels["y"], "q\"u\\o\n");
        assert!((metrics.sum("a") - 7.5).abs() < 1e-9);
        assert!((metrics.sum_with("a", ("x", "2")) - 4.5).abs() < 1e-9);
        assert!((metrics.sum("b") - 7.0).abs() < 1e-9);
        assert_eq!(metrics.by_label("a", "x").len(), 2);
    }

    #[test]
    fn a_line_that_is_no_sample_is_an_error() {
        assert!(Metrics::parse("a{x=\"1} 3").is_err());
        assert!(Metrics::parse("a three").is_err());
    }
}
