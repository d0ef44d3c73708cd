//! Chunks of runs.

use super::context::ContextId;
use super::slots::Slots;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RunRef {
    chunk: u32,
    offset: u32,
}

/// What a run's header says, and its records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) context: ContextId,
    /// Meaningless in the last run of a chain.
    pub(super) next: RunRef,
    pub(super) records: &'a [u8],
}

/// Append-only blocks of bytes. New runs go to the current one; the others are sealed.
#[derive(Debug)]
pub(super) struct Chunks {
    chunk_bytes: usize,
    chunks: Slots<Chunk>,
    current: Option<u32>,
    /// Capacities of all chunks.
    allocated: usize,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    /// How many runs are not released.
    runs: u32,
}

/// Four numbers of 32 bits: chunk and offset of the next run, the context, the length of the records.
const HEADER_BYTES: usize = 16;
const CONTEXT_AT: usize = 8;
const LENGTH_AT: usize = 12;

const CHUNK_BYTES_MIN: usize = 4096;

impl Chunks {
    pub(super) fn new(chunk_bytes: usize) -> Self {
        let chunk_bytes = chunk_bytes.clamp(CHUNK_BYTES_MIN, u32::MAX as usize);
        Self {
            chunk_bytes,
            chunks: Slots::new(),
            current: None,
            allocated: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.allocated + self.chunks.memory_bytes()
    }

    /// Adds a record to `run` if that is the last thing written and of the same context.
    pub(super) fn extend(&mut self, run: RunRef, context: ContextId, record: &[u8]) -> bool {
        if self.current != Some(run.chunk) {
            return false;
        }
        let Some(chunk) = self.chunks.get_mut(run.chunk) else {
            return false;
        };
        let at = run.offset as usize;
        let Some(&[_, _, of, length]) = header(&chunk.bytes, at).as_ref() else {
            return false;
        };
        let end = at + HEADER_BYTES + length as usize;
        if of != context.0 || end != chunk.bytes.len() || record.len() > chunk.bytes.capacity() - end {
            return false;
        }
        chunk.bytes.extend_from_slice(record);
        set(&mut chunk.bytes, at + LENGTH_AT, length + record.len() as u32);
        true
    }

    /// Writes a new run of one record.
    pub(super) fn push(&mut self, context: ContextId, record: &[u8]) -> RunRef {
        let index = self.chunk_with_room(HEADER_BYTES + record.len());
        let mut run = RunRef {
            chunk: index,
            offset: 0,
        };
        if let Some(chunk) = self.chunks.get_mut(index) {
            // Below the chunk's size, which has 32 bits, or 0.
            run.offset = chunk.bytes.len() as u32;
            let mut header = [0; HEADER_BYTES];
            header[CONTEXT_AT..LENGTH_AT].copy_from_slice(&context.0.to_le_bytes());
            header[LENGTH_AT..].copy_from_slice(&(record.len() as u32).to_le_bytes());
            chunk.bytes.extend_from_slice(&header);
            chunk.bytes.extend_from_slice(record);
            chunk.runs += 1;
        }
        run
    }

    /// Makes `next` follow `run`.
    pub(super) fn link(&mut self, run: RunRef, next: RunRef) {
        if let Some(chunk) = self.chunks.get_mut(run.chunk) {
            let at = run.offset as usize;
            set(&mut chunk.bytes, at, next.chunk);
            set(&mut chunk.bytes, at + 4, next.offset);
        }
    }

    pub(super) fn run(&self, run: RunRef) -> Option<Run<'_>> {
        let bytes = &self.chunks.get(run.chunk)?.bytes;
        let at = run.offset as usize;
        let [chunk, offset, context, length] = header(bytes, at)?;
        let start = at + HEADER_BYTES;
        let records = bytes.get(start..start + length as usize)?;
        Some(Run {
            context: ContextId(context),
            next: RunRef { chunk, offset },
            records,
        })
    }

    /// One run less in its chunk, which is freed with its last run.
    pub(super) fn release(&mut self, run: RunRef) {
        let Some(chunk) = self.chunks.get_mut(run.chunk) else {
            return;
        };
        chunk.runs = chunk.runs.saturating_sub(1);
        if chunk.runs > 0 {
            return;
        }
        if let Some(freed) = self.chunks.remove(run.chunk) {
            self.allocated -= freed.bytes.capacity();
        }
        if self.current == Some(run.chunk) {
            self.current = None;
        }
    }

    /// [`Self::memory_bytes`] counted anew.
    #[cfg(test)]
    pub(super) fn counted_memory(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum();
        chunks + self.chunks.memory_bytes()
    }

    /// The current chunk, or a new one; a chunk for one record that is too large for any never becomes the current one.
    fn chunk_with_room(&mut self, needed: usize) -> u32 {
        if needed > self.chunk_bytes {
            return self.allocate(needed);
        }
        if let Some(current) = self.current
            && let Some(chunk) = self.chunks.get(current)
            && chunk.bytes.capacity() - chunk.bytes.len() >= needed
        {
            return current;
        }
        let index = self.allocate(self.chunk_bytes);
        self.current = Some(index);
        index
    }

    fn allocate(&mut self, capacity: usize) -> u32 {
        let bytes = Vec::with_capacity(capacity);
        self.allocated += bytes.capacity();
        self.chunks.insert(Chunk { bytes, runs: 0 })
    }
}

#[inline]
fn header(bytes: &[u8], at: usize) -> Option<[u32; 4]> {
    let numbers: &[u8; HEADER_BYTES] = bytes.get(at..)?.first_chunk()?;
    let (numbers, _) = numbers.as_chunks::<4>();
    let [chunk, offset, context, length] = numbers else {
        return None;
    };
    Some([chunk, offset, context, length].map(|number| u32::from_le_bytes(*number)))
}

#[inline]
fn set(bytes: &mut [u8], at: usize, number: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}
