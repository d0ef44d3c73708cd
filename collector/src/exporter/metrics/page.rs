//! The page of the `prometheus` exporter on its way out: made piece by piece as it is taken, so that it is never whole in
//! memory.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracepipe_metrics::scrape::{Format, Page, Registry};

use super::translated::unix_now;
use crate::limiter::{Held, MemoryLimiter, Reservation};

/// What is written at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// What the compressor holds (less than 320 KiB), the piece that is being made and what waits for the socket (below 300 KiB,
/// with the longest labels that there may be), and a histogram that is too long for a piece (below 550 KiB).
const PAGE_BYTES: u64 = 1280 * 1024;

/// Pages that are written at a time. Two Prometheus servers and a person are three.
const PAGES_MAX: usize = 8;

/// The body of an answer.
pub(super) enum PageBody {
    /// A sentence.
    Text(Option<&'static str>),
    /// The page.
    Page(Box<Pieces>),
}

pub(super) struct Pieces {
    registry: Rc<RefCell<Registry>>,
    page: Page,
    /// None when nothing is compressed, or all is written.
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// Used again and again.
    text: Vec<u8>,
    is_over: bool,
    _room: Room,
}

/// Where pages get their memory.
pub(super) struct Rooms {
    limiter: MemoryLimiter,
    free: Arc<Semaphore>,
}

/// The memory of one page, given back when dropped.
pub(super) struct Room {
    _place: OwnedSemaphorePermit,
    _memory: Memory,
}

#[expect(dead_code, reason = "given back when dropped")]
enum Memory {
    Held(Held),
    Reserved(Reservation),
}

// === impl Rooms ===

impl Rooms {
    pub(super) fn new(limiter: &MemoryLimiter) -> Self {
        Self {
            limiter: limiter.clone(),
            free: Arc::new(Semaphore::new(PAGES_MAX)),
        }
    }

    /// Room for a page; none if too many are being written, or if there is no memory for another one. One at a time is
    /// never refused for memory: what happens while it is short is what is looked for.
    pub(super) fn take(&self) -> Option<Room> {
        let is_first = self.free.available_permits() == PAGES_MAX;
        let place = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let memory = if is_first {
            Memory::Held(self.limiter.hold(PAGE_BYTES))
        } else {
            Memory::Reserved(self.limiter.try_reserve(PAGE_BYTES).ok()?)
        };
        Some(Room {
            _place: place,
            _memory: memory,
        })
    }
}

// === impl PageBody ===

impl PageBody {
    /// The page as it is now.
    pub(super) fn new(registry: Rc<RefCell<Registry>>, format: Format, is_gzip: bool, room: Room) -> Self {
        Self::Page(Box::new(Pieces {
            registry,
            page: Page::new(format),
            gzip: is_gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
            text: Vec::new(),
            is_over: false,
            _room: room,
        }))
    }

    /// A sentence for a person.
    pub(super) fn of(text: &'static str) -> Self {
        Self::Text(Some(text))
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Text(text) => text.take().map(|text| Bytes::from_static(text.as_bytes())),
            Self::Page(pieces) => pieces.next(),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}

// === impl Pieces ===

impl Pieces {
    fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            self.text.clear();
            let registry = self.registry.borrow();
            self.is_over = !registry.write_some(&mut self.page, unix_now(), PIECE_BYTES, &mut self.text);
            drop(registry);
            let piece = self.compressed();
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    }

    /// What goes out of what was written: with gzip now and then nothing, at the end the rest.
    fn compressed(&mut self) -> Bytes {
        let Some(mut gzip) = self.gzip.take() else {
            return Bytes::from(std::mem::take(&mut self.text));
        };
        // A vector takes everything.
        if self.is_over {
            return gzip.finish().unwrap_or_default().into();
        }
        drop(gzip.write_all(&self.text));
        let ready = std::mem::take(gzip.get_mut());
        self.gzip = Some(gzip);
        ready.into()
    }
}
