//! The upstream collector v0.161.0 as oracle of what is written to Amazon Managed Prometheus: it and ours get the same
//! requests, write each into a real Prometheus of its own through a front that verifies signatures, and both storages hold
//! the same series, but for the rows of a table in docs/metrics.md.

mod arms;
mod cases;
mod compare;
mod truth;

use std::collections::BTreeMap;

use tracepipe_e2e::clock;
use tracepipe_e2e::load::Outcome;
use tracepipe_e2e::otlp_metrics::source::{Growth, Kind, Source};
use tracepipe_e2e::otlp_metrics::{Any, Resource, encode, texts};

use crate::amp_rig;
use arms::{Ours, Programs, Told, Upstream};
use cases::Case;
use compare::{But, differences};
use truth::Truth;

const TAKEN: Outcome = Outcome::Accepted { rejected_spans: 0 };

/// Requests of the generator, a second apart.
const REQUESTS: u64 = 30;
/// Streams of the generator: twenty of each kind.
const STREAMS: usize = 260;

/// `make peers` asks for other seeds by the environment.
fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text:?}")),
        Err(_) => default,
    }
}

fn source(seed: u64) -> Source {
    let start = clock::unix_nanos() - (REQUESTS + 5) * 1_000_000_000;
    Source::new(seed, STREAMS, &Kind::ALL, start).with_late_points()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_puts_observations_of_scales_above_eight_into_wrong_buckets() {
    let Some(programs) = Programs::find().await else {
        return;
    };
    let upstream = Upstream::start(&programs, &Told::default()).await.unwrap();
    let mut source = source(7);
    let mut truth = Truth::default();
    for _ in 0..REQUESTS {
        let request = source.request();
        truth.note(&request);
        let taken = upstream.send(encode(&request)).await;
        assert_eq!(taken, TAKEN, "{}", upstream.backend.complaint());
    }
    let tallies = truth.beside(&upstream.backend.series().await);
    let (coarse, fine): (Vec<_>, Vec<_>) = tallies.iter().partition(|(scale, _)| **scale <= 8);
    assert_eq!((coarse.len(), fine.len() > 8), (13, true), "{tallies:#?}");
    // What the test says is right is right: nothing is in another bucket where nothing is downscaled.
    for (scale, tally) in coarse {
        assert_eq!((tally.wrong, tally.missing), (0, 0), "scale {scale}: {tally:#?}");
        assert!(tally.right > 0);
    }
    assert!(fine.iter().all(|(_, tally)| tally.missing == 0));
    let (right, wrong) = fine.iter().fold((0, 0), |(right, wrong), (_, tally)| {
        (right + tally.right, wrong + tally.wrong)
    });
    println!(
        "upstream, scales above 8: {wrong} of {} points in wrong buckets",
        right + wrong
    );
    // Where upstream is repaired, the row "a scale above 8" of docs/metrics.md has to go.
    assert!(wrong > 0, "upstream puts every observation where it belongs");
    upstream.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_series_is_that_of_the_upstream_collector() {
    let Some(programs) = Programs::find().await else {
        return;
    };
    let told = Told::default();
    let (ours, upstream) =
        tokio::try_join!(Ours::start(&programs, &told), Upstream::start(&programs, &told)).unwrap();
    let mut source = source(number("TRACEPIPE_AMP_SEED", 11));
    let mut truth = Truth::default();
    for _ in 0..REQUESTS {
        let request = source.request();
        truth.note(&request);
        ours.send(&request).await;
        let taken = upstream.send(encode(&request)).await;
        assert_eq!(taken, TAKEN, "{}", upstream.backend.complaint());
    }
    let account = ours.settled().await;
    assert_eq!(amp_rig::lost(&account), BTreeMap::new());
    assert_eq!(
        (ours.backend.front.refused(), ours.backend.front.refused_behind()),
        (vec![], vec![])
    );
    assert_eq!(upstream.backend.front.refused_behind(), Vec::<String>::new());

    let (held, theirs) = (ours.backend.series().await, upstream.backend.series().await);
    // Of these upstream is known to be wrong; ours is compared with what was sent.
    for (scale, tally) in truth.beside(&held) {
        assert_eq!((tally.wrong, tally.missing), (0, 0), "scale {scale}: {tally:#?}");
    }
    assert_eq!(truth.without_exemplars(&held), Vec::<String>::new());
    let but = But {
        buckets: source.numbers(|kind| matches!(kind, Kind::Fine(_))),
        exemplars: source.numbers(has_few_exemplars),
    };
    let different = differences(&held, &theirs, &but);
    println!(
        "{} series of ours with {} exemplars, {} series of upstream, {} differ",
        held.len(),
        truth.exemplars(),
        theirs.len(),
        different.len()
    );
    let shown: Vec<&String> = different.iter().take(12).collect();
    assert!(
        different.is_empty(),
        "{} of {} series differ: {shown:#?}",
        different.len(),
        held.len()
    );
    // Metadata is no sample: what came of it by now is the same.
    let (said, theirs) = (ours.backend.front.metadata(), upstream.backend.front.metadata());
    assert!(!said.is_empty());
    for (name, said) in &said {
        assert_eq!(Some(said), theirs.get(name), "{name}");
    }
    ours.stop().await;
    upstream.stop().await;
}

/// Upstream repeats the first point's exemplars of deltas. Of native histograms Prometheus 2.42 loses those that come before
/// it has the series.
fn has_few_exemplars(kind: Kind) -> bool {
    match kind {
        Kind::UpDown(growth) | Kind::Counter(growth) | Kind::Histogram(growth) => growth == Growth::Delta,
        Kind::Exponential(_) | Kind::Fine(_) => true,
        Kind::Gauge | Kind::Coarse | Kind::Summary => false,
    }
}

/// The requests of a case for a job of its own.
fn requests((number, case): (usize, &Case), now: u64) -> Vec<Vec<Resource>> {
    let mut requests = (case.requests)(now);
    for resource in requests.iter_mut().flatten() {
        resource
            .attributes
            .push(("service.name".to_owned(), Any::Text(job(number))));
        resource.attributes.extend(texts(&[("service.instance.id", "1")]));
    }
    requests
}

fn job(number: usize) -> String {
    format!("case{number}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_difference_to_upstream_is_a_row_of_the_table() {
    let Some(programs) = Programs::find().await else {
        return;
    };
    let told = Told::default();
    let plain = Told {
        accumulate: false,
        ..told.clone()
    };
    let (ours, upstream, accumulating) = tokio::try_join!(
        Ours::start(&programs, &plain),
        Upstream::start(&programs, &plain),
        Upstream::start(&programs, &told)
    )
    .unwrap();
    let now = clock::unix_nanos();
    let cases = cases::all();
    let mut refused = vec![0; cases.len()];
    for (number, case) in cases.iter().enumerate() {
        let upstream = if case.accumulated {
            &accumulating
        } else {
            &upstream
        };
        for request in requests((number, case), now) {
            ours.send(&request).await;
            refused[number] += usize::from(upstream.send(encode(&request)).await != TAKEN);
        }
    }
    ours.settled().await;
    let held = ours.backend.series().await;
    let (plain, accumulated) = (
        upstream.backend.series().await,
        accumulating.backend.series().await,
    );
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let job = job(number);
        let theirs = if case.accumulated { &accumulated } else { &plain };
        let found = (
            compare::lines(&held, &job),
            compare::lines(theirs, &job),
            refused[number],
        );
        let said = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        if found != (said(case.ours), said(case.theirs), case.theirs_refused) {
            wrong.push(format!(
                "{}: ours, theirs, refused by theirs: {found:#?}",
                case.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for case in &cases {
        let is_same = case.ours == case.theirs && case.theirs_refused == 0;
        assert_eq!(case.same, is_same, "{}", case.name);
    }
    let account = ours.stop().await;
    let mut dropped: BTreeMap<String, u64> = BTreeMap::new();
    for (reason, count) in cases.iter().flat_map(|case| case.dropped) {
        *dropped.entry((*reason).to_owned()).or_default() += count;
    }
    let mut found = account.by_label("tracepipe_exporter_metric_points_dropped", "reason");
    found.retain(|_, count| *count > 0);
    assert_eq!(found, dropped);
    upstream.stop().await;
    accumulating.stop().await;
}

#[test]
fn the_table_of_differences_is_that_of_the_documents() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## Beside upstream\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    let rows: Vec<&str> = rows.filter_map(|row| row.split(" | ").next()).collect();
    let cases: Vec<&str> = cases::all()
        .into_iter()
        .filter(|case| !case.same)
        .map(|case| case.name)
        .collect();
    assert_eq!(rows, cases);
}
