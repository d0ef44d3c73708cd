//! `batch` of the metrics pipeline: requests become batches, and resources are edited on the way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracepipe_config::BatchSettings;
use tracepipe_otlp::edit::{ResourceEdit, edit_metrics, growth_max};
use tracepipe_otlp::metrics::{Counted, PartBounds, Parts, check};

use super::inlet::MetricsRequest;
use crate::account::Signal;
use crate::batcher::Batch;
use crate::limiter::{Held, MemoryLimiter, Reservation};

/// A batch is full at this size whatever `batch` says: OTLP servers take 4 MiB by default (gRPC's default), and what
/// is being filled must have a bound.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes that the pieces of one request may repeat of what stands around data points, beside eight times its own: a request
/// of 64 KiB of such fields may be cut a thousand times. What would need more is lost and counted, since a request of some
/// megabytes could be made into gigabytes otherwise.
const REPEATED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the exporters share: whole requests, as they came or with edited resources, and pieces of such as
/// `send_batch_max_size` cut. They lie where they were written: a batch is never copied together.
#[derive(Debug, Default)]
pub struct MetricsBatch {
    requests: Vec<Request>,
    /// What is in all of them.
    pub resources: u64,
    /// Metrics, those without data points included.
    pub metrics: u64,
    /// Data points.
    pub points: u64,
    /// Bytes that its requests hold, which may be some more than are sent.
    bytes: u64,
}

/// One request of a batch.
#[derive(Debug)]
struct Request {
    bytes: Bytes,
    points: u64,
    _place: Place,
}

/// In the memory account.
#[derive(Debug)]
enum Place {
    /// Of the request itself.
    Whole(#[expect(dead_code, reason = "holds until it is dropped")] Reservation),
    /// Of a piece, beside the request.
    Piece(#[expect(dead_code, reason = "holds until it is dropped")] Held),
}

/// A request on its way into batches, its resources edited.
#[derive(Debug)]
pub struct EditedRequest {
    bytes: Bytes,
    counted: Counted,
    since: Duration,
    /// Until the request lies in a batch as a whole; while pieces of it are made it is here.
    reservation: Option<Reservation>,
}

/// What of a request is in no batch yet.
#[derive(Debug)]
pub struct Rest<'r> {
    request: &'r Bytes,
    counted: &'r Counted,
    since: Duration,
    reservation: &'r mut Option<Reservation>,
    /// Data points to come.
    points: u64,
    /// From the first cut on.
    parts: Option<Parts<'r>>,
    /// Made, and no room for its bytes.
    piece: Option<(Bytes, Counted)>,
    lost: u64,
}

/// Collects requests until a batch is due. A request is split only where a batch would have more data points than
/// `send_batch_max_size`.
pub struct MetricsBatcher {
    timeout: Duration,
    /// In data points. Zero: no such bound.
    send_batch_size: u64,
    send_batch_max_size: u64,
    edits: Vec<ResourceEdit>,
    limiter: MemoryLimiter,
    filling: MetricsBatch,
    /// When the batch that is being filled must go.
    due: Option<Duration>,
}

// === impl MetricsBatch ===

impl Batch for MetricsBatch {
    const SIGNAL: Signal = Signal::Metrics;

    fn items(&self) -> u64 {
        self.points
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn pieces(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.requests.iter().map(|request| &request.bytes)
    }
}

impl MetricsBatch {
    /// Its requests, each with the number of its data points.
    pub fn requests(&self) -> impl Iterator<Item = (&Bytes, u64)> {
        self.requests
            .iter()
            .map(|request| (&request.bytes, request.points))
    }

    fn add(&mut self, bytes: Bytes, counted: &Counted, (held, place): (u64, Place)) {
        self.resources += counted.resources;
        self.metrics += counted.metrics;
        self.points += counted.points;
        self.bytes += held;
        self.requests.push(Request {
            bytes,
            points: counted.points,
            _place: place,
        });
    }
}

// === impl MetricsBatcher ===

impl MetricsBatcher {
    /// An empty batcher. Without `batch` each request is a batch.
    pub fn new(batch: Option<&BatchSettings>, edits: Vec<ResourceEdit>, limiter: MemoryLimiter) -> Self {
        Self {
            timeout: batch.map_or(Duration::ZERO, |batch| batch.timeout),
            send_batch_size: batch.map_or(1, |batch| batch.send_batch_size),
            send_batch_max_size: batch.map_or(0, |batch| batch.send_batch_max_size),
            edits,
            limiter,
            filling: MetricsBatch::default(),
            due: None,
        }
    }

    /// When [`Self::take`] must be called at the latest.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// The request as it will lie in batches.
    pub fn edit(&self, request: MetricsRequest) -> EditedRequest {
        let (bytes, counted, since, reservation) = request.leave_channel();
        let (bytes, reservation) = self.edited(bytes, &counted, reservation);
        EditedRequest {
            bytes,
            counted,
            since,
            reservation: Some(reservation),
        }
    }

    /// Adds of a request what the batch that is being filled has room for. Gives a batch that is full: to be called until it
    /// gives none, then nothing of the request is left. So no more than one piece of it is made before the one before has
    /// found its place in the queues.
    pub fn fill(&mut self, rest: &mut Rest<'_>) -> Option<Arc<MetricsBatch>> {
        while rest.points > 0 {
            let room = match self.send_batch_max_size {
                0 => u64::MAX,
                // A batch that is full is never left here.
                max => max.saturating_sub(self.filling.points).max(1),
            };
            if !rest.has_fit_whole(room) && !rest.has_piece(room) {
                return None;
            }
            let bytes = rest.next_bytes();
            if self.filling.points > 0 && self.filling.bytes + bytes > BATCH_BYTES_MAX {
                return self.take();
            }
            self.due.get_or_insert(rest.since + self.timeout);
            rest.put_into(&mut self.filling, &self.limiter);
            if self.is_full() {
                return self.take();
            }
        }
        None
    }

    fn is_full(&self) -> bool {
        let has = |size: u64| size > 0 && self.filling.points >= size;
        has(self.send_batch_size) || has(self.send_batch_max_size) || self.filling.bytes >= BATCH_BYTES_MAX
    }

    /// The batch as it is; none when it is empty.
    pub fn take(&mut self) -> Option<Arc<MetricsBatch>> {
        self.due = None;
        let filled = std::mem::take(&mut self.filling);
        (filled.points > 0).then(|| Arc::new(filled))
    }

    /// The request with its resources edited. The reservation has room for what is added; the new bytes are held beside it
    /// while the old ones are there.
    fn edited(
        &self,
        request: Bytes,
        counted: &Counted,
        mut reservation: Reservation,
    ) -> (Bytes, Reservation) {
        if self.edits.is_empty() {
            return (request, reservation);
        }
        let most = request.len() + growth_max(counted.resources, &self.edits) as usize;
        let _both = self.limiter.hold(most as u64);
        let mut edited = Vec::with_capacity(most);
        edit_metrics(&request, &self.edits, &mut edited);
        drop(request);
        edited.shrink_to_fit();
        reservation.shrink_to(edited.capacity() as u64);
        (edited.into(), reservation)
    }
}

// === impl EditedRequest ===

impl EditedRequest {
    /// All of it, for [`MetricsBatcher::fill`].
    pub fn rest(&mut self) -> Rest<'_> {
        Rest {
            request: &self.bytes,
            counted: &self.counted,
            since: self.since,
            reservation: &mut self.reservation,
            points: self.counted.points,
            parts: None,
            piece: None,
            lost: 0,
        }
    }
}

// === impl Rest ===

impl<'r> Rest<'r> {
    /// Data points that are in no batch, because the pieces would have repeated too much.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// It goes as it is.
    fn has_fit_whole(&self, room: u64) -> bool {
        self.parts.is_none() && self.points <= room
    }

    /// The next piece, of so many data points if there are as many and they are no more than a batch takes, is made.
    fn has_piece(&mut self, room: u64) -> bool {
        if self.piece.is_some() {
            return true;
        }
        let request: &'r Bytes = self.request;
        let parts = self.parts.get_or_insert_with(|| {
            let bounds = PartBounds {
                bytes_max: usize::MAX,
                spread_max: usize::MAX,
                around_max: usize::MAX,
                repeated_max: REPEATED_BYTES_MAX + 8 * request.len(),
            };
            Parts::new(request, bounds)
        });
        let (mut piece, mut points) = (Vec::new(), 0);
        // Each part repeats its resource: few points may be many bytes.
        while points < room.min(self.points)
            && (piece.len() as u64) < BATCH_BYTES_MAX
            && let Some(part) = parts.next_part_of(room - points)
        {
            points += check(part).map_or(0, |counted| counted.points);
            piece.extend_from_slice(part);
        }
        piece.shrink_to_fit();
        match check(&piece) {
            Ok(counted) if counted.points > 0 => {
                self.piece = Some((piece.into(), counted));
                true
            }
            // What is left was passed over.
            Ok(_) | Err(_) => {
                self.lost = std::mem::take(&mut self.points);
                false
            }
        }
    }

    /// Of the piece, or of the whole.
    fn next_bytes(&self) -> u64 {
        match &self.piece {
            Some((piece, _)) => piece.len() as u64,
            None => self.reservation.as_ref().map_or(0, Reservation::bytes),
        }
    }

    fn put_into(&mut self, batch: &mut MetricsBatch, limiter: &MemoryLimiter) {
        if let Some((piece, counted)) = self.piece.take() {
            self.points = self.points.saturating_sub(counted.points);
            let held = piece.len() as u64;
            let place = Place::Piece(limiter.hold(held));
            batch.add(piece, &counted, (held, place));
        } else if let Some(reservation) = self.reservation.take() {
            self.points = 0;
            let held = reservation.bytes();
            batch.add(
                self.request.clone(),
                self.counted,
                (held, Place::Whole(reservation)),
            );
        }
    }
}

#[cfg(test)]
mod tests;
