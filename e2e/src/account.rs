//! The collector's account: every request, byte and span is somewhere, and the books say where.
//!
//! Requests and bytes, for each transport: received = refused + malformed + accepted. Spans of accepted requests:
//! accepted = rejected + filtered + dropped + lost + buffered + kept; for each exporter: kept = exported + lost +
//! waiting + in flight. Data points of accepted requests with metrics: accepted = lost + waiting + handed on; for each
//! exporter: handed on = exported + dropped + lost + waiting + in flight; and for one that translates them, samples:
//! translated = written + lost + waiting + in flight. The terms are counted where things happen, so an equation that fails
//! names a place that forgot to count.
//!
//! Figures are called here as they stand in these equations: of a counter without the `_total` that it has on the page.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::{Metrics, Sample};

/// Terms of the equation for requests and, with another prefix, for their bytes; the first is the sum of the others.
const REQUEST_TERMS: [&str; 4] = ["received", "refused", "malformed", "accepted"];
const REQUEST_PREFIXES: [&str; 4] = [
    "tracepipe_requests_",
    "tracepipe_request_bytes_",
    "tracepipe_metric_requests_",
    "tracepipe_metric_request_bytes_",
];

const SPANS_ACCEPTED: &str = "tracepipe_spans_accepted";
const SPAN_TERMS: [&str; 6] = [
    "tracepipe_spans_rejected",
    "tracepipe_spans_filtered",
    "tracepipe_spans_dropped",
    "tracepipe_spans_lost",
    "tracepipe_spans_buffered",
    SPANS_KEPT,
];
const SPANS_KEPT: &str = "tracepipe_spans_kept";

const EXPORTER_TERMS: [&str; 4] = [
    "tracepipe_exporter_spans_exported",
    "tracepipe_exporter_spans_lost",
    "tracepipe_exporter_spans_waiting",
    "tracepipe_exporter_spans_in_flight",
];

/// Only there with a pipeline for metrics.
const POINTS_ACCEPTED: &str = "tracepipe_metric_points_accepted";
const POINT_TERMS: [&str; 3] = [
    "tracepipe_metric_points_lost",
    "tracepipe_metric_points_waiting",
    POINTS_HANDED_ON,
];
const POINTS_HANDED_ON: &str = "tracepipe_metric_points_handed_on";

const EXPORTER_POINT_TERMS: [&str; 5] = [
    "tracepipe_exporter_metric_points_exported",
    "tracepipe_exporter_metric_points_dropped",
    "tracepipe_exporter_metric_points_lost",
    "tracepipe_exporter_metric_points_waiting",
    "tracepipe_exporter_metric_points_in_flight",
];

const SAMPLES_TRANSLATED: &str = "tracepipe_exporter_samples_translated";
const SAMPLE_TERMS: [&str; 4] = [
    "tracepipe_exporter_samples_written",
    "tracepipe_exporter_samples_lost",
    "tracepipe_exporter_samples_waiting",
    "tracepipe_exporter_samples_in_flight",
];

/// Metrics without labels that may be absent: those with labels appear when they first count.
const ALWAYS_THERE: [&str; 3] = [
    SPANS_ACCEPTED,
    "tracepipe_spans_filtered",
    "tracepipe_spans_buffered",
];

/// One snapshot of the books.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    samples: Vec<Sample>,
}

impl Account {
    /// Picks the account out of a metrics page (or out of the line that is logged at exit).
    pub fn parse(metrics: &Metrics) -> Self {
        let entry = |sample: &Sample| {
            let name = sample.name.strip_suffix("_total").unwrap_or(&sample.name);
            is_entry(name).then(|| Sample {
                name: name.to_owned(),
                ..sample.clone()
            })
        };
        let samples = metrics.samples.iter().filter_map(entry).collect();
        Self { samples }
    }

    /// Checks all equations.
    ///
    /// # Errors
    /// One sentence for each equation that does not hold, each value that is no count, each metric that is absent.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        for name in ALWAYS_THERE {
            if !self.samples.iter().any(|sample| sample.name == name) {
                problems.push(format!("{name} is absent"));
            }
        }
        for sample in &self.samples {
            if sample.value < 0.0 || sample.value.fract() != 0.0 {
                problems.push(format!("{} is {}, no count", sample.name, sample.value));
            }
        }
        self.check_requests(&mut problems);
        self.check_spans(&mut problems);
        self.check_exporters(&mut problems);
        self.check_points(&mut problems);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// The sum of one metric over all labels.
    pub fn sum(&self, name: &str) -> u64 {
        self.sum_where(name, None)
    }

    /// The sum over the samples whose `label` has a value that `wanted` wants.
    pub fn sum_with(&self, name: &str, label: &str, wanted: impl Fn(&str) -> bool) -> u64 {
        self.by_label(name, label)
            .into_iter()
            .filter(|(value, _)| wanted(value))
            .map(|(_, sum)| sum)
            .sum()
    }

    /// The sums by the values of one label; samples without it are left out.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name == name) {
            if let Some(value) = sample.labels.get(label) {
                *sums.entry(value.clone()).or_default() += sample.value as u64;
            }
        }
        sums
    }

    /// Spans that are in the collector: buffered, or kept and not yet exported or lost.
    pub fn spans_inside(&self) -> u64 {
        [
            "tracepipe_spans_buffered",
            "tracepipe_exporter_spans_waiting",
            "tracepipe_exporter_spans_in_flight",
        ]
        .iter()
        .map(|name| self.sum(name))
        .sum()
    }

    /// Data points and samples that are in the collector.
    pub fn metrics_inside(&self) -> u64 {
        [
            "tracepipe_metric_points_waiting",
            "tracepipe_exporter_metric_points_waiting",
            "tracepipe_exporter_metric_points_in_flight",
            "tracepipe_exporter_samples_waiting",
            "tracepipe_exporter_samples_in_flight",
        ]
        .iter()
        .map(|name| self.sum(name))
        .sum()
    }

    /// One copy for each counter, in which it is one higher: each must fail [`Account::check`], or the counter is in no
    /// equation and could be forgotten.
    pub fn perturbed(&self) -> Vec<(String, Self)> {
        (0..self.samples.len())
            .filter_map(|index| {
                let mut copy = self.clone();
                let sample = copy.samples.get_mut(index)?;
                sample.value += 1.0;
                Some((format!("{} {:?}", sample.name, sample.labels), copy))
            })
            .collect()
    }

    /// One copy for each counter that is not zero, without it: as if the collector had never counted there.
    pub fn forgotten(&self) -> Vec<(String, Self)> {
        (0..self.samples.len())
            .filter(|index| self.samples.get(*index).is_some_and(|sample| sample.value != 0.0))
            .map(|index| {
                let mut copy = self.clone();
                let sample = copy.samples.remove(index);
                (format!("{} {:?}", sample.name, sample.labels), copy)
            })
            .collect()
    }

    fn check_requests(&self, problems: &mut Vec<String>) {
        for prefix in REQUEST_PREFIXES {
            let names = REQUEST_TERMS.map(|term| format!("{prefix}{term}"));
            for transport in self.label_values("transport", |name| names.iter().any(|known| known == name)) {
                let label = ("transport", transport.as_str());
                let [received, rest @ ..] = names.each_ref().map(|name| self.term(name, Some(label)));
                compare(&format!("{prefix}* of {transport}"), &received, &rest, problems);
            }
        }
    }

    fn check_spans(&self, problems: &mut Vec<String>) {
        let accepted = self.term(SPANS_ACCEPTED, None);
        compare(
            "spans",
            &accepted,
            &SPAN_TERMS.map(|name| self.term(name, None)),
            problems,
        );
    }

    fn check_exporters(&self, problems: &mut Vec<String>) {
        self.check_each_exporter("spans", SPANS_KEPT, &EXPORTER_TERMS, problems);
    }

    /// Every exporter got all of `whole`, and says where it is.
    fn check_each_exporter(&self, what: &str, whole: &str, terms: &[&str], problems: &mut Vec<String>) {
        let exporters = self.label_values("exporter", |name| terms.contains(&name));
        let whole = self.term(whole, None);
        if exporters.is_empty() && whole.1 > 0 {
            problems.push(format!(
                "{} is {} and no exporter says where they are",
                whole.0, whole.1
            ));
        }
        for exporter in exporters {
            let label = ("exporter", exporter.as_str());
            let terms: Vec<_> = terms.iter().map(|name| self.term(name, Some(label))).collect();
            compare(
                &format!("{what} of exporter {exporter}"),
                &whole,
                &terms,
                problems,
            );
        }
    }

    fn check_points(&self, problems: &mut Vec<String>) {
        let accepted = self.term(POINTS_ACCEPTED, None);
        let terms = POINT_TERMS.map(|name| self.term(name, None));
        compare("data points", &accepted, &terms, problems);
        self.check_each_exporter("data points", POINTS_HANDED_ON, &EXPORTER_POINT_TERMS, problems);
        let of_samples = |name: &str| name == SAMPLES_TRANSLATED || SAMPLE_TERMS.contains(&name);
        for exporter in self.label_values("exporter", of_samples) {
            let label = Some(("exporter", exporter.as_str()));
            let translated = self.term(SAMPLES_TRANSLATED, label);
            let terms = SAMPLE_TERMS.map(|name| self.term(name, label));
            compare(
                &format!("samples of exporter {exporter}"),
                &translated,
                &terms,
                problems,
            );
        }
    }

    fn term(&self, name: &str, label: Option<(&str, &str)>) -> (String, u64) {
        (name.to_owned(), self.sum_where(name, label))
    }

    fn sum_where(&self, name: &str, label: Option<(&str, &str)>) -> u64 {
        let matches = |labels: &BTreeMap<String, String>| {
            label.is_none_or(|(key, value)| labels.get(key).is_some_and(|found| found == value))
        };
        // Counts are exact in a double up to 2^53; the cast of what is no count has been reported.
        self.samples
            .iter()
            .filter(|sample| sample.name == name && matches(&sample.labels))
            .map(|sample| sample.value as u64)
            .sum()
    }

    fn label_values(&self, label: &str, of: impl Fn(&str) -> bool) -> BTreeSet<String> {
        self.samples
            .iter()
            .filter(|sample| of(&sample.name))
            .filter_map(|sample| sample.labels.get(label).cloned())
            .collect()
    }
}

fn is_entry(name: &str) -> bool {
    let of_requests = REQUEST_PREFIXES.iter().any(|prefix| {
        name.strip_prefix(prefix)
            .is_some_and(|term| REQUEST_TERMS.contains(&term))
    });
    let lists: [&[&str]; 6] = [
        &[SPANS_ACCEPTED, POINTS_ACCEPTED, SAMPLES_TRANSLATED],
        &SPAN_TERMS,
        &EXPORTER_TERMS,
        &POINT_TERMS,
        &EXPORTER_POINT_TERMS,
        &SAMPLE_TERMS,
    ];
    of_requests || lists.iter().any(|list| list.contains(&name))
}

fn compare(what: &str, whole: &(String, u64), parts: &[(String, u64)], problems: &mut Vec<String>) {
    let sum: u64 = parts.iter().map(|(_, value)| value).sum();
    if whole.1 != sum {
        let parts: Vec<String> = parts
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        problems.push(format!(
            "{what}: {} {} is not {sum} = {}",
            whole.0,
            whole.1,
            parts.join(" + ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::Account;
    use crate::metrics::Metrics;

    const SNAPSHOT: &str = r#"
tracepipe_requests_received{transport="grpc"} 10
tracepipe_requests_refused{transport="grpc",reason="memory"} 1
tracepipe_requests_malformed{transport="grpc",reason="protobuf"} 2
tracepipe_requests_accepted{transport="grpc"} 7
tracepipe_requests_received{transport="http"} 3
tracepipe_requests_refused{transport="http",reason="memory"} 0
tracepipe_requests_malformed{transport="http",reason="json"} 0
tracepipe_requests_accepted{transport="http"} 3
tracepipe_request_bytes_received{transport="grpc"} 1000
tracepipe_request_bytes_refused{transport="grpc",reason="memory"} 100
tracepipe_request_bytes_malformed{transport="grpc",reason="protobuf"} 200
tracepipe_request_bytes_accepted{transport="grpc"} 700
tracepipe_spans_accepted 100
tracepipe_spans_rejected{reason="invalid_trace_id"} 1
tracepipe_spans_filtered 2
tracepipe_spans_dropped{reason="policy"} 60
tracepipe_spans_lost{reason="shutdown"} 3
tracepipe_spans_buffered 4
tracepipe_spans_kept{policy="always-sample-errors"} 10
tracepipe_spans_kept{policy="probabilistic"} 20
tracepipe_exporter_spans_exported{exporter="awsxray"} 20
tracepipe_exporter_spans_lost{exporter="awsxray",reason="unprocessed"} 4
tracepipe_exporter_spans_waiting{exporter="awsxray"} 5
tracepipe_exporter_spans_in_flight{exporter="awsxray"} 1
tracepipe_exporter_spans_exported{exporter="logging"} 30
tracepipe_exporter_spans_lost{exporter="logging",reason="queue_full"} 0
tracepipe_exporter_spans_waiting{exporter="logging"} 0
tracepipe_exporter_spans_in_flight{exporter="logging"} 0
tracepipe_metric_requests_received{transport="grpc"} 4
tracepipe_metric_requests_accepted{transport="grpc"} 4
tracepipe_metric_points_accepted 50
tracepipe_metric_points_lost{reason="queue_full"} 3
tracepipe_metric_points_waiting 7
tracepipe_metric_points_handed_on 40
tracepipe_exporter_metric_points_exported{exporter="prometheusremotewrite"} 38
tracepipe_exporter_metric_points_dropped{exporter="prometheusremotewrite",reason="name_empty"} 2
tracepipe_exporter_metric_points_exported{exporter="otlp"} 30
tracepipe_exporter_metric_points_lost{exporter="otlp",reason="refused"} 4
tracepipe_exporter_metric_points_waiting{exporter="otlp"} 5
tracepipe_exporter_metric_points_in_flight{exporter="otlp"} 1
tracepipe_exporter_samples_translated{exporter="prometheusremotewrite"} 90
tracepipe_exporter_samples_written{exporter="prometheusremotewrite"} 60
tracepipe_exporter_samples_lost{exporter="prometheusremotewrite",reason="duplicate"} 1
tracepipe_exporter_samples_waiting{exporter="prometheusremotewrite"} 20
tracepipe_exporter_samples_in_flight{exporter="prometheusremotewrite"} 9
process_cpu_seconds 5
"#;

    fn account() -> Account {
        Account::parse(&Metrics::parse(SNAPSHOT).unwrap())
    }

    #[test]
    fn a_balanced_account_holds() {
        assert_eq!(account().check(), Ok(()));
        assert_eq!(account().spans_inside(), 10);
        assert_eq!(account().metrics_inside(), 42);
        assert_eq!(account().sum("tracepipe_spans_kept"), 30);
    }

    #[test]
    fn a_counter_is_known_without_its_total() {
        let text = SNAPSHOT.replace("tracepipe_spans_filtered ", "tracepipe_spans_filtered_total ");
        assert_eq!(Account::parse(&Metrics::parse(&text).unwrap()), account());
    }

    #[test]
    fn every_counter_is_in_an_equation() {
        let perturbed = account().perturbed();
        assert_eq!(perturbed.len(), 45);
        for (name, account) in perturbed {
            assert!(account.check().is_err(), "{name} one higher was not noticed");
        }
    }

    #[test]
    fn a_forgotten_counter_is_noticed() {
        for (name, account) in account().forgotten() {
            assert!(account.check().is_err(), "{name} forgotten was not noticed");
        }
    }

    #[test]
    fn a_page_without_an_account_does_not_hold() {
        assert_eq!(Account::parse(&Metrics::default()).check().unwrap_err().len(), 3);
    }

    #[test]
    fn what_is_no_count_is_named() {
        let text = SNAPSHOT.replace("tracepipe_spans_filtered 2", "tracepipe_spans_filtered -2");
        let problems = Account::parse(&Metrics::parse(&text).unwrap())
            .check()
            .unwrap_err();
        assert!(
            problems[0].contains("tracepipe_spans_filtered is -2"),
            "{problems:?}"
        );
    }
}
