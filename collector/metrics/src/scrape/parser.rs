//! A strict reader of both formats: what Prometheus' own parsers let pass is an error here.

use std::collections::{BTreeMap, BTreeSet};

use super::accept::Format;
use crate::floats;

/// A page as it was read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parsed {
    pub(super) families: Vec<ParsedFamily>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct ParsedFamily {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) help: Option<String>,
    pub(super) samples: Vec<ParsedSample>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ParsedSample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    /// As it stands there.
    pub(super) value: String,
    pub(super) timestamp: Option<String>,
    pub(super) has_exemplar: bool,
}

/// Fails the test if `text` is not well-formed.
pub(super) fn check(text: &str, format: Format) -> Parsed {
    match parse(text, format) {
        Ok(parsed) => parsed,
        Err(fault) => panic!("{fault}\n--- the page:\n{text}"),
    }
}

pub(super) fn parse(text: &str, format: Format) -> Result<Parsed, String> {
    let mut body = text;
    if format == Format::OpenMetrics {
        body = text.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
    }
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("no newline at the end".to_owned());
    }
    let mut parsed = Parsed::default();
    let mut help: Option<(&str, String)> = None;
    for line in body.split_terminator('\n') {
        let at = |fault: &str| format!("{fault}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').ok_or_else(|| at("no help"))?;
            if text.is_empty() || help.is_some() {
                return Err(at("help is empty, or twice"));
            }
            help = Some((
                name,
                unescape(text, format == Format::OpenMetrics).ok_or_else(|| at("escapes"))?,
            ));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| at("no type"))?;
            if !is_name(name, true) {
                return Err(at("no name"));
            }
            let help = match help.take() {
                Some((described, text)) if described == name => Some(text),
                Some(_) => return Err(at("help of another family")),
                None => None,
            };
            parsed.families.push(ParsedFamily {
                name: name.to_owned(),
                kind: kind.to_owned(),
                help,
                samples: Vec::new(),
            });
        } else if line.starts_with('#') {
            return Err(at("a comment"));
        } else {
            let family = parsed.families.last_mut().ok_or_else(|| at("before any type"))?;
            if help.is_some() {
                return Err(at("help in a family"));
            }
            let sample = parse_sample(line, format).map_err(|fault| at(&fault))?;
            family.check_sample(&sample, format).map_err(|fault| at(&fault))?;
            family.samples.push(sample);
        }
    }
    if help.is_some() {
        return Err("help without a family".to_owned());
    }
    parsed.check(format)?;
    Ok(parsed)
}

fn parse_sample(line: &str, format: Format) -> Result<ParsedSample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err("no name of a metric".to_owned());
    }
    let mut labels = BTreeMap::new();
    if rest.starts_with('{') {
        (labels, rest) = parse_labels(rest)?;
        if labels.is_empty() {
            return Err("empty braces".to_owned());
        }
    }
    let rest = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let (rest, exemplar) = match rest.split_once(" # ") {
        Some((rest, exemplar)) => (rest, Some(exemplar)),
        None => (rest, None),
    };
    let (value, timestamp) = match rest.split_once(' ') {
        Some((value, timestamp)) => (value, Some(timestamp)),
        None => (rest, None),
    };
    if let Some(timestamp) = timestamp {
        check_timestamp(timestamp, format)?;
    }
    if let Some(exemplar) = exemplar {
        check_exemplar(exemplar, format)?;
    }
    Ok(ParsedSample {
        name: name.to_owned(),
        labels,
        value: value.to_owned(),
        timestamp: timestamp.map(str::to_owned),
        has_exemplar: exemplar.is_some(),
    })
}

fn parse_labels(text: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut rest = text.strip_prefix('{').ok_or("no brace")?;
    let mut labels = BTreeMap::new();
    loop {
        if let (true, Some(end)) = (labels.is_empty(), rest.strip_prefix('}')) {
            return Ok((labels, end));
        }
        let (name, value) = rest.split_once("=\"").ok_or("no value of a label")?;
        if !is_name(name, false) || name.starts_with("__") {
            return Err(format!("{name:?} is no name of a label"));
        }
        let mut is_escaped = false;
        let end = value
            .find(|char| {
                let is_end = char == '"' && !is_escaped;
                is_escaped = char == '\\' && !is_escaped;
                is_end
            })
            .ok_or("no end of a label")?;
        let shown = unescape(&value[..end], true).ok_or("escapes")?;
        if shown.is_empty() {
            return Err(format!("{name} is empty"));
        }
        if labels.insert(name.to_owned(), shown).is_some() {
            return Err(format!("{name} is there twice"));
        }
        rest = &value[end + 1..];
        rest = match (rest.strip_prefix(','), rest.strip_prefix('}')) {
            (Some(more), _) => more,
            (None, Some(end)) => return Ok((labels, end)),
            (None, None) => return Err("no end of labels".to_owned()),
        };
    }
}

/// The characters that may be escaped are, and nothing else is.
fn unescape(text: &str, with_quotes: bool) -> Option<String> {
    let mut shown = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        shown.push(match char {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                '"' if with_quotes => '"',
                _ => return None,
            },
            '\n' => return None,
            '"' if with_quotes => return None,
            char => char,
        });
    }
    Some(shown)
}

fn is_name(name: &str, is_metric: bool) -> bool {
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '_' || (char == ':' && is_metric);
    !name.is_empty() && !name.starts_with(|char: char| char.is_ascii_digit()) && name.chars().all(fits)
}

fn check_number(text: &str, format: Format, is_whole: bool) -> Result<(), String> {
    if is_whole {
        let number: u64 = text.parse().map_err(|_| format!("{text} is no count"))?;
        return if number.to_string() == text {
            Ok(())
        } else {
            Err(format!("{text} is odd"))
        };
    }
    let number: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    let mut usual = Vec::new();
    match format {
        Format::Text => floats::put_go(number, &mut usual),
        Format::OpenMetrics => floats::put_open_metrics(number, &mut usual),
    }
    if usual == text.as_bytes() {
        Ok(())
    } else {
        Err(format!("{text} is not as Go writes it"))
    }
}

fn check_timestamp(text: &str, format: Format) -> Result<(), String> {
    let is_time = match format {
        Format::Text => text.parse::<u64>().is_ok(),
        Format::OpenMetrics => text.split_once('.').is_some_and(|(seconds, rest)| {
            seconds.parse::<u64>().is_ok() && rest.len() == 3 && rest.parse::<u64>().is_ok()
        }),
    };
    if is_time {
        Ok(())
    } else {
        Err(format!("{text} is no time"))
    }
}

fn check_exemplar(text: &str, format: Format) -> Result<(), String> {
    if format == Format::Text {
        return Err("an exemplar in the text format".to_owned());
    }
    let (labels, rest) = parse_labels(text)?;
    let chars: usize = labels
        .iter()
        .map(|(name, value)| name.chars().count() + value.chars().count())
        .sum();
    if labels.is_empty() || chars > 128 {
        return Err("an exemplar's labels".to_owned());
    }
    let rest = rest.strip_prefix(' ').ok_or("no value of an exemplar")?;
    match rest.split_once(' ') {
        Some((value, time)) => {
            check_timestamp(time, format)?;
            check_number(value, format, false)
        }
        None => check_number(rest, format, false),
    }
}

impl ParsedFamily {
    /// The names that samples of the family may have.
    fn endings(&self, format: Format) -> Result<&'static [&'static str], String> {
        Ok(match (self.kind.as_str(), format) {
            ("gauge", _) | ("counter", Format::Text) | ("unknown", Format::OpenMetrics) => &[""],
            ("counter", Format::OpenMetrics) => &["_total"],
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            ("summary", _) => &["", "_sum", "_count"],
            (kind, _) => return Err(format!("{kind} is no type")),
        })
    }

    fn check_sample(&self, sample: &ParsedSample, format: Format) -> Result<(), String> {
        let ending = sample
            .name
            .strip_prefix(&self.name)
            .ok_or("a sample of another family")?;
        if !self.endings(format)?.contains(&ending) {
            return Err("a sample that the type has not".to_owned());
        }
        if sample.labels.contains_key("le") != (ending == "_bucket") && self.kind == "histogram" {
            return Err("le".to_owned());
        }
        if sample.labels.contains_key("quantile") != ending.is_empty() && self.kind == "summary" {
            return Err("quantile".to_owned());
        }
        let is_count = ending == "_bucket" || ending == "_count";
        check_number(&sample.value, format, is_count && format == Format::OpenMetrics)?;
        let may_have_exemplar = ending == "_bucket" || (self.kind == "counter" && ending == "_total");
        if sample.has_exemplar && !may_have_exemplar {
            return Err("an exemplar in the wrong place".to_owned());
        }
        Ok(())
    }

    /// The samples of one histogram or summary stand together, in order.
    fn check_groups(&self) -> Result<(), String> {
        let own = match self.kind.as_str() {
            "histogram" => "le",
            "summary" => "quantile",
            _ => return Ok(()),
        };
        let labels_of = |sample: &ParsedSample| {
            let mut labels = sample.labels.clone();
            labels.remove(own);
            labels
        };
        let mut seen = BTreeSet::new();
        for group in self.samples.chunk_by(|a, b| labels_of(a) == labels_of(b)) {
            let labels = group.first().map(labels_of);
            if !seen.insert(labels) {
                return Err(format!("{}: one of its parts is not in one piece", self.name));
            }
            self.check_group(group, own)
                .map_err(|fault| format!("{}: {fault}", self.name))?;
        }
        Ok(())
    }

    fn check_group(&self, group: &[ParsedSample], own: &str) -> Result<(), String> {
        let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
        let parts: Vec<_> = group
            .iter()
            .filter(|sample| sample.labels.contains_key(own))
            .collect();
        let places: Vec<f64> = parts.iter().map(|sample| number(&sample.labels[own])).collect();
        if !places.windows(2).all(|pair| pair[0].total_cmp(&pair[1]).is_lt()) {
            return Err(format!("{own} does not rise: {places:?}"));
        }
        let endings: Vec<_> = group[parts.len()..]
            .iter()
            .map(|sample| &sample.name[self.name.len()..])
            .collect();
        if endings != ["_sum", "_count"] && (own != "le" || endings != ["_count"]) {
            return Err(format!("sum and count are not at the end: {endings:?}"));
        }
        if own == "le" {
            let counts: Vec<f64> = parts.iter().map(|sample| number(&sample.value)).collect();
            if places.last() != Some(&f64::INFINITY) {
                return Err("no bucket for all".to_owned());
            }
            if !counts.windows(2).all(|pair| pair[0] <= pair[1]) {
                return Err(format!("counts fall: {counts:?}"));
            }
            if parts.last().map(|sample| &sample.value) != group.last().map(|sample| &sample.value) {
                return Err("the bucket for all is not the count".to_owned());
            }
        }
        Ok(())
    }
}

impl Parsed {
    fn check(&self, format: Format) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for family in &self.families {
            if family.samples.is_empty() {
                return Err(format!("{} has no samples", family.name));
            }
            let endings = family.endings(format)?;
            let mut own: BTreeSet<String> = endings
                .iter()
                .map(|ending| family.name.clone() + ending)
                .collect();
            own.insert(family.name.clone());
            for name in own {
                if !names.insert(name.clone()) {
                    return Err(format!("two families have {name}"));
                }
            }
            let mut series = BTreeSet::new();
            for sample in &family.samples {
                if !series.insert((&sample.name, &sample.labels)) {
                    return Err(format!("{} {:?} is there twice", sample.name, sample.labels));
                }
            }
            family.check_groups()?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn samples(&self) -> impl Iterator<Item = &ParsedSample> {
        self.families.iter().flat_map(|family| &family.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_takes_what_is_right() {
        check("", Format::Text);
        check("# EOF\n", Format::OpenMetrics);
        let page = check(
            "# HELP a b \\\\ \\n \"c\"\n# TYPE a gauge\na 1\na{b=\"\\\"\\\\\\n\",c=\"}\"} NaN 5\n",
            Format::Text,
        );
        assert_eq!(page.families[0].help.as_deref(), Some("b \\ \n \"c\""));
        assert_eq!(page.families[0].samples[1].labels["b"], "\"\\\n");
        assert_eq!(page.families[0].samples[1].timestamp.as_deref(), Some("5"));
        check(
            "# TYPE a counter\na_total 1.0 # {trace_id=\"x\"} 2.0 3.000\n# EOF\n",
            Format::OpenMetrics,
        );
    }

    #[test]
    fn the_reader_refuses_what_is_wrong() {
        let plain = [
            ("a 1\n", "before any type"),
            ("# TYPE a gauge\na 1", "newline"),
            ("# TYPE a gauge\n", "has no samples"),
            ("# TYPE a gauge\na 1\na 2\n", "twice"),
            (
                "# TYPE a gauge\na{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n",
                "twice",
            ),
            (
                "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\na{x=\"1\"} 1\n",
                "two families",
            ),
            ("# TYPE a gauge\nb 1\n", "another family"),
            ("# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n", "there twice"),
            ("# TYPE a gauge\na{__x=\"1\"} 1\n", "no name of a label"),
            ("# TYPE a gauge\na{x=\"\"} 1\n", "is empty"),
            ("# TYPE a gauge\na{x=\"\\t\"} 1\n", "escapes"),
            ("# TYPE a gauge\na{} 1\n", "empty braces"),
            ("# TYPE a gauge\na 1.0\n", "as Go"),
            ("# TYPE a gauge\na one\n", "no number"),
            ("# TYPE a gauge\na 1 # {x=\"1\"} 1\n", "exemplar"),
            ("# TYPE 9a gauge\n9a 1\n", "no name"),
            ("# HELP b x\n# TYPE a gauge\na 1\n", "help of another"),
            ("# TYPE a gauge\na 1\n# HELP b x\n", "help without"),
            (
                "# TYPE a summary\na_sum 1\na_count 1\n# TYPE a_sum gauge\na_sum{x=\"1\"} 1\n",
                "two families",
            ),
            (
                "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
                "for all",
            ),
            (
                "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
                "fall",
            ),
            (
                "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
                "not the count",
            ),
            (
                "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum{le=\"1\"} 1\na_count 1\n",
                "le",
            ),
            (
                "# TYPE a histogram\na_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\na_count 1\n",
                "not rise",
            ),
            (
                "# TYPE a summary\na{quantile=\"0.5\"} 1\na_count 1\n",
                "at the end",
            ),
            ("# a comment\n", "comment"),
            ("# TYPE a unknown\na 1\n", "no type"),
        ];
        for (text, expected) in plain {
            let fault = parse(text, Format::Text).expect_err(text);
            assert!(fault.contains(expected), "{text:?} is refused for {fault:?}");
        }
        let open = [
            ("# TYPE a gauge\na 1.0\n", "EOF"),
            ("# TYPE a gauge\na 1\n# EOF\n", "as Go"),
            ("# TYPE a counter\na 1.0\n# EOF\n", "the type has not"),
            ("# TYPE a gauge\na 1.0 # {x=\"1\"} 1.0\n# EOF\n", "wrong place"),
            (
                "# TYPE a gauge\na 1.0\n# TYPE a counter\na_total 1.0\n# EOF\n",
                "two families",
            ),
            ("# TYPE a gauge\na 1.0 5\n# EOF\n", "no time"),
            (
                "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1.0\na_count 1\n# EOF\n",
                "no count",
            ),
            ("# HELP a \"\n# TYPE a gauge\na 1.0\n# EOF\n", "escapes"),
        ];
        for (text, expected) in open {
            let fault = parse(text, Format::OpenMetrics).expect_err(text);
            assert!(fault.contains(expected), "{text:?} is refused for {fault:?}");
        }
    }
}
