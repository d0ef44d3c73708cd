//! Sends the requests of a plan at their times and writes down what became of each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::bench::link::{Answer, Link};
use crate::bench::pace::{Alarm, Plan};
use crate::bench::payload::Payload;
use crate::clock;

/// The usual limit of bytes on the way at a time. More means that the collector stands still, and the generator has a
/// limit too.
pub const IN_FLIGHT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One request. Times in microseconds from the run's epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record {
    /// When it was due.
    pub due: u32,
    /// When its ids and times were written and it went to the connection.
    pub sent: u32,
    /// When the answer was there.
    pub answered: u32,
    /// The answer.
    pub answer: Answer,
}

impl Record {
    /// From due to answered, in microseconds.
    pub fn latency(&self) -> u32 {
        self.answered.saturating_sub(self.due)
    }
}

/// The requests of a load.
pub trait Requests {
    /// Bytes of each, before compression; of some of several sizes, the most.
    fn bytes_per_request(&self) -> usize;

    /// Request `number` at the wall-clock time `unix_nano`.
    ///
    /// # Errors
    /// When it cannot be compressed.
    fn request(&self, number: u64, unix_nano: u64) -> std::io::Result<Bytes>;
}

/// What one generator sends.
#[derive(Debug)]
pub struct Lane<P = Payload> {
    /// What.
    pub payload: P,
    /// When, from `start`.
    pub plan: Plan,
    /// When the plan begins, from the run's epoch.
    pub start: Duration,
    /// Requests that are due while so many bytes are on the way are not sent.
    pub in_flight_bytes_max: usize,
}

/// The requests of a lane so far, shared with whoever watches.
#[derive(Debug, Clone, Default)]
pub struct Records(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    records: Mutex<Vec<Record>>,
    in_flight: AtomicUsize,
    done: Notify,
}

impl Records {
    /// Looks at them; do not wait while you do.
    pub fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the requests without an answer.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    fn begin(&self, due: Duration, sent: Duration, answer: Answer) -> usize {
        let mut records = self.lock();
        records.push(Record {
            due: micros(due),
            sent: micros(sent),
            answered: micros(sent),
            answer,
        });
        records.len() - 1
    }

    fn finish(&self, index: usize, answered: Duration, answer: Answer, bytes: usize) {
        if let Some(record) = self.lock().get_mut(index) {
            record.answered = micros(answered);
            record.answer = answer;
        }
        self.0.in_flight.fetch_sub(bytes, Ordering::Relaxed);
        self.0.done.notify_one();
    }

    async fn all_answered(&self) {
        while self.in_flight() > 0 {
            self.0.done.notified().await;
        }
    }
}

/// Sends the whole plan over `links` in turn, until `stop` says so, and waits for the answers.
///
/// # Errors
/// When the alarm does not work or a request cannot be made.
pub async fn run<P: Requests>(
    lane: &Lane<P>,
    links: &[Link],
    epoch: Instant,
    records: &Records,
    stop: impl Fn(&Records) -> bool,
) -> anyhow::Result<()> {
    let alarm = Alarm::new()?;
    let bytes = lane.payload.bytes_per_request();
    let mut turn = links.iter().cycle();
    for number in 0..lane.plan.requests() {
        let due = lane.start + lane.plan.due(number);
        alarm.until(epoch + due).await?;
        if stop(records) {
            break;
        }
        let sent = clock::now().saturating_duration_since(epoch);
        if records.in_flight() >= lane.in_flight_bytes_max {
            records.begin(due, sent, Answer::Unsent);
            continue;
        }
        let Some(link) = turn.next() else {
            anyhow::bail!("a generator without a connection");
        };
        let body = lane.payload.request(number, clock::unix_nanos())?;
        let index = records.begin(due, sent, Answer::Waiting);
        records.0.in_flight.fetch_add(bytes, Ordering::Relaxed);
        let exchange = link.send(body);
        let records = records.clone();
        tokio::spawn(async move {
            let answer = exchange.await;
            let answered = clock::now().saturating_duration_since(epoch);
            records.finish(index, answered, answer, bytes);
        });
    }
    records.all_answered().await;
    Ok(())
}

/// Saturates after 71 minutes; no load is that long.
fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
