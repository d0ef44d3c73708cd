//! The bytes of the files. All numbers are little-endian.

use flate2::Crc;

/// Bytes of a record: fingerprint, policy, checksum.
pub(super) const RECORD_BYTES: usize = 16;

/// Bytes of a header: what it is, three numbers, checksum, room for more.
pub(super) const HEADER_BYTES: usize = 64;

/// What the file is, and the version of this form.
const MAGIC: [u8; 8] = *b"tpdecid1";

/// Where a header's checksum stands, behind all it covers.
const HEADER_SUM_AT: usize = 32;

/// What stands for "no policy".
const NONE: u32 = u32::MAX;

/// The head of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the fingerprints.
    pub(super) seed: u64,
    /// Of the policies' names.
    pub(super) policies: u64,
    /// The newer file has the larger one.
    pub(super) generation: u64,
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Of the trace's id, by the seed.
    pub fingerprint: u64,
    /// The place of the policy that keeps the trace; none: it is dropped.
    pub policy: Option<u32>,
}

// === impl Header ===

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        for (at, number) in [(8, self.seed), (16, self.policies), (24, self.generation)] {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(&[&bytes[..HEADER_SUM_AT]]);
        bytes[HEADER_SUM_AT..HEADER_SUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// None when it is no such header, or broken.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let sum = u32::from_le_bytes(*bytes.get(HEADER_SUM_AT..)?.first_chunk()?);
        let is_good = bytes.starts_with(&MAGIC) && sum == checksum(&[&bytes[..HEADER_SUM_AT]]);
        is_good.then_some(())?;
        Some(Self {
            seed: number(8)?,
            policies: number(16)?,
            generation: number(24)?,
        })
    }
}

// === impl Record ===

impl Record {
    pub(super) fn to_bytes(self, generation: u64) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.fingerprint.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.policy.unwrap_or(NONE).to_le_bytes());
        let sum = checksum(&[&generation.to_le_bytes(), &bytes[..12]]);
        bytes[12..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// None when it is broken, or of another generation.
    pub(super) fn parse(bytes: [u8; RECORD_BYTES], generation: u64) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<4>();
        let [low, high, policy, sum] = words else {
            return None;
        };
        let [low, high, policy, sum] = [low, high, policy, sum].map(|word| u32::from_le_bytes(*word));
        if sum != checksum(&[&generation.to_le_bytes(), &bytes[..12]]) {
            return None;
        }
        Some(Self {
            fingerprint: u64::from(high) << 32 | u64::from(low),
            policy: Some(policy).filter(|policy| *policy != NONE),
        })
    }
}

/// CRC-32, as in gzip.
fn checksum(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}
