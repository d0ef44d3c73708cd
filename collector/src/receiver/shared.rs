//! What every connection of a server needs, and the way of a request from its body to the ingest owner.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracepipe_otlp::metrics::{self, Counted};
use tracepipe_otlp::walk::RequestWalk;

use super::Owners;
use super::body::Admitted;
use super::inflate::{Bounds, Inflater};
use super::message::{Decoded, Message};
use super::peer::Peer;
use super::rejection::Rejection;
use crate::account::{Outcome, Signal, Transport};
use crate::clock::Clock;
use crate::ingest::{Accepted, Placing, SharedIngest, Walker};
use crate::limiter::MemoryLimiter;
use crate::metrics::SharedInlet;

/// A request of up to this many bytes, inflated, is worked on at a stretch: some milliseconds. A longer one would hold
/// up all others, decisions and the health port; it is inflated, transcoded and walked on a thread aside.
const AT_A_STRETCH_BYTES_MAX: u64 = 1024 * 1024;

/// Spans of a long request that are placed at a stretch.
const AT_A_STRETCH_SPANS_MAX: usize = 2048;

/// What every connection of a server needs.
pub(super) struct Shared {
    pub(super) transport: Transport,
    pub(super) ingest: SharedIngest,
    /// There is a pipeline for what the ingest owner takes.
    pub(super) takes_traces: bool,
    /// Where requests with metrics go, if there is a pipeline for them.
    pub(super) metrics: Option<SharedInlet>,
    pub(super) limiter: MemoryLimiter,
    pub(super) clock: Clock,
    pub(super) max_request_bytes: u64,
    pub(super) traces_path: String,
    pub(super) metrics_path: String,
    inflater: Inflater,
    /// Long requests. They are taken to their end, whatever becomes of their connection.
    aside: RefCell<JoinSet<()>>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(
        transport: Transport,
        settings: &tracepipe_config::OtlpServerSettings,
        owners: Owners,
        limiter: MemoryLimiter,
    ) -> Self {
        let Owners {
            ingest,
            takes_traces,
            metrics,
        } = owners;
        let clock = ingest.borrow().clock();
        Self {
            transport,
            clock,
            ingest,
            takes_traces,
            metrics,
            limiter,
            max_request_bytes: settings.max_request_bytes,
            traces_path: settings.traces_url_path.clone(),
            metrics_path: settings.metrics_url_path.clone(),
            inflater: Inflater::default(),
            aside: RefCell::default(),
        }
    }

    /// Waits for long requests whose connections are gone.
    pub(super) async fn finish(&self) {
        let mut aside = self.aside.take();
        while aside.join_next().await.is_some() {}
    }

    /// Hands a request that has been read to its owner and accounts for it.
    async fn take(
        self: &Rc<Self>,
        signal: Signal,
        wire_bytes: u64,
        read: Result<Message, Rejection>,
    ) -> Result<Accepted, Rejection> {
        let bounds = self.bounds(AT_A_STRETCH_BYTES_MAX);
        match read.and_then(|message| message.decode(&self.inflater, bounds, &self.limiter)) {
            Ok(Decoded::Whole(signal, admitted)) => {
                let taken = self.take_short(signal, admitted);
                self.account(signal, wire_bytes, &taken);
                taken
            }
            Ok(Decoded::TooLongHere(message)) => self.take_aside(signal, wire_bytes, message).await,
            Err(rejection) => {
                let refused = Err(rejection);
                self.account(signal, wire_bytes, &refused);
                refused
            }
        }
    }

    fn take_short(&self, signal: Signal, mut admitted: Admitted) -> Result<Accepted, Rejection> {
        match signal {
            Signal::Traces => {
                // The walk notes where each span lies: of nearly empty ones that is more than the spans themselves.
                let room = RequestWalk::room_for(&admitted.bytes);
                admitted.reservation.grow(room as u64)?;
                Ok(self.ingest.borrow_mut().accept(&admitted.bytes)?)
            }
            Signal::Metrics => {
                let counted = count(&admitted)?;
                self.take_metrics(admitted, counted)
            }
        }
    }

    /// Hands checked metrics to their owner. All that is said to the sender is said of spans; nothing is said here.
    fn take_metrics(&self, admitted: Admitted, counted: Counted) -> Result<Accepted, Rejection> {
        let Some(metrics) = &self.metrics else {
            return Err(Rejection::NoPipeline { signal: "metrics" });
        };
        metrics.take(admitted.bytes, counted, admitted.reservation)?;
        Ok(Accepted::default())
    }

    /// As [`Self::take`] for a long request: in a task of its own, which goes on when the sender is gone.
    async fn take_aside(
        self: &Rc<Self>,
        signal: Signal,
        wire_bytes: u64,
        message: Message,
    ) -> Result<Accepted, Rejection> {
        let (answer, answered) = oneshot::channel();
        let shared = Rc::clone(self);
        let task = async move {
            let taken = shared.take_long(message).await;
            shared.account(signal, wire_bytes, &taken);
            // The sender may be gone.
            drop(answer.send(taken));
        };
        {
            let mut aside = self.aside.borrow_mut();
            while aside.try_join_next().is_some() {}
            aside.spawn_local(task);
        }
        // Without an answer the process goes down.
        answered.await.unwrap_or(Err(Rejection::BrokenOff))
    }

    async fn take_long(&self, message: Message) -> Result<Accepted, Rejection> {
        let (bounds, limiter) = (self.bounds(u64::MAX), self.limiter.clone());
        let walker = self.ingest.borrow().walker();
        let aside = tokio::task::spawn_blocking(move || prepare(message, bounds, &limiter, walker));
        let prepared = aside
            .await
            .map_err(|_panicked| Rejection::Malformed("the collector failed on this request".into()))??;
        match prepared {
            Prepared::Traces(admitted, walk) => self.place(admitted, walk).await,
            Prepared::Metrics(admitted, counted) => self.take_metrics(admitted, counted),
        }
    }

    async fn place(&self, mut admitted: Admitted, walk: RequestWalk) -> Result<Accepted, Rejection> {
        // The store will hold what the request holds, before the request is gone.
        let mut twice = admitted.bytes.len() as u64;
        admitted.reservation.grow(twice)?;
        let mut placing = Placing::default();
        let spans = walk.spans().len().max(1) as u64;
        loop {
            let taken = self.ingest.borrow_mut().accept_some(
                &mut placing,
                &walk,
                &admitted.bytes,
                AT_A_STRETCH_SPANS_MAX,
            )?;
            if let Some(accepted) = taken {
                return Ok(accepted);
            }
            let placed = (admitted.bytes.len() as u64 * AT_A_STRETCH_SPANS_MAX as u64 / spans).min(twice);
            admitted.reservation.shrink(placed);
            twice -= placed;
            tokio::task::yield_now().await;
        }
    }

    fn bounds(&self, here_max: u64) -> Bounds {
        Bounds {
            max_bytes: self.max_request_bytes,
            here_max,
        }
    }

    fn account(&self, signal: Signal, wire_bytes: u64, taken: &Result<Accepted, Rejection>) {
        let outcome = match taken {
            Ok(_) => Outcome::Accepted,
            Err(rejection) => rejection.outcome(),
        };
        if signal == Signal::Metrics
            && let Some(metrics) = &self.metrics
        {
            let mut account = metrics.account.borrow_mut();
            account.count(self.transport, wire_bytes, outcome);
            return;
        }
        let account = &mut self.ingest.borrow_mut().account;
        account.receive(self.transport, wire_bytes);
        account.finish(self.transport, wire_bytes, outcome);
    }
}

/// A long request, ready for its owner.
enum Prepared {
    Traces(Admitted, RequestWalk),
    Metrics(Admitted, Counted),
}

/// All that can be done to a long request without its owner.
fn prepare(
    message: Message,
    bounds: Bounds,
    limiter: &MemoryLimiter,
    walker: Walker,
) -> Result<Prepared, Rejection> {
    let (signal, mut admitted) = match message.decode(&Inflater::default(), bounds, limiter)? {
        Decoded::Whole(signal, admitted) => (signal, admitted),
        // There is no such bound here.
        Decoded::TooLongHere(message) => (message.signal, message.admitted),
    };
    match signal {
        Signal::Traces => {
            let room = RequestWalk::room_for(&admitted.bytes);
            admitted.reservation.grow(room as u64)?;
            let walk = walker
                .walk(&admitted.bytes)
                .map_err(|error| Rejection::Malformed(error.to_string()))?;
            Ok(Prepared::Traces(admitted, walk))
        }
        Signal::Metrics => {
            let counted = count(&admitted)?;
            Ok(Prepared::Metrics(admitted, counted))
        }
    }
}

fn count(admitted: &Admitted) -> Result<Counted, Rejection> {
    metrics::check(&admitted.bytes).map_err(|error| Rejection::Malformed(error.to_string()))
}

/// A request that is being read. When its sender resets the stream or the connection breaks, hyper drops what reads
/// it, at any point: then it is accounted for here.
pub(super) struct Reading<'a> {
    peer: &'a Peer,
    /// How many bytes came from the wire so far.
    wire_bytes: Cell<u64>,
    /// As far as is known: whose account it is of.
    signal: Cell<Signal>,
    is_over: Cell<bool>,
}

// === impl Reading ===

impl<'a> Reading<'a> {
    pub(super) fn begin(peer: &'a Peer) -> Self {
        peer.begin();
        Self {
            peer,
            wire_bytes: Cell::new(0),
            signal: Cell::new(Signal::Traces),
            is_over: Cell::new(false),
        }
    }

    /// It turns out to carry this.
    pub(super) fn carries(&self, signal: Signal) {
        self.signal.set(signal);
    }

    /// Bytes came from the wire.
    pub(super) fn came(&self, bytes: u64) {
        self.wire_bytes.set(self.wire_bytes.get() + bytes);
        self.peer.taken(bytes);
    }

    /// How many bytes came from the wire so far.
    pub(super) fn wire_bytes(&self) -> u64 {
        self.wire_bytes.get()
    }

    /// Takes what was read to the ingest owner.
    pub(super) async fn end(self, read: Result<Message, Rejection>) -> Result<Accepted, Rejection> {
        self.is_over.set(true);
        let (signal, wire_bytes) = (self.signal.get(), self.wire_bytes.get());
        self.peer.shared.take(signal, wire_bytes, read).await
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.peer.end();
        if !self.is_over.get() {
            let (signal, wire_bytes) = (self.signal.get(), self.wire_bytes.get());
            let shared = &self.peer.shared;
            shared.account(signal, wire_bytes, &Err(Rejection::BrokenOff));
        }
    }
}
