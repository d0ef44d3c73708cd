//! What became of metrics. Names and their order are those of spans, with `metric_points` for them; nothing of it is there
//! without a pipeline for metrics. Of the samples that data points become `samples.rs` tells.

mod samples;

use super::{Exposition, requests_into};
use crate::account::{ExporterAccount, MetricsAccount, MetricsExporterAccount};

/// Tells an exporter of metrics from one of spans with the same name; upstream's label and word.
pub(super) const DATA_TYPE: (&str, &str) = ("data_type", "metrics");

pub(super) fn into(text: &mut Exposition, account: &MetricsAccount) {
    requests_into(
        text,
        "tracepipe_metric",
        [&account.ingest.grpc, &account.ingest.http],
    );
    const ACCEPTED: &str = "tracepipe_metric_points_accepted_total";
    text.family(ACCEPTED, "counter", "Data points in accepted requests.");
    text.sample(ACCEPTED, &[], account.ingest.accepted);
    const LOST: &str = "tracepipe_metric_points_lost_total";
    text.family(LOST, "counter", "Data points that no exporter got, by reason.");
    for (reason, count) in &account.lost {
        text.sample(LOST, &[("reason", reason)], *count);
    }
    const WAITING: &str = "tracepipe_metric_points_waiting";
    text.family(WAITING, "gauge", "Data points in the batch that is being filled.");
    text.sample(WAITING, &[], account.waiting);
    const HANDED_ON: &str = "tracepipe_metric_points_handed_on_total";
    text.family(HANDED_ON, "counter", "Data points handed to every exporter.");
    text.sample(HANDED_ON, &[], account.handed_on);
    points_into(text, &account.exporters);
    translation_into(text, &account.exporters);
    series_into(text, &account.exporters);
    samples::into(text, &account.exporters);
}

fn points_into(text: &mut Exposition, exporters: &[MetricsExporterAccount]) {
    for (name, kind, help, figure) in [
        (
            "exported_total",
            "counter",
            "Data points that the backend took or, where they become series, those that did.",
            (|exporter| exporter.exported) as fn(&ExporterAccount) -> u64,
        ),
        (
            "waiting",
            "gauge",
            "Data points in the batch or in the exporter's queue.",
            |exporter| exporter.waiting,
        ),
        (
            "in_flight",
            "gauge",
            "Data points in a request without an answer.",
            |exporter| exporter.in_flight,
        ),
    ] {
        let name = format!("tracepipe_exporter_metric_points_{name}");
        text.family(&name, kind, help);
        for MetricsExporterAccount { points, .. } in exporters {
            text.sample(&name, &[("exporter", &points.id)], figure(points));
        }
    }
    let dropped = exporters.iter().map(|exporter| (exporter, &exporter.dropped));
    by_reason(
        text,
        "tracepipe_exporter_metric_points_dropped_total",
        "Data points that the exporter makes nothing of, by reason.",
        dropped
            .flat_map(|(exporter, reasons)| reasons.iter().map(move |(why, count)| (exporter, *why, *count))),
    );
    let lost = exporters.iter().map(|exporter| (exporter, &exporter.points.lost));
    by_reason(
        text,
        "tracepipe_exporter_metric_points_lost_total",
        "Data points given up by an exporter, by reason.",
        lost.flat_map(|(exporter, reasons)| reasons.iter().map(move |(why, count)| (exporter, *why, *count))),
    );
}

/// A figure for each reason of an exporter.
fn by_reason<'a>(
    text: &mut Exposition,
    name: &str,
    help: &str,
    figures: impl Iterator<Item = (&'a MetricsExporterAccount, &'static str, u64)>,
) {
    text.family(name, "counter", help);
    for (exporter, reason, count) in figures {
        text.sample(
            name,
            &[("exporter", &exporter.points.id), ("reason", reason)],
            count,
        );
    }
}

/// What is told of the way from data points to series.
fn translation_into(text: &mut Exposition, exporters: &[MetricsExporterAccount]) {
    let of = |exporter: &'_ MetricsExporterAccount| exporter.translated;
    let translators = || exporters.iter().filter_map(move |it| Some((it, of(it)?)));
    if translators().next().is_none() {
        return;
    }
    for (name, help, figure) in [
        (
            "labels_dropped_total",
            "Attributes whose names leave no label.",
            (|it| it.labels_dropped) as fn(&tracepipe_metrics::Translated) -> u64,
        ),
        (
            "exemplars_dropped_total",
            "Exemplars without a number or a label, or beside newer ones.",
            |it| it.exemplars_dropped,
        ),
        (
            "delta_gaps_total",
            "Deltas that were added up although some before them are missing.",
            |it| it.delta_gaps,
        ),
        (
            "delta_resets_total",
            "Streams of deltas that began anew because the bounds of their buckets changed.",
            |it| it.delta_resets,
        ),
        (
            "target_info_conflicts_total",
            "Resources that say the same job and instance as another one.",
            |it| it.target_info_conflicts,
        ),
        (
            "series_conflicts_total",
            "Samples of series that another stream, which differs in what is no label, has just written.",
            |it| it.series_conflicts,
        ),
    ] {
        let name = format!("tracepipe_exporter_{name}");
        text.family(&name, "counter", help);
        for (exporter, translated) in translators() {
            text.sample(&name, &[("exporter", &exporter.points.id)], figure(&translated));
        }
    }
}

/// What an exporter holds that is scraped.
fn series_into(text: &mut Exposition, exporters: &[MetricsExporterAccount]) {
    use crate::account::HeldSeries;
    let scraped = || exporters.iter().filter_map(|it| Some((it, it.series?)));
    if scraped().next().is_none() {
        return;
    }
    for (name, kind, help, figure) in [
        (
            "series",
            "gauge",
            "Data points whose last value is held.",
            (|it| it.series as u64) as fn(&HeldSeries) -> u64,
        ),
        ("series_bytes", "gauge", "What they take, about.", |it| {
            it.bytes as u64
        }),
        (
            "series_expired_total",
            "counter",
            "Series forgotten because nothing came for them.",
            |it| it.expired,
        ),
        (
            "help_conflicts_total",
            "counter",
            "Series whose description is not the one that is shown.",
            |it| it.help_conflicts,
        ),
        (
            "targets_refused_total",
            "counter",
            "Resources without target_info because there was no room.",
            |it| it.targets_refused,
        ),
    ] {
        let name = format!("tracepipe_exporter_{name}");
        text.family(&name, kind, help);
        for (exporter, held) in scraped() {
            text.sample(&name, &[("exporter", &exporter.points.id)], figure(&held));
        }
    }
}

/// The figures that dashboards made for the OpenTelemetry Collector look for.
pub(super) fn upstream_into(text: &mut Exposition, account: &MetricsAccount) {
    const SENT: &str = "otelcol_exporter_sent_metric_points";
    text.family(
        SENT,
        "counter",
        "Data points that the backend took or, where they become series, those that did.",
    );
    for MetricsExporterAccount { points, .. } in &account.exporters {
        text.sample(SENT, &[("exporter", &points.id)], points.exported);
    }
    const FAILED: &str = "otelcol_exporter_send_failed_metric_points";
    text.family(FAILED, "counter", "Data points given up by an exporter.");
    for MetricsExporterAccount { points, .. } in &account.exporters {
        let lost: u64 = points.lost.values().sum();
        text.sample(FAILED, &[("exporter", &points.id)], lost);
    }
}

#[cfg(test)]
mod tests;
