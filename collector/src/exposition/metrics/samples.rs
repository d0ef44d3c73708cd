//! What became of the samples of exporters that write them: `translated = written + lost + waiting + in_flight`.

use super::by_reason;
use crate::account::MetricsExporterAccount;
use crate::exporter::{LATENCY_BOUNDS, RemoteWriteAccount};
use crate::exposition::Exposition;

pub(super) fn into(text: &mut Exposition, exporters: &[MetricsExporterAccount]) {
    let writers = || {
        exporters
            .iter()
            .filter_map(|it| Some((it, it.samples.as_deref()?)))
    };
    if writers().next().is_none() {
        return;
    }
    for (name, kind, help, figure) in FIGURES {
        let name = format!("tracepipe_exporter_{name}");
        text.family(&name, kind, help);
        for (exporter, samples) in writers() {
            text.sample(&name, &[("exporter", &exporter.points.id)], figure(samples));
        }
    }
    by_reason(
        text,
        "tracepipe_exporter_samples_lost_total",
        "Samples given up, by reason.",
        writers().flat_map(|(exporter, samples)| {
            samples
                .lost
                .iter()
                .map(move |(why, count)| (exporter, *why, *count))
        }),
    );
    by_reason(
        text,
        "tracepipe_exporter_samples_dropped_total",
        "Samples of data points that were translated, left out or taken back, by reason.",
        writers().flat_map(|(exporter, _)| {
            let dropped = exporter.translated.map(|translated| translated.samples_dropped);
            let counts: Vec<_> = dropped.iter().flat_map(|dropped| dropped.by_reason()).collect();
            let counts = counts.into_iter().filter(|(_, count)| *count > 0);
            counts.map(move |(why, count)| (exporter, why, count))
        }),
    );
    const ENDED: &str = "tracepipe_exporter_requests_ended_total";
    text.family(
        ENDED,
        "counter",
        "Requests by the status of their answer, or why there was none.",
    );
    for (exporter, samples) in writers() {
        for (ended, count) in &samples.requests {
            let labels = [("exporter", &*exporter.points.id), ("ended", &*ended.label())];
            text.sample(ENDED, &labels, *count);
        }
    }
    latencies_into(text, writers());
    times_into(text, writers());
}

type Figure = (
    &'static str,
    &'static str,
    &'static str,
    fn(&RemoteWriteAccount) -> u64,
);

const FIGURES: [Figure; 19] = [
    (
        "samples_translated_total",
        "counter",
        "Samples made, those that no data point stands for included; a native histogram is one.",
        |it| it.translated,
    ),
    (
        "samples_written_total",
        "counter",
        "Samples that the receiver took.",
        |it| it.written,
    ),
    (
        "samples_presumed_written_total",
        "counter",
        "Of these, samples of requests without an answer that the receiver later said to have.",
        |it| it.presumed_written,
    ),
    (
        "histograms_written_total",
        "counter",
        "Of these, native histograms.",
        |it| it.histograms_written,
    ),
    (
        "exemplars_written_total",
        "counter",
        "Exemplars of samples that were written.",
        |it| it.exemplars_written,
    ),
    ("samples_waiting", "gauge", "Samples in the queue.", |it| {
        it.waiting
    }),
    (
        "samples_in_flight",
        "gauge",
        "Samples in a request without an answer.",
        |it| it.in_flight,
    ),
    (
        "requests_retried_total",
        "counter",
        "Requests that had been sent before.",
        |it| it.retries,
    ),
    (
        "requests_halved_total",
        "counter",
        "Requests that were refused and sent again in halves.",
        |it| it.halvings,
    ),
    (
        "bytes_encoded_total",
        "counter",
        "Bytes of requests before compression, each once.",
        |it| it.bytes_encoded,
    ),
    (
        "bytes_sent_total",
        "counter",
        "Bytes of requests on the wire, repeated ones included.",
        |it| it.bytes_sent,
    ),
    (
        "metadata_requests_written_total",
        "counter",
        "Requests with metadata that were taken.",
        |it| it.metadata_written,
    ),
    (
        "metadata_requests_lost_total",
        "counter",
        "Requests with metadata that were given up.",
        |it| it.metadata_lost,
    ),
    (
        "queue_bytes_max",
        "gauge",
        "What the queue may hold, in bytes.",
        |it| it.queue_bytes_max,
    ),
    (
        "request_bytes_max",
        "gauge",
        "Largest request now, in bytes before compression.",
        |it| it.request_bytes_max,
    ),
    ("shards", "gauge", "Requests in flight at most, ever.", |it| {
        it.shards
    }),
    (
        "shards_allowed",
        "gauge",
        "Requests in flight at most, now.",
        |it| it.shards_allowed,
    ),
    (
        "oldest_sample_age_seconds",
        "gauge",
        "How long the oldest sample of the queue has waited.",
        |it| it.oldest_age.as_secs(),
    ),
    (
        "lag_seconds",
        "gauge",
        "How long the oldest sample has been here that is neither written nor given up.",
        |it| it.lag.as_secs(),
    ),
];

type Writer<'a> = (&'a MetricsExporterAccount, &'a RemoteWriteAccount);

fn latencies_into<'a>(text: &mut Exposition, writers: impl Iterator<Item = Writer<'a>>) {
    const NAME: &str = "tracepipe_exporter_request_seconds";
    text.family(
        NAME,
        "histogram",
        "From a request to its answer, or to giving it up.",
    );
    for (exporter, samples) in writers {
        let id = ("exporter", &*exporter.points.id);
        let mut count = 0;
        let bounds = LATENCY_BOUNDS
            .iter()
            .map(f64::to_string)
            .chain(["+Inf".to_owned()]);
        for (bound, bucket) in bounds.zip(samples.latencies.buckets) {
            count += bucket;
            text.sample(&format!("{NAME}_bucket"), &[id, ("le", &bound)], count);
        }
        let sum = samples.latencies.sum.as_secs_f64();
        text.sample(&format!("{NAME}_sum"), &[id], sum);
        text.sample(&format!("{NAME}_count"), &[id], count);
    }
}

fn times_into<'a>(text: &mut Exposition, writers: impl Iterator<Item = Writer<'a>>) {
    const NAME: &str = "tracepipe_exporter_newest_written_timestamp_seconds";
    text.family(
        NAME,
        "gauge",
        "The newest time of a sample that was written, in seconds of the Unix epoch.",
    );
    for (exporter, samples) in writers {
        if let Some(newest_ms) = samples.newest_written_ms {
            text.sample(NAME, &[("exporter", &exporter.points.id)], newest_ms / 1000);
        }
    }
}
