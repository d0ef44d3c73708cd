//! Two storages side by side, and each beside what was sent.

use std::collections::{BTreeMap, BTreeSet};

use tracepipe_e2e::prometheus::{NativeHistogram, Series};
use tracepipe_e2e::remote_write::{Exemplar, Labels, Sample, label_value};

use super::truth::stream_number;

/// What a Prometheus holds.
pub(crate) type Held = BTreeMap<Labels, Series>;

/// `name{label="value"}` without what all series have.
pub(crate) fn named(labels: &Labels) -> String {
    let name = label_value(labels, "__name__").unwrap_or_default();
    let others: Vec<String> = labels
        .iter()
        .filter(|(name, _)| name != "__name__" && name != "cluster")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{name}{{{}}}", others.join(","))
}

/// Streams that upstream is known to be wrong about.
#[derive(Debug)]
pub(crate) struct But {
    /// The buckets of these.
    pub(crate) buckets: BTreeSet<usize>,
    /// Exemplars of these: it holds some of them only.
    pub(crate) exemplars: BTreeSet<usize>,
}

/// What differs between ours and theirs, a sentence each.
pub(crate) fn differences(ours: &Held, theirs: &Held, but: &But) -> Vec<String> {
    let mut found = Vec::new();
    for labels in ours.keys() {
        if !theirs.contains_key(labels) {
            found.push(format!("only ours: {}", named(labels)));
        }
    }
    for (labels, theirs) in theirs {
        let Some(ours) = ours.get(labels) else {
            found.push(format!("only theirs: {}", named(labels)));
            continue;
        };
        let number = label_value(labels, "__name__").and_then(stream_number);
        let is_in = |streams: &BTreeSet<usize>| number.is_some_and(|number| streams.contains(&number));
        let differs = series(labels, ours, theirs, is_in(&but.buckets))
            .or_else(|| exemplars(&ours.exemplars, &theirs.exemplars, is_in(&but.exemplars)));
        found.extend(differs.map(|it| format!("{}: {it}", named(labels))));
    }
    found
}

fn series(labels: &Labels, ours: &Series, theirs: &Series, but_buckets: bool) -> Option<String> {
    // Of `target_info` the times are those of a clock of its own.
    if label_value(labels, "__name__").is_some_and(|name| name.ends_with("target_info")) {
        let ones = ours.samples.iter().all(|sample| sample.value() == 1.0);
        return (!ones || ours.samples.is_empty()).then(|| "target_info is not 1".to_owned());
    }
    if ours.samples != theirs.samples {
        let shown = |of: &Series| -> Vec<String> {
            let shown = |it: &Sample| format!("{}@{}", it.value(), it.timestamp);
            of.samples.iter().map(shown).collect()
        };
        return Some(format!("samples {:?}, theirs {:?}", shown(ours), shown(theirs)));
    }
    let times = |of: &Series| of.histograms.iter().map(|it| it.timestamp).collect::<Vec<_>>();
    if times(ours) != times(theirs) {
        return Some(format!(
            "histograms at {:?}, theirs at {:?}",
            times(ours),
            times(theirs)
        ));
    }
    let same = |(ours, theirs): &(&NativeHistogram, &NativeHistogram)| {
        if but_buckets {
            (&ours.count, &ours.sum) == (&theirs.count, &theirs.sum)
        } else {
            ours == theirs
        }
    };
    let mut pairs = ours.histograms.iter().zip(&theirs.histograms);
    let (ours, theirs) = pairs.find(|pair| !same(pair))?;
    Some(format!("{ours:?}, theirs {theirs:?}"))
}

fn exemplars(ours: &[Exemplar], theirs: &[Exemplar], may_lack_some: bool) -> Option<String> {
    let same = if may_lack_some {
        theirs.iter().all(|one| ours.contains(one))
    } else {
        ours == theirs
    };
    (!same).then(|| format!("exemplars {ours:?}, theirs {theirs:?}"))
}

/// The series of one job, a line each, without their times and what all of them have; in the order of their labels.
pub(crate) fn lines(held: &Held, job: &str) -> Vec<String> {
    let of_job = held
        .iter()
        .filter(|(labels, _)| label_value(labels, "job") == Some(job));
    of_job.map(|(labels, series)| line(labels, series)).collect()
}

fn line(labels: &Labels, series: &Series) -> String {
    const OF_ALL: [&str; 5] = [
        "job",
        "instance",
        "service_name",
        "service_instance_id",
        "cluster",
    ];
    let own: Labels = labels
        .iter()
        .filter(|(name, _)| !OF_ALL.contains(&name.as_str()))
        .cloned()
        .collect();
    let mut text = named(&own);
    for sample in &series.samples {
        let value = if sample.is_stale() {
            "stale".to_owned()
        } else {
            sample.value().to_string()
        };
        text.push_str(&format!(" {value}"));
    }
    for it in &series.histograms {
        text.push_str(&format!(" count {} sum {}", it.count, it.sum));
        if it.buckets.len() > 10 {
            text.push_str(&format!(" {} buckets", it.buckets.len()));
            continue;
        }
        for (_, _, upper, count) in &it.buckets {
            text.push_str(&format!(" <={upper}:{count}"));
        }
    }
    for it in &series.exemplars {
        let labels: Vec<String> = it
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        text.push_str(&format!(
            " # {{{}}} {}",
            labels.join(","),
            f64::from_bits(it.bits)
        ));
        if it.timestamp == 0 {
            text.push_str(" at 0");
        }
    }
    text
}
