//! `awsxray`: kept spans as segment documents to PutTraceSegments.
//!
//! Every document is followed to its end: a 200 answer may still name documents that X-Ray did not take
//! (`UnprocessedTraceSegments`), a throttled request is sent again, and what is given up is counted by its reason.
//!
//! `documents.rs` packs, `left_over.rs` makes requests leave full and some together, `pace.rs` says how fast they may go,
//! `call.rs` sends one, `failure.rs` says what a failed one means, `client.rs` makes what sends of what all exporters to AWS
//! share ([`super::aws`]). `telemetry.rs` tells X-Ray about all this, when it shall.

mod call;
mod client;
mod documents;
mod failure;
mod left_over;
mod pace;
mod telemetry;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use aws_sdk_xray::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_xray::types::UnprocessedTraceSegment;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tracepipe_config::{AwsXraySettings, RetrySettings};
use tracepipe_otlp::TraceOutline;
use tracepipe_otlp::view::{EachSpan, ResourceSpans};
use tracepipe_xray::{TraceTranslator, Translator};

use self::call::{CallError, Calls};
use self::documents::Documents;
use self::failure::{Failure, classify};
use self::left_over::{Burst, LeftOver};
use self::pace::{Gate, Refusal};
use self::telemetry::Telemetry;
use super::progress::Progress;
use super::retry::Backoff;
use crate::batcher::SpanBatch;
use crate::clock::Clock;
use crate::limiter::MemoryLimiter;
use crate::log_gate::LogGate;

/// Batches worked on at a time: while one waits for its next attempt, others go on. The requests of all of them
/// together are bounded by `num_workers`.
pub(crate) const BATCHES_IN_FLIGHT: u64 = 4;

/// While a request is on its way its documents lie in memory once more, in its body.
const COPIES_OF_A_CALL: u64 = 1;

/// Failed requests are logged this often at most.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A request that failed so often while others were taken is split, and at a single document given up: what makes it fail is
/// in it, and it must not take the place of others for ever. Neither an outage counts, in which nothing is taken, nor
/// throttling.
const FAILED_BESIDE_MAX: u32 = 6;

/// First pause after a request that failed alone, while others are taken. The pauses double.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest pause between two attempts.
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// The exporter.
pub(crate) struct XrayExporter {
    calls: Calls,
    translator: Translator,
    retry: RetrySettings,
    /// Requests that are translated and not yet at their end.
    requests: Semaphore,
    gate: Gate,
    left_over: LeftOver,
    /// Requests of which documents were taken.
    taken: Cell<u64>,
    /// A request that is refused whole is worth splitting: when that was done last, or since, something was taken.
    splits: Cell<bool>,
    limiter: MemoryLimiter,
    failures: LogGate,
    telemetry: Option<Telemetry>,
    clock: Clock,
}

// === impl XrayExporter ===

impl XrayExporter {
    /// Prepares the client; credentials are fetched when the first request is sent.
    ///
    /// # Errors
    /// When neither the configuration nor the environment names a region.
    pub(crate) async fn build(settings: &AwsXraySettings, limiter: MemoryLimiter) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let clients = client::clients(settings, clock).await?;
        let telemetry = settings.telemetry.as_ref().map(|telemetry| {
            let client = aws_sdk_xray::Client::from_conf(clients.sdk);
            Telemetry::of_this_node(client, telemetry)
        });
        Ok(Self {
            telemetry,
            ..Self::new(clients.calls, settings, limiter)
        })
    }

    fn new(calls: Calls, settings: &AwsXraySettings, limiter: MemoryLimiter) -> Self {
        let clock = Clock::start();
        Self {
            calls,
            limiter,
            failures: LogGate::new(FAILURE_LOG_INTERVAL),
            telemetry: None,
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
            // Credentials may have to be fetched as well.
            gate: Gate::new(clock, settings.request_timeout * 2),
            left_over: LeftOver::default(),
            taken: Cell::new(0),
            splits: Cell::new(true),
            clock,
        }
    }

    /// Translates a batch and sends its documents until each is taken or given up. No more documents than fit into
    /// `num_workers` requests, and one burst, exist at a time, over all batches: a request that waits for its next attempt
    /// holds up the translation of the next, and the queue takes what comes meanwhile.
    pub(crate) async fn export(&self, batch: &SpanBatch, progress: Progress) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.start(|| progress.queue());
        }
        let progress = RefCell::new(progress);
        let mut sending = FuturesUnordered::new();
        let mut burst = self
            .left_over
            .take_with(Burst::default(), &mut progress.borrow_mut());
        for trace in &batch.traces {
            let bytes = batch.spans_of(trace);
            let mut spans = EachSpan::of_walked(bytes);
            burst.make_room(trace.span_count);
            let outline = || TraceOutline::read(bytes, trace.is_whole);
            let mut translator = self.translator.begin(outline);
            let mut first = burst.last.0.len();
            while let Some(span) = spans.next() {
                translate(&mut translator, span, &mut burst.last, &progress);
                if burst.last.0.len() >= documents::DOCUMENTS_PER_REQUEST_MAX {
                    burst.last.order_from(std::mem::take(&mut first));
                    burst.cut();
                }
                for full in burst.take_full() {
                    self.send_when_there_is_room(full, &mut sending, &progress).await;
                }
            }
            burst.last.order_from(first);
        }
        loop {
            // Another batch may have left something meanwhile, and only one can.
            burst = self.left_over.take_with(burst, &mut progress.borrow_mut());
            let enough = burst.take_enough();
            if enough.is_empty() {
                break;
            }
            for request in enough {
                self.send_when_there_is_room(request, &mut sending, &progress)
                    .await;
            }
        }
        let rest = self.unless_taken(burst, &mut sending, &progress).await;
        for request in rest.into_iter().flat_map(Burst::into_requests) {
            self.send_when_there_is_room(request, &mut sending, &progress)
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

    /// Leaves the last documents of a batch to the next one, and works on those on their way meanwhile. Gives them back
    /// when they are not to wait, or nobody took them in time.
    async fn unless_taken(
        &self,
        burst: Burst,
        sending: &mut FuturesUnordered<LocalBoxFuture<'_, ()>>,
        progress: &RefCell<Progress>,
    ) -> Option<Burst> {
        let mut left = std::pin::pin!(self.left_over.leave(burst, progress, &self.limiter, self.clock));
        loop {
            tokio::select! {
                biased;
                given_back = &mut left => return given_back,
                Some(()) = sending.next(), if !sending.is_empty() => {}
            }
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
                    let held = self.limiter.hold(waiting.bytes());
                    sending.push(Box::pin(async move {
                        self.send(waiting, progress).await;
                        drop((permit, held));
                    }));
                }
                Some(()) = sending.next(), if !sending.is_empty() => documents = Some(waiting),
            }
        }
    }

    /// Sends documents until each is taken or given up.
    async fn send(&self, documents: Documents, progress: &RefCell<Progress>) {
        let begun = self.clock.now();
        let taken_before = self.taken.get();
        // What a request that is not taken whole is split into.
        let mut parts = vec![documents];
        let mut was_split = false;
        while let Some(mut documents) = parts.pop() {
            if let Some(half) = self.send_part(&mut documents, begun, progress).await {
                was_split = true;
                parts.push(half);
            }
            if !documents.0.is_empty() {
                parts.push(documents);
            }
        }
        if was_split && self.taken.get() == taken_before {
            // Not one of them: to split the next one as well would only ask more.
            self.splits.set(false);
        }
    }

    /// Sends documents, those that may still be taken again, until none is left. Gives half of them back, and keeps the
    /// other, when X-Ray says that some of them are wrong and not which.
    async fn send_part(
        &self,
        documents: &mut Documents,
        begun: Duration,
        progress: &RefCell<Progress>,
    ) -> Option<Documents> {
        let mut backoff = Backoff::new(&self.retry);
        let mut failed_beside = 0;
        let mut taken_then = self.taken.get();
        while !documents.0.is_empty() {
            let last_call = progress.borrow().last_call();
            let may_go = tokio::select! {
                may_go = self.pass_gate(begun) => may_go,
                () = last_call => true,
            };
            if !may_go {
                self.give_up(documents, "waiting", progress);
                break;
            }
            // What there is no room for is not to blame for it.
            let mut is_throttled = false;
            let (reason, is_alone) = match self.attempt(documents, progress).await {
                Ok(unprocessed) => {
                    let settled = documents.settle(&unprocessed, &mut progress.borrow_mut());
                    if settled.taken > 0 {
                        progress.borrow().request_taken();
                        self.taken.set(self.taken.get() + 1);
                        self.splits.set(true);
                    }
                    is_throttled = settled.throttled;
                    // Throttling is told of single documents as well.
                    let knows = if settled.again > settled.taken {
                        self.gate.refused(Refusal::Throttled)
                    } else {
                        self.gate.taken();
                        false
                    };
                    ("unprocessed", !knows)
                }
                Err(failure @ (Failure::Permanent(_) | Failure::OfSome(_))) => {
                    // It is an answer: there is somebody.
                    self.gate.answered();
                    let may_be_of_some = matches!(failure, Failure::OfSome(_)) && self.splits.get();
                    if may_be_of_some && let Some(half) = documents.split() {
                        return Some(half);
                    }
                    documents.lose(failure.reason(), &mut progress.borrow_mut());
                    break;
                }
                Err(Failure::Throttled) => {
                    is_throttled = true;
                    let knows = self.gate.refused(Refusal::Throttled);
                    (Failure::Throttled.reason(), !knows)
                }
                Err(Failure::Retryable(reason)) => (reason, !self.gate.refused(Refusal::Failed)),
            };
            if documents.0.is_empty() {
                break;
            }
            let Some(pause) = backoff.next(self.clock.now() - begun, None) else {
                self.give_up(documents, reason, progress);
                break;
            };
            let others_taken = self.taken.get() > taken_then;
            taken_then = self.taken.get();
            failed_beside += u32::from(others_taken && !is_throttled);
            if failed_beside >= FAILED_BESIDE_MAX {
                let half = documents.split();
                if half.is_none() {
                    self.give_up(documents, reason, progress);
                }
                return half;
            }
            // Else the gate says when to try again.
            if is_alone {
                let pause = progress.borrow().pause(pause);
                pause.await;
            }
        }
        None
    }

    /// Waits for the turn of a request that has waited since `begun`; false when it has waited too long.
    async fn pass_gate(&self, begun: Duration) -> bool {
        let longest = self.retry.max_elapsed_time;
        if longest.is_zero() {
            self.gate.pass().await;
            return true;
        }
        let left = (begun + longest).saturating_sub(self.clock.now());
        tokio::time::timeout(left, self.gate.pass()).await.is_ok()
    }

    fn give_up(&self, documents: &mut Documents, reason: &str, progress: &RefCell<Progress>) {
        tracing::error!(
            reason,
            documents = documents.0.len(),
            "documents were given up: X-Ray did not take them in time"
        );
        documents.lose("retries_exhausted", &mut progress.borrow_mut());
    }

    async fn attempt(
        &self,
        documents: &Documents,
        progress: &RefCell<Progress>,
    ) -> Result<Vec<UnprocessedTraceSegment>, Failure> {
        progress.borrow().requested();
        let _copies = self.limiter.hold(documents.bytes() * COPIES_OF_A_CALL);
        match self.calls.put(documents.to_body()).await {
            Ok(unprocessed) => Ok(unprocessed),
            Err(error) => {
                if let Some(telemetry) = &self.telemetry {
                    telemetry.failed(&error);
                }
                let failure = classify(&error);
                let code = error.as_service_error().and_then(|error| error.code());
                let is_refused = matches!(failure, Failure::Permanent(_) | Failure::OfSome(_));
                let code = code.unwrap_or_default();
                if is_refused {
                    progress.borrow().request_refused(failure.reason(), code);
                } else {
                    progress.borrow().request_failed(failure.reason(), code);
                }
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
fn log_failure(failure: Failure, error: &CallError) {
    let reason = failure.reason();
    let status = error.raw_response().map(|response| response.status().as_u16());
    let service = error.as_service_error();
    tracing::warn!(
        reason,
        status,
        code = service.and_then(|error| error.code()),
        request_id = service.and_then(|error| error.meta().extra("aws_request_id")),
        cause = connection_fault(error),
        "PutTraceSegments failed (said once in {} s at most; see tracepipe_exporter_requests_failed_total)",
        FAILURE_LOG_INTERVAL.as_secs()
    );
}

/// What went wrong before there was an answer: a name that is not known, a certificate that is not trusted. It speaks of
/// addresses, never of what was sent.
fn connection_fault(error: &CallError) -> Option<String> {
    let SdkError::DispatchFailure(failure) = error else {
        return None;
    };
    let connector = failure.as_connector_error().filter(|error| error.is_io())?;
    let mut innermost: &dyn std::error::Error = connector;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Some(innermost.to_string())
}

#[cfg(test)]
mod tests;
