//! The thread that writes decisions, and what it has to tell.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::record::{RECORD_BYTES, Record};
use super::{DecisionLog, Place, Restored};
use crate::limiter::Held;

/// Batches that wait to be written. A disk that is slower than this loses records, and they are counted.
const BATCHES_WAITING_MAX: usize = 4;

/// After a failure so many batches, each of a second, pass before the disk is tried again.
const BATCHES_TO_SKIP: u32 = 60;

/// Decisions and their place in the memory account.
type Batch = (Vec<Record>, Held);

/// Writes decisions away from the ingest owner.
#[derive(Debug)]
pub struct DecisionWriter {
    batches: SyncSender<Batch>,
    /// Says nothing, and closes when the thread ends.
    ended: Receiver<Infallible>,
    figures: Arc<LogCounters>,
}

/// What there is to say about the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogFigures {
    /// Decisions read at start.
    pub restored: u64,
    /// Bytes that could not be read at start.
    pub unreadable_bytes: u64,
    /// Decisions written.
    pub written: u64,
    /// Decisions that were not written: the disk failed or was too slow.
    pub not_written: u64,
    /// How often the disk failed.
    pub failures: u64,
}

/// Counts while the thread runs and after.
#[derive(Debug, Default)]
pub struct LogCounters {
    restored: Restored,
    written: AtomicU64,
    not_written: AtomicU64,
    failures: AtomicU64,
}

/// What the thread works with.
struct Writer {
    log: DecisionLog,
    /// The newest file, whether it can be written to or not.
    place: Option<Place>,
    file: Option<File>,
    /// Batches to pass before the disk is tried again.
    to_skip: u32,
    has_warned: bool,
    figures: Arc<LogCounters>,
}

// === impl LogCounters ===

impl LogCounters {
    /// The figures now.
    pub fn read(&self) -> LogFigures {
        LogFigures {
            restored: self.restored.decisions,
            unreadable_bytes: self.restored.unreadable_bytes,
            written: self.written.load(Relaxed),
            not_written: self.not_written.load(Relaxed),
            failures: self.failures.load(Relaxed),
        }
    }
}

// === impl DecisionWriter ===

impl DecisionWriter {
    pub(super) fn start(log: DecisionLog, place: Option<Place>, restored: Restored) -> io::Result<Self> {
        let figures = Arc::new(LogCounters {
            restored,
            ..LogCounters::default()
        });
        let mut writer = Writer {
            log,
            place,
            file: None,
            to_skip: 0,
            has_warned: false,
            figures: Arc::clone(&figures),
        };
        let (batches, written) = sync_channel(BATCHES_WAITING_MAX);
        let (runs, ended) = sync_channel(0);
        std::thread::Builder::new()
            .name("decisions".into())
            .spawn(move || {
                let _runs = runs;
                writer.run(&written);
            })?;
        Ok(Self {
            batches,
            ended,
            figures,
        })
    }

    /// Hands over decisions, oldest first. Does not wait: what the disk is too slow for is counted.
    pub fn write(&self, decisions: Vec<Record>, held: Held) {
        let count = decisions.len() as u64;
        if count > 0 && self.batches.try_send((decisions, held)).is_err() {
            self.figures.not_written.fetch_add(count, Relaxed);
        }
    }

    /// What there is to say: to be read at any time.
    pub fn counters(&self) -> &Arc<LogCounters> {
        &self.figures
    }

    /// Waits until all that was handed over is written, for `time` at most.
    pub fn finish(self, time: Duration) {
        drop(self.batches);
        if self.ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the disk hangs: the last decisions are not written");
        }
    }
}

// === impl Writer ===

impl Writer {
    fn run(&mut self, batches: &Receiver<Batch>) {
        while let Ok((decisions, _held)) = batches.recv() {
            let count = decisions.len() as u64;
            if self.to_skip > 0 {
                self.to_skip -= 1;
                self.figures.not_written.fetch_add(count, Relaxed);
                continue;
            }
            match self.write(&decisions) {
                Ok(()) => {
                    self.figures.written.fetch_add(count, Relaxed);
                }
                Err(error) => self.fail(&error, count),
            }
        }
    }

    fn write(&mut self, decisions: &[Record]) -> io::Result<()> {
        for decision in decisions.chunks(BLOCK_RECORDS) {
            self.write_block(decision)?;
        }
        Ok(())
    }

    fn write_block(&mut self, decisions: &[Record]) -> io::Result<()> {
        let mut decisions = decisions;
        while !decisions.is_empty() {
            let (file, place) = self.file_with_room()?;
            let room = usize::try_from(place.1).unwrap_or(usize::MAX);
            let (now, later) = decisions.split_at(decisions.len().min(room));
            let mut bytes = Vec::with_capacity(now.len() * RECORD_BYTES);
            for decision in now {
                bytes.extend_from_slice(&decision.to_bytes(place.0));
            }
            file.write_all(&bytes)?;
            if let Some(place) = &mut self.place {
                place.records += now.len() as u64;
            }
            decisions = later;
        }
        Ok(())
    }

    /// The file to write to; its generation, and how many records it has room for, at least one.
    fn file_with_room(&mut self) -> io::Result<(&mut File, (u64, u64))> {
        let records_max = self.log.records_max;
        let (file, place) = match (self.file.take(), self.place.take()) {
            (Some(file), Some(place)) if place.records < records_max => (file, place),
            // At start the newest file goes on, if there is room behind what is good in it.
            (None, Some(place))
                if place.records < records_max && self.figures.failures.load(Relaxed) == 0 =>
            {
                match self.log.append_to(&place) {
                    Ok(file) => (file, place),
                    Err(error) => {
                        self.place = Some(place);
                        return Err(error);
                    }
                }
            }
            // Behind a failure there may be half a record: the other file takes over.
            (_, place) => match self.log.begin_after(place.as_ref()) {
                Ok(begun) => begun,
                Err(error) => {
                    self.place = place;
                    return Err(error);
                }
            },
        };
        let room = (place.generation, records_max - place.records);
        self.place = Some(place);
        Ok((self.file.insert(file), room))
    }

    fn fail(&mut self, error: &io::Error, count: u64) {
        self.file = None;
        self.to_skip = BATCHES_TO_SKIP;
        self.figures.failures.fetch_add(1, Relaxed);
        self.figures.not_written.fetch_add(count, Relaxed);
        if !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!(
                %error,
                folder = %self.log.folder.display(),
                "decisions cannot be written: they are remembered until this process ends, and no longer"
            );
        }
    }
}

/// Records that are encoded at a time: 64 KiB.
const BLOCK_RECORDS: usize = 4096;
