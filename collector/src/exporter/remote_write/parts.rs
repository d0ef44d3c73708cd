//! What a request is cut into when it is not taken whole: halves, until what is wrong with it is alone.
//!
//! Prometheus writes nothing of a request in which one sample is wrong, so each half is sent again, the earlier one
//! first: the samples of a series lie in a row, and stay in order. Of a part whose first half was taken whole the other
//! is known to be wrong, and is halved without being asked for.
//!
//! What it costs, for a request of `n` samples and `d = ceil(log2(n)) + 1` (2,000 samples: 12):
//!
//! | wrong are | further requests | lost |
//! |---|---|---|
//! | one | `2 d` at most | one |
//! | up to 8, anywhere | `16 d` at most | these |
//! | all | `3 d` at most, or 24 and `d` | all |
//! | anything else | `32 d` at most | of each part that is given up, all |
//!
//! A part is given up, not halved, when more than `2 d` in a row, and more than 24, have been refused and nothing was
//! taken, or when there were `16 d` halvings. The parts that are left are sent nevertheless, each once; one that is taken begins a new row.
//!
//! A request whose answer was lost may be refused for being there already. Such refusals have a row of their own: they say
//! nothing about the samples.
//!
//! Pure: [`super::sender`] sends.

use tracepipe_metrics::TranslatedSeries;

/// Refusals in a row, for each of the `d` levels, after which a part is not halved any more. Eight wrong samples beside
/// each other need 23 of the 24 that 2,000 samples have.
const IN_A_ROW_PER_LEVEL: u64 = 2;

/// The least of that: eight of few samples must be found, too.
const IN_A_ROW_LEAST: u64 = 24;

/// Halvings, for each of the `d` levels. Eight wrong samples, each far from the others, need less than `d` each.
const HALVINGS_PER_LEVEL: u64 = 16;

/// Samples that go in one request, in the order of their series and times; never empty when it is made.
#[derive(Debug)]
pub(super) struct Part {
    /// The samples.
    pub(super) series: Vec<TranslatedSeries>,
    /// An attempt has ended without an answer: the receiver may have it already.
    pub(super) is_unconfirmed: bool,
    /// It is the second half of a part that was refused after so many refusals: if there were no others since, what is
    /// wrong is in here.
    refusals_then: Option<u64>,
}

/// The parts of a request that have come to no end yet.
#[derive(Debug)]
pub(super) struct Parts {
    /// The next one is last.
    left: Vec<Part>,
    may_halve: bool,
    refusals: u64,
    in_a_row: u64,
    /// Of parts that the receiver may have.
    known_in_a_row: u64,
    in_a_row_max: u64,
    /// How often a part was halved for what is in it, or for what the receiver says of its size.
    halvings: u64,
    halvings_max: u64,
}

// === impl Part ===

impl Part {
    /// Bytes of the request that it makes, at most.
    pub(super) fn bytes(&self) -> u64 {
        self.series.iter().map(|one| one.encoded_len() as u64).sum()
    }

    /// How many samples.
    pub(super) fn samples(&self) -> u64 {
        self.series.len() as u64
    }

    /// Takes out the samples from before `oldest_ms`, in ms since the Unix epoch; gives their number.
    pub(super) fn drop_older(&mut self, oldest_ms: i64) -> u64 {
        let before = self.series.len();
        self.series.retain(|one| one.timestamp_ms() >= oldest_ms);
        (before - self.series.len()) as u64
    }

    /// The second half goes out of it. Both have at least one sample; it has two or more.
    fn split_at(&mut self, at: usize) -> Self {
        let at = at.clamp(1, self.series.len().saturating_sub(1).max(1));
        Self {
            series: self.series.split_off(at),
            is_unconfirmed: self.is_unconfirmed,
            refusals_then: None,
        }
    }

    /// How many of its samples, from the first, have so many bytes at most.
    fn within(&self, bytes_max: u64) -> usize {
        let mut bytes = 0;
        let is_within = |one: &&TranslatedSeries| {
            bytes += one.encoded_len() as u64;
            bytes <= bytes_max
        };
        self.series.iter().take_while(is_within).count()
    }
}

// === impl Parts ===

impl Parts {
    /// One part with all of it: sorted, as [`tracepipe_metrics::write_request::sort`] does it.
    pub(super) fn new(series: Vec<TranslatedSeries>, may_halve: bool) -> Self {
        let levels = u64::from(usize::BITS - series.len().saturating_sub(1).leading_zeros() + 1);
        let whole = Part {
            series,
            is_unconfirmed: false,
            refusals_then: None,
        };
        Self {
            left: vec![whole],
            may_halve,
            refusals: 0,
            in_a_row: 0,
            known_in_a_row: 0,
            in_a_row_max: (levels * IN_A_ROW_PER_LEVEL).max(IN_A_ROW_LEAST),
            halvings: 0,
            halvings_max: levels * HALVINGS_PER_LEVEL,
        }
    }

    /// The part to be sent next, which has at most `bytes_max` bytes unless it is a single sample.
    pub(super) fn next(&mut self, bytes_max: u64) -> Option<Part> {
        let mut part = self.left.pop()?;
        loop {
            if part.series.len() <= 1 {
                return Some(part);
            }
            let is_wrong = part.refusals_then == Some(self.refusals);
            if is_wrong && self.halvings < self.halvings_max {
                part = self.halve(part);
            } else if part.bytes() > bytes_max {
                let second = part.split_at(part.within(bytes_max));
                self.left.push(second);
                part.refusals_then = None;
            } else {
                return Some(part);
            }
        }
    }

    /// The last part was taken.
    pub(super) fn taken(&mut self) {
        self.in_a_row = 0;
        self.known_in_a_row = 0;
    }

    /// The last part was refused for what is in it, or because the receiver has it. Gives it back when it is given up.
    pub(super) fn wrong(&mut self, part: Part, is_known: bool) -> Option<Part> {
        // What the receiver has of it only halves can tell.
        let may_halve = self.may_halve || is_known;
        if self.is_over(is_known) || !may_halve || part.series.len() <= 1 {
            return Some(part);
        }
        let first = self.halve(part);
        self.left.push(first);
        None
    }

    /// The last part was refused for its size. Gives it back when it is given up.
    pub(super) fn too_large(&mut self, mut part: Part) -> Option<Part> {
        if self.is_over(false) || part.series.len() <= 1 {
            return Some(part);
        }
        let second = part.split_at(part.within(part.bytes() / 2));
        part.refusals_then = None;
        self.halvings += 1;
        self.left.push(second);
        self.left.push(part);
        None
    }

    /// How often a part was halved because it was refused.
    pub(super) fn halvings(&self) -> u64 {
        self.halvings
    }

    /// Counts a refusal; true when no part is halved for it.
    fn is_over(&mut self, is_known: bool) -> bool {
        self.refusals += 1;
        let in_a_row = if is_known {
            &mut self.known_in_a_row
        } else {
            &mut self.in_a_row
        };
        *in_a_row += 1;
        *in_a_row > self.in_a_row_max || self.halvings >= self.halvings_max
    }

    /// Puts the second half of a part in which something is wrong aside, and gives the first.
    fn halve(&mut self, mut part: Part) -> Part {
        let mut second = part.split_at(part.series.len() / 2);
        second.refusals_then = Some(self.refusals);
        part.refusals_then = None;
        self.halvings += 1;
        self.left.push(second);
        part
    }
}

#[cfg(test)]
mod tests;
