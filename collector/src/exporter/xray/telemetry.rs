//! PutTelemetryRecords: what X-Ray's console shows about its senders.
//!
//! Once a minute what was counted becomes a record, if anything was. Records wait, the oldest give way, and go newest
//! first by the client that segments go by, but beside them: no segment waits for a record. A record that is not taken
//! goes again with those of the next minute.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use aws_config::imds;
use aws_sdk_xray::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_xray::primitives::DateTime;
use aws_sdk_xray::types::{BackendConnectionErrors, TelemetryRecord};
use tokio::task::AbortHandle;
use tracepipe_config::{
    XRAY_HOSTNAME_LENGTH_MAX, XRAY_INSTANCE_ID_LENGTH_MAX, XrayMetadata, XrayTelemetrySettings,
};

use crate::account::ExporterAccount;
use crate::clock::Clock;
use crate::exporter::aws::network::{self, Variable};
use crate::exporter::queue::SendingQueue;

/// As upstream.
const INTERVAL: Duration = Duration::from_secs(60);

/// As upstream: half an hour.
const RECORDS_MAX: usize = 30;

/// As upstream.
const RECORDS_PER_REQUEST: usize = 10;

/// The node is asked once who it is, and this long.
const METADATA_TIME_MAX: Duration = Duration::from_secs(5);

/// Sends records of what was counted.
pub(super) struct Telemetry {
    records: Rc<Records>,
    task: OnceCell<AbortHandle>,
}

struct Records {
    client: aws_sdk_xray::Client,
    metadata: Option<XrayMetadata>,
    imds: Option<imds::Client>,
    errors: RefCell<Errors>,
    waiting: RefCell<VecDeque<TelemetryRecord>>,
}

/// Requests for segments that failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Errors {
    timeout: u64,
    connection_refused: u64,
    http_4xx: u64,
    http_5xx: u64,
    unknown_host: u64,
    other: u64,
}

/// Spans, each of which is a segment to X-Ray, since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Segments {
    received: u64,
    sent: u64,
    spilled_over: u64,
    rejected: u64,
}

/// Who sends.
#[derive(Debug, Default)]
struct Sender {
    hostname: Option<String>,
    instance_id: Option<String>,
    resource_arn: Option<String>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Of this process's node.
    pub(super) fn of_this_node(client: aws_sdk_xray::Client, settings: &XrayTelemetrySettings) -> Self {
        let imds = imds::Client::builder().max_attempts(1).build();
        Self::new(client, settings, Some(imds), &network::of_the_process)
    }

    /// Of what the settings do not say the environment says some; `imds` is asked for the rest.
    fn new(
        client: aws_sdk_xray::Client,
        settings: &XrayTelemetrySettings,
        imds: Option<imds::Client>,
        variable: Variable<'_>,
    ) -> Self {
        let metadata = settings.metadata.clone().map(|metadata| XrayMetadata {
            hostname: metadata.hostname.or_else(|| variable("AWS_HOSTNAME")),
            instance_id: metadata.instance_id.or_else(|| variable("AWS_INSTANCE_ID")),
            ..metadata
        });
        let records = Records {
            client,
            imds: imds.filter(|_| metadata.as_ref().is_some_and(|metadata| metadata.ask_instance)),
            metadata,
            errors: RefCell::default(),
            waiting: RefCell::default(),
        };
        Self {
            records: Rc::new(records),
            task: OnceCell::new(),
        }
    }

    /// Records are made of the account of `queue` from now on. Only the first call starts anything.
    pub(super) fn start(&self, queue: impl FnOnce() -> SendingQueue) {
        self.task.get_or_init(|| {
            let (records, queue) = (Rc::clone(&self.records), queue());
            tokio::task::spawn_local(async move { records.run(&queue).await }).abort_handle()
        });
    }

    /// A request for segments failed.
    pub(super) fn failed<E: Error + 'static>(&self, error: &SdkError<E>) {
        *self.records.errors.borrow_mut().of(error) += 1;
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

// === impl Records ===

impl Records {
    async fn run(&self, queue: &SendingQueue) {
        let mut last = Segments::default();
        let mut sender = None;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let now = Segments::of(&queue.account());
            let errors = std::mem::take(&mut *self.errors.borrow_mut());
            if now != last || errors != Errors::default() {
                self.push(record(now.since(last), errors));
            }
            last = now;
            if self.waiting.borrow().is_empty() {
                continue;
            }
            if sender.is_none() {
                sender = Some(self.sender().await);
            }
            if let Some(sender) = &sender {
                self.send(sender).await;
            }
        }
    }

    fn push(&self, record: Option<TelemetryRecord>) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.extend(record);
        while waiting.len() > RECORDS_MAX {
            waiting.pop_front();
        }
    }

    /// Sends what waits, newest first, until a request is not taken.
    async fn send(&self, sender: &Sender) {
        loop {
            let newest = {
                let mut waiting = self.waiting.borrow_mut();
                let rest = waiting.len().saturating_sub(RECORDS_PER_REQUEST);
                waiting.split_off(rest)
            };
            if newest.is_empty() {
                return;
            }
            let answer = self
                .client
                .put_telemetry_records()
                .set_telemetry_records(Some(newest.iter().cloned().collect()))
                .set_ec2_instance_id(sender.instance_id.clone())
                .set_hostname(sender.hostname.clone())
                .set_resource_arn(sender.resource_arn.clone())
                .send()
                .await;
            if let Err(error) = answer {
                let code = error.as_service_error().and_then(|error| error.code());
                let status = error.raw_response().map(|response| response.status().as_u16());
                tracing::debug!(
                    status,
                    code,
                    "PutTelemetryRecords failed; it is tried again in a minute"
                );
                self.waiting.borrow_mut().extend(newest);
                return;
            }
        }
    }

    async fn sender(&self) -> Sender {
        let Some(metadata) = self.metadata.clone() else {
            return Sender::default();
        };
        let hostname = self.or_ask(metadata.hostname, "/latest/meta-data/hostname");
        let hostname = hostname
            .await
            .filter(|name| name.len() <= XRAY_HOSTNAME_LENGTH_MAX);
        let instance_id = self.or_ask(metadata.instance_id, "/latest/meta-data/instance-id");
        let instance_id = instance_id
            .await
            .filter(|id| id.len() <= XRAY_INSTANCE_ID_LENGTH_MAX);
        Sender {
            hostname,
            instance_id,
            resource_arn: metadata.resource_arn,
        }
    }

    /// What is known, or what the node says.
    async fn or_ask(&self, known: Option<String>, path: &str) -> Option<String> {
        let (None, Some(imds)) = (&known, &self.imds) else {
            return known;
        };
        let answer = tokio::time::timeout(METADATA_TIME_MAX, imds.get(path)).await;
        answer.ok()?.ok().map(|text| text.as_ref().to_owned())
    }
}

// === impl Errors ===

impl Errors {
    /// What counts a failure.
    fn of<E: Error + 'static>(&mut self, error: &SdkError<E>) -> &mut u64 {
        if let Some(status) = error.raw_response().map(|response| response.status().as_u16()) {
            return match status {
                400..=499 => &mut self.http_4xx,
                500..=599 => &mut self.http_5xx,
                _ => &mut self.other,
            };
        }
        let is_late = if let SdkError::DispatchFailure(dispatch) = error {
            dispatch.is_timeout()
        } else {
            matches!(error, SdkError::TimeoutError(_))
        };
        if is_late {
            return &mut self.timeout;
        }
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(one) = cause {
            let kind = one.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if kind == Some(std::io::ErrorKind::ConnectionRefused) {
                return &mut self.connection_refused;
            }
            // The resolver of the standard library has no kind for it.
            if one.to_string().starts_with("dns error") {
                return &mut self.unknown_host;
            }
            cause = one.source();
        }
        &mut self.other
    }
}

// === impl Segments ===

impl Segments {
    fn of(account: &ExporterAccount) -> Self {
        let lost: u64 = account.lost.values().sum();
        let spilled_over = account.lost.get("queue_full").copied().unwrap_or_default();
        Self {
            received: account.exported + lost + account.waiting + account.in_flight,
            sent: account.exported,
            spilled_over,
            rejected: lost - spilled_over,
        }
    }

    fn since(self, last: Self) -> Self {
        Self {
            received: self.received.saturating_sub(last.received),
            sent: self.sent.saturating_sub(last.sent),
            spilled_over: self.spilled_over.saturating_sub(last.spilled_over),
            rejected: self.rejected.saturating_sub(last.rejected),
        }
    }
}

fn record(segments: Segments, errors: Errors) -> Option<TelemetryRecord> {
    let count = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
    let errors = BackendConnectionErrors::builder()
        .timeout_count(count(errors.timeout))
        .connection_refused_count(count(errors.connection_refused))
        .http_code4_xx_count(count(errors.http_4xx))
        .http_code5_xx_count(count(errors.http_5xx))
        .unknown_host_count(count(errors.unknown_host))
        .other_count(count(errors.other))
        .build();
    let now = i64::try_from(Clock::unix_now().as_millis()).unwrap_or(i64::MAX);
    TelemetryRecord::builder()
        .timestamp(DateTime::from_millis(now))
        .segments_received_count(count(segments.received))
        .segments_sent_count(count(segments.sent))
        .segments_spillover_count(count(segments.spilled_over))
        .segments_rejected_count(count(segments.rejected))
        .backend_connection_errors(errors)
        .build()
        // It wants a timestamp and nothing else.
        .ok()
}

#[cfg(test)]
mod tests;
