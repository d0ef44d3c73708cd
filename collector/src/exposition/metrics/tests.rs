use std::collections::BTreeSet;

use super::*;
use crate::account::{Account, HeldSeries};
use crate::decision_log::LogFigures;
use crate::exporter::{Ended, RemoteWriteAccount};
use crate::exposition::{ProcessFigures, account_text, metrics_text};

fn account() -> MetricsAccount {
    let samples = RemoteWriteAccount {
        translated: 9,
        written: 7,
        requests: [(Ended::Status(204), 3), (Ended::Timeout, 1)].into(),
        lost: [("too_old", 2)].into(),
        ..RemoteWriteAccount::default()
    };
    let named = |id: &str| ExporterAccount {
        id: id.into(),
        ..ExporterAccount::default()
    };
    MetricsAccount {
        handed_on: 5,
        exporters: vec![
            MetricsExporterAccount {
                points: named("debug"),
                ..MetricsExporterAccount::default()
            },
            MetricsExporterAccount {
                points: named("prometheus"),
                translated: Some(tracepipe_metrics::Translated::default()),
                series: Some(HeldSeries::default()),
                ..MetricsExporterAccount::default()
            },
            MetricsExporterAccount {
                points: named("prometheusremotewrite"),
                dropped: [("no_timestamp", 1)].into(),
                translated: Some(tracepipe_metrics::Translated::default()),
                samples: Some(Box::new(samples)),
                ..MetricsExporterAccount::default()
            },
        ],
        ..MetricsAccount::default()
    }
}

/// An exporter of spans may have the name of one of metrics.
fn with_metrics(metrics: Option<MetricsAccount>) -> Account {
    Account {
        exporters: vec![ExporterAccount {
            id: "debug".into(),
            ..ExporterAccount::default()
        }],
        metrics,
        ..Account::default()
    }
}

#[test]
fn every_sample_is_there_once_behind_its_family() {
    let text = metrics_text(&with_metrics(Some(account())), &ProcessFigures::default());
    let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
    let mut family = "";
    for line in text.lines() {
        if let Some(announced) = line.strip_prefix("# TYPE ") {
            family = announced.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} twice");
        } else if !line.starts_with('#') {
            let sample = line.rsplit_once(' ').unwrap().0;
            assert!(samples.insert(sample), "{sample} twice");
            let suffix = sample.split('{').next().unwrap().strip_prefix(family);
            assert!(
                matches!(suffix, Some("" | "_bucket" | "_sum" | "_count")),
                "{sample} below {family}"
            );
        }
    }
    for sample in [
        r#"tracepipe_exporter_metric_points_dropped_total{exporter="prometheusremotewrite",reason="no_timestamp"} 1"#,
        r#"tracepipe_exporter_samples_lost_total{exporter="prometheusremotewrite",reason="too_old"} 2"#,
        r#"tracepipe_exporter_requests_ended_total{exporter="prometheusremotewrite",ended="204"} 3"#,
        r#"tracepipe_exporter_request_seconds_bucket{exporter="prometheusremotewrite",le="+Inf"} 0"#,
        r#"otelcol_exporter_queue_size{exporter="debug",data_type="metrics"} 0"#,
        r#"otelcol_exporter_queue_size{exporter="debug"} 0"#,
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample}");
    }
    assert!(
        account_text(&with_metrics(Some(account()))).contains("tracepipe_metric_points_handed_on_total 5")
    );
}

#[test]
fn our_counters_and_they_alone_end_in_total() {
    let mut account = with_metrics(Some(account()));
    account.sampling.decision_log = Some(LogFigures::default());
    let text = metrics_text(&account, &ProcessFigures::default());
    let families: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    assert!(families.len() > 50);
    for family in families {
        let (name, kind) = family.split_once(' ').unwrap();
        let is_our_counter = name.starts_with("tracepipe_") && kind == "counter";
        assert_eq!(name.ends_with("_total"), is_our_counter, "{family}");
    }
}

#[test]
fn without_a_pipeline_for_metrics_nothing_tells_of_them() {
    let text = metrics_text(&with_metrics(None), &ProcessFigures::default());
    assert!(!text.contains("metric_"), "{text}");
    assert!(!text.contains("data_type"), "{text}");
}
