//! The metrics line's account: where every request with metrics and every data point went.
//!
//! Requests and bytes, per transport: `received = refused + malformed + accepted`.
//! Data points of accepted requests: `accepted = lost + waiting + handed_on`.
//! For each exporter: `handed_on = exported + dropped + lost + waiting + in_flight`, where `exported` of one that
//! translates is what was translated.

use std::collections::BTreeMap;

use tracepipe_metrics::Translated;
pub use tracepipe_metrics::scrape::Held as HeldSeries;

use super::{ExporterAccount, Outcome, Transport, TransportAccount};
use crate::exporter::RemoteWriteAccount;

/// The receivers' half of the account of metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsIngestAccount {
    /// OTLP over gRPC.
    pub grpc: TransportAccount,
    /// OTLP over HTTP.
    pub http: TransportAccount,
    /// Data points in accepted requests.
    pub accepted: u64,
}

/// What one exporter did with the data points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsExporterAccount {
    /// As of every exporter, counted in data points: `exported` are those that the backend took or, where they are
    /// translated, those that were.
    pub points: ExporterAccount,
    /// Data points that it makes nothing of, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Of one that translates: all that was told of it.
    pub translated: Option<Translated>,
    /// Of one that sends samples: `translated = written + lost + waiting + in_flight`, in samples.
    pub samples: Option<Box<RemoteWriteAccount>>,
    /// Of one that is scraped: what it holds.
    pub series: Option<HeldSeries>,
}

/// One snapshot of the metrics line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsAccount {
    /// Of the receivers.
    pub ingest: MetricsIngestAccount,
    /// Data points that no exporter got, by reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// Data points in the batch that is being filled.
    pub waiting: u64,
    /// Data points in batches, which every exporter gets.
    pub handed_on: u64,
    /// One for each exporter, in the order of the configuration.
    pub exporters: Vec<MetricsExporterAccount>,
}

impl MetricsIngestAccount {
    /// A request has been read, `bytes` of it, and this became of it.
    pub fn count(&mut self, transport: Transport, bytes: u64, outcome: Outcome) {
        let transport = match transport {
            Transport::Grpc => &mut self.grpc,
            Transport::Http => &mut self.http,
        };
        transport.receive(bytes);
        transport.finish(bytes, outcome);
    }
}
