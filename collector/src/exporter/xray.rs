//! `awsxray`: kept spans as segment documents to PutTraceSegments.
//!
//! Every document is followed to its end: a 200 answer may still name documents that X-Ray did not take
//! (`UnprocessedTraceSegments`), a throttled request is sent again, and what is given up is counted by its reason.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Context;
use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_xray::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_xray::operation::put_trace_segments::PutTraceSegmentsError;
use aws_sdk_xray::types::UnprocessedTraceSegment;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tracepipe_config::{AwsXraySettings, RetrySettings};
use tracepipe_otlp::TraceOutline;
use tracepipe_otlp::view::{EachSpan, ResourceSpans};
use tracepipe_xray::{SegmentDocument, TraceTranslator, Translator};

use super::progress::Progress;
use super::retry::Backoff;
use crate::batcher::SpanBatch;
use crate::clock::Clock;
use crate::limiter::MemoryLimiter;
use crate::log_gate::LogGate;

/// Documents in one PutTraceSegments call: X-Ray refuses more (AWS: "Exceeding maximum segment count: 50").
const DOCUMENTS_PER_REQUEST_MAX: usize = 50;

/// Batches worked on at a time: while one waits for its next attempt, others go on. The requests of all of them
/// together are bounded by `num_workers`.
pub(crate) const BATCHES_IN_FLIGHT: u64 = 4;

/// A document in flight lies in memory itself, as an argument of the call and in the body of the request, escaped.
const COPIES_OF_A_DOCUMENT: u64 = 3;

/// Failed requests are logged this often at most.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// First pause after a failed request. Throttling counts in seconds, so a short first pause costs little and the
/// pauses double.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest pause between two attempts.
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// A connection to X-Ray must be there after this long.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// The exporter.
pub(crate) struct XrayExporter {
    client: aws_sdk_xray::Client,
    translator: Translator,
    retry: RetrySettings,
    /// Requests that are translated and not yet at their end.
    requests: Semaphore,
    limiter: MemoryLimiter,
    failures: LogGate,
    clock: Clock,
}

/// Documents that go out together and the spans they carry.
#[derive(Default)]
struct Documents(Vec<SegmentDocument>);

/// What to do about a request or a document that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Permanent(&'static str),
    Retryable(&'static str),
}

// === impl XrayExporter ===

impl XrayExporter {
    /// Prepares the client; credentials are fetched when the first request is sent.
    ///
    /// # Errors
    /// When neither the configuration nor the environment names a region.
    pub(crate) async fn build(settings: &AwsXraySettings, limiter: MemoryLimiter) -> anyhow::Result<Self> {
        let from_environment = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
        let region = settings
            .region
            .clone()
            .or_else(|| from_environment("AWS_REGION"))
            .or_else(|| from_environment("AWS_DEFAULT_REGION"))
            .context("exporters.awsxray.region: no region; write one or set AWS_REGION")?;
        let mut loader =
            aws_config::defaults(BehaviorVersion::v2026_01_12()).region(aws_config::Region::new(region));
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        // On this client alone: the one that fetches credentials keeps the SDK's own retries.
        let config = aws_sdk_xray::config::Builder::from(&loader.load().await)
            // The exporter repeats requests itself: two layers would multiply the attempts.
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIME_MAX)
                    .operation_attempt_timeout(settings.request_timeout)
                    .build(),
            )
            .build();
        Ok(Self {
            client: aws_sdk_xray::Client::from_conf(config),
            limiter,
            failures: LogGate::new(FAILURE_LOG_INTERVAL),
            translator: Translator::new(settings),
            retry: RetrySettings {
                enabled: true,
                initial_interval: RETRY_FIRST,
                max_interval: RETRY_LONGEST,
                max_elapsed_time: settings.max_elapsed_time,
                multiplier: 2.0,
                randomization_factor: 0.5,
            },
            requests: Semaphore::new(usize::try_from(settings.num_workers).unwrap_or(Semaphore::MAX_PERMITS)),
            clock: Clock::start(),
        })
    }

    /// Translates a batch and sends its documents until each is taken or given up. No more documents than fit into
    /// `num_workers` requests exist at a time, over all batches: a request that waits for its next attempt holds up
    /// the translation of the next, and the queue takes what comes meanwhile.
    pub(crate) async fn export(&self, batch: &SpanBatch, progress: Progress) {
        let progress = RefCell::new(progress);
        let mut sending = FuturesUnordered::new();
        let mut documents = Documents::default();
        for trace in &batch.traces {
            let mut spans = match EachSpan::new(batch.spans_of(trace)) {
                Ok(spans) => spans,
                // The walk has checked these bytes, so this is a fault of ours.
                Err(error) => {
                    tracing::error!(%error, trace_id = %trace.trace_id, "a kept trace cannot be decoded");
                    progress.borrow_mut().lost("undecodable", trace.span_count);
                    continue;
                }
            };
            let outline = TraceOutline::read(batch.spans_of(trace), trace.is_whole);
            let mut translator = self.translator.begin(&outline);
            while let Some(span) = spans.next() {
                translate(&mut translator, span, &mut documents, &progress);
                if documents.0.len() >= DOCUMENTS_PER_REQUEST_MAX {
                    let rest = documents.0.split_off(DOCUMENTS_PER_REQUEST_MAX);
                    let full = std::mem::replace(&mut documents, Documents(rest));
                    self.send_when_there_is_room(full, &mut sending, &progress).await;
                }
            }
        }
        if !documents.0.is_empty() {
            self.send_when_there_is_room(documents, &mut sending, &progress)
                .await;
        }
        while sending.next().await.is_some() {}
        drop(sending);
        let mut progress = progress.into_inner();
        let left = progress.in_flight();
        if left > 0 {
            // The account and the documents disagree; say so rather than count them as sent.
            tracing::error!(spans = left, "spans without a document");
            progress.lost("untranslatable", left);
        }
    }

    /// Starts to send a request when fewer than `num_workers` are on their way, and works on those meanwhile.
    async fn send_when_there_is_room<'a>(
        &'a self,
        documents: Documents,
        sending: &mut FuturesUnordered<LocalBoxFuture<'a, ()>>,
        progress: &'a RefCell<Progress>,
    ) {
        let mut documents = Some(documents);
        while let Some(waiting) = documents.take() {
            tokio::select! {
                biased;
                permit = self.requests.acquire() => {
                    // The semaphore is never closed.
                    let Ok(permit) = permit else { return };
                    let held = self.limiter.hold(waiting.bytes() * COPIES_OF_A_DOCUMENT);
                    sending.push(Box::pin(async move {
                        self.send(waiting, progress).await;
                        drop((permit, held));
                    }));
                }
                Some(()) = sending.next(), if !sending.is_empty() => documents = Some(waiting),
            }
        }
    }

    /// Sends documents, those that may still be taken again, until none is left.
    async fn send(&self, mut documents: Documents, progress: &RefCell<Progress>) {
        let begun = self.clock.now();
        let mut backoff = Backoff::new(&self.retry);
        loop {
            let reason = match self.attempt(&documents, progress).await {
                Ok(unprocessed) => {
                    documents.settle(&unprocessed, &mut progress.borrow_mut());
                    "unprocessed"
                }
                Err(Failure::Permanent(reason)) => {
                    let mut progress = progress.borrow_mut();
                    progress.request_failed(reason);
                    progress.lost(reason, documents.spans());
                    return;
                }
                Err(Failure::Retryable(reason)) => {
                    progress.borrow().request_failed(reason);
                    reason
                }
            };
            if documents.0.is_empty() {
                return;
            }
            let Some(pause) = backoff.next(self.clock.now() - begun, None) else {
                tracing::error!(
                    reason,
                    documents = documents.0.len(),
                    "documents were given up: X-Ray did not take them in time"
                );
                progress.borrow_mut().lost("retries_exhausted", documents.spans());
                return;
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        documents: &Documents,
        progress: &RefCell<Progress>,
    ) -> Result<Vec<UnprocessedTraceSegment>, Failure> {
        progress.borrow().requested();
        let texts = documents.0.iter().map(|document| document.json.clone()).collect();
        let answer = self
            .client
            .put_trace_segments()
            .set_trace_segment_documents(Some(texts))
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(answer.unprocessed_trace_segments.unwrap_or_default()),
            Err(error) => {
                let failure = classify(&error);
                if self.failures.is_due(self.clock.now()) {
                    log_failure(failure, &error);
                }
                Err(failure)
            }
        }
    }
}

fn translate(
    translator: &mut TraceTranslator<'_>,
    span: &[ResourceSpans<'_>],
    documents: &mut Documents,
    progress: &RefCell<Progress>,
) {
    let mut random_id = || rand::random();
    let translated = translator.translate(span, &mut random_id, &mut documents.0);
    let mut progress = progress.borrow_mut();
    for (reason, spans) in translated.untranslatable_spans.by_reason() {
        progress.lost(reason, spans);
    }
    progress.translated(&translated);
}

/// Says what failed, and nothing that may quote the request: AWS's answers to a wrong signature do, with the session
/// token.
fn log_failure(failure: Failure, error: &SdkError<PutTraceSegmentsError>) {
    let (Failure::Permanent(reason) | Failure::Retryable(reason)) = failure;
    let status = error.raw_response().map(|response| response.status().as_u16());
    let service = error.as_service_error();
    tracing::warn!(
        reason,
        status,
        code = service.and_then(|error| error.code()),
        request_id = service.and_then(|error| error.meta().extra("aws_request_id")),
        "PutTraceSegments failed (said once in {} s at most; see tracepipe_exporter_requests_failed)",
        FAILURE_LOG_INTERVAL.as_secs()
    );
}

// === impl Documents ===

impl Documents {
    fn bytes(&self) -> u64 {
        self.0.iter().map(|document| document.json.len() as u64).sum()
    }

    fn spans(&self) -> u64 {
        self.0.iter().map(|document| u64::from(document.spans)).sum()
    }

    /// Accounts for the answer to a request that X-Ray took: what it names may be sent again or is lost, the rest is
    /// exported. Keeps what may be sent again.
    fn settle(&mut self, unprocessed: &[UnprocessedTraceSegment], progress: &mut Progress) {
        let is_ours = |id: &str| self.0.iter().any(|document| document.span_id.to_string() == id);
        if unprocessed
            .iter()
            .any(|segment| !segment.id().is_some_and(is_ours))
        {
            // X-Ray did not take one of them and does not say which: none may be counted as sent.
            tracing::error!(
                documents = self.0.len(),
                "X-Ray refused documents without naming them"
            );
            progress.lost("unprocessed_unnamed", self.spans());
            self.0.clear();
            return;
        }
        self.0.retain(|document| {
            let spans = u64::from(document.spans);
            let id = document.span_id.to_string();
            let Some(refused) = unprocessed.iter().find(|segment| segment.id() == Some(&id)) else {
                progress.exported(spans);
                return false;
            };
            match classify_unprocessed(refused.error_code().unwrap_or_default()) {
                Failure::Retryable(_) => true,
                Failure::Permanent(reason) => {
                    tracing::debug!(segment_id = id, reason, "X-Ray refused a document");
                    progress.lost(reason, spans);
                    false
                }
            }
        });
    }
}

/// Whether a failed call may be repeated. Faults of identity (403) are held, not dropped: a role or a clock that is
/// repaired within `max_elapsed_time` loses nothing.
fn classify(error: &SdkError<PutTraceSegmentsError>) -> Failure {
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().unwrap_or_default();
            classify_service(status, code)
        }
        SdkError::TimeoutError(_) => Failure::Retryable("timeout"),
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => Failure::Retryable("timeout"),
        SdkError::DispatchFailure(dispatch) if dispatch.is_io() => Failure::Retryable("connection"),
        // The SDK reports credentials that cannot be fetched like this.
        SdkError::DispatchFailure(_) => Failure::Retryable("credentials"),
        SdkError::ResponseError(response) => classify_service(response.raw().status().as_u16(), ""),
        SdkError::ConstructionFailure(_) => Failure::Permanent("construction"),
        _ => Failure::Retryable("other"),
    }
}

fn classify_service(status: u16, code: &str) -> Failure {
    match (status, code) {
        (429, _) => Failure::Retryable("throttled"),
        (_, code) if code.contains("Throttl") => Failure::Retryable("throttled"),
        (408, _) => Failure::Retryable("timeout"),
        (401 | 403, _) => Failure::Retryable("access_denied"),
        (413, _) => Failure::Permanent("too_large"),
        (400..=499, _) => Failure::Permanent("invalid_request"),
        // 5xx, and answers that are no answers: X-Ray takes the same document twice without harm.
        _ => Failure::Retryable("server_error"),
    }
}

/// The codes seen in `UnprocessedTraceSegments`; X-Ray publishes no list. A code that speaks of load may be sent
/// again, any other would be refused again.
fn classify_unprocessed(code: &str) -> Failure {
    match code {
        "InvalidTraceId" => Failure::Permanent("invalid_trace_id"),
        "InvalidName" => Failure::Permanent("invalid_name"),
        "InvalidSegment" => Failure::Permanent("invalid_segment"),
        code if code.contains("Throttl") || code.contains("Unavailable") || code.contains("Internal") => {
            Failure::Retryable("unprocessed")
        }
        _ => Failure::Permanent("unprocessed_other"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_outages_and_faults_of_identity_are_tried_again() {
        for (status, code) in [
            (429, "ThrottledException"),
            (400, "ThrottlingException"),
            (408, ""),
            (500, ""),
            (503, "ServiceUnavailable"),
            (403, "ExpiredTokenException"),
            (403, "UnrecognizedClientException"),
        ] {
            assert!(
                matches!(classify_service(status, code), Failure::Retryable(_)),
                "{status} {code}"
            );
        }
    }

    #[test]
    fn a_request_that_is_wrong_is_given_up_at_once() {
        assert_eq!(
            classify_service(400, "InvalidRequestException"),
            Failure::Permanent("invalid_request")
        );
        assert_eq!(classify_service(413, ""), Failure::Permanent("too_large"));
    }

    #[test]
    fn a_document_is_sent_again_only_when_it_may_be_taken() {
        assert_eq!(
            classify_unprocessed("InvalidName"),
            Failure::Permanent("invalid_name")
        );
        assert_eq!(
            classify_unprocessed("SomethingNew"),
            Failure::Permanent("unprocessed_other")
        );
        assert!(matches!(
            classify_unprocessed("ThrottledException"),
            Failure::Retryable(_)
        ));
    }
}
