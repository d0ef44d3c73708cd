//! The memory of decisions, kept over a restart of the process.
//!
//! Two files in one folder, each a header and then records of 16 bytes, appended once a second by a thread of its own.
//! The newer file is written to until it has as many records as the caches remember; then the older one is emptied and
//! takes its place. So the folder has a bound ([`bytes_max`]), and what is in it is at least what was remembered.
//!
//! Reading ends at the first record that is not whole or whose checksum does not match: a torn tail, a full disk, a bit
//! that fell over. That is counted and logged, and never ends the process. Files of other policies or another version
//! are started anew. A disk that cannot be written to costs a warning and a metric; decisions are then in memory only.

mod record;
mod writer;

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tracepipe_config::TailSamplingSettings;

pub use record::Record;
use record::{HEADER_BYTES, Header, RECORD_BYTES};
pub use writer::{DecisionWriter, LogCounters, LogFigures};

/// The two files take turns.
const FILES: [&str; 2] = ["decisions-a.log", "decisions-b.log"];

/// The files with the decisions of former runs, and where the next will be written.
#[derive(Debug)]
pub struct DecisionLog {
    folder: PathBuf,
    seed: u64,
    policies: u64,
    records_max: u64,
    /// Files of this seed and these policies, the older first.
    known: Vec<Known>,
}

/// A file that can be read.
#[derive(Debug)]
struct Known {
    /// Which of [`FILES`].
    file: usize,
    header: Header,
}

/// What was read at start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Decisions.
    pub decisions: u64,
    /// Bytes behind the first record that could not be read.
    pub unreadable_bytes: u64,
}

/// Where a file is written to next.
#[derive(Debug)]
struct Place {
    file: usize,
    generation: u64,
    records: u64,
}

/// The most bytes that the folder will ever hold, for caches of this many decisions together.
pub fn bytes_max(decisions: u64) -> u64 {
    2 * (HEADER_BYTES as u64 + decisions * RECORD_BYTES as u64)
}

// === impl DecisionLog ===

impl DecisionLog {
    /// Looks at the folder, which is made if it is not there. Without a usable file `fresh_seed` is the seed.
    pub fn open(folder: &Path, settings: &TailSamplingSettings, fresh_seed: u64) -> Self {
        if let Err(error) = std::fs::create_dir_all(folder) {
            tracing::warn!(%error, folder = %folder.display(), "the folder of the decision cache cannot be made");
        }
        let policies = policies_hash(settings);
        let mut known: Vec<Known> = (0..FILES.len())
            .filter_map(|file| {
                let header = read_header(&folder.join(FILES[file]))?;
                (header.policies == policies).then_some(Known { file, header })
            })
            .collect();
        known.sort_by_key(|known| known.header.generation);
        let seed = known.last().map_or(fresh_seed, |newest| newest.header.seed);
        known.retain(|known| known.header.seed == seed);
        let caches = &settings.decision_cache;
        Self {
            folder: folder.to_owned(),
            seed,
            policies,
            records_max: caches
                .sampled_cache_size
                .saturating_add(caches.non_sampled_cache_size)
                .max(1),
            known,
        }
    }

    /// The seed of the fingerprints in it: the trace table must have it, too.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Gives the decisions of former runs, oldest first, and starts the thread that writes the new ones.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn restore(self, mut each: impl FnMut(Record)) -> io::Result<DecisionWriter> {
        let mut restored = Restored::default();
        let mut place = None;
        for known in &self.known {
            let records = self.read_file(known, &mut restored, &mut each);
            place = Some(Place {
                file: known.file,
                generation: known.header.generation,
                records,
            });
        }
        if restored.unreadable_bytes > 0 {
            tracing::warn!(
                bytes = restored.unreadable_bytes,
                "decisions of the former run could not be read to the end"
            );
        }
        tracing::info!(
            decisions = restored.decisions,
            folder = %self.folder.display(),
            "decisions of former runs are remembered"
        );
        DecisionWriter::start(self, place, restored)
    }

    /// Reads one file; gives how many records are good.
    fn read_file(&self, known: &Known, restored: &mut Restored, each: &mut impl FnMut(Record)) -> u64 {
        let mut good = 0;
        let path = self.folder.join(FILES[known.file]);
        let mut read = || -> io::Result<()> {
            let file = File::open(&path)?;
            let length = file.metadata()?.len();
            let mut reader = BufReader::new(file);
            reader.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
            let mut bytes = [0; RECORD_BYTES];
            while reader.read_exact(&mut bytes).is_ok() {
                let Some(record) = Record::parse(bytes, known.header.generation) else {
                    break;
                };
                each(record);
                good += 1;
            }
            let end = HEADER_BYTES as u64 + good * RECORD_BYTES as u64;
            restored.unreadable_bytes += length.saturating_sub(end);
            Ok(())
        };
        if let Err(error) = read() {
            tracing::warn!(%error, path = %path.display(), "a file of decisions cannot be read");
        }
        restored.decisions += good;
        good
    }

    /// Opens the file at `place` for appending behind its good records.
    fn append_to(&self, place: &Place) -> io::Result<File> {
        let path = self.folder.join(FILES[place.file]);
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.set_len(HEADER_BYTES as u64 + place.records * RECORD_BYTES as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(file)
    }

    /// Empties the file that is not `last`'s and begins the next generation in it.
    fn begin_after(&self, last: Option<&Place>) -> io::Result<(File, Place)> {
        let place = Place {
            file: last.map_or(0, |last| (last.file + 1) % FILES.len()),
            generation: last.map_or(1, |last| last.generation.saturating_add(1)),
            records: 0,
        };
        let header = Header {
            seed: self.seed,
            policies: self.policies,
            generation: place.generation,
        };
        let path = self.folder.join(FILES[place.file]);
        let mut file = File::create(path)?;
        io::Write::write_all(&mut file, &header.to_bytes())?;
        Ok((file, place))
    }
}

fn read_header(path: &Path) -> Option<Header> {
    let mut bytes = [0; HEADER_BYTES];
    File::open(path).ok()?.read_exact(&mut bytes).ok()?;
    Header::parse(&bytes)
}

/// A fingerprint of the policies' names in their order: a decision names its policy by its place among them.
/// FNV-1a with 64 bits, and a byte after each name that is in none.
fn policies_hash(settings: &TailSamplingSettings) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    settings
        .policies
        .iter()
        .flat_map(|policy| policy.name.bytes().chain([0xff]))
        .fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests;
