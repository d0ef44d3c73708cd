//! What became of data points: each is translated, or dropped under one reason.

/// A point in time: milliseconds since the Unix epoch, as Prometheus has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct UnixMillis(pub i64);

/// Why a data point, or one sample of it, was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// It has no time.
    NoTimestamp,
    /// Its time is more than [`crate::limits::FUTURE_MS_MAX`] ahead of ours.
    Future,
    /// It is older than `sample_age_limit`.
    TooOld,
    /// A sum or histogram that does not say since when it counts.
    UnspecifiedTemporality,
    /// No Prometheus name can be made of its metric's.
    Name,
    /// A point of a gauge or a sum without a number.
    NoValue,
    /// Bounds of a histogram that do not rise.
    Bounds,
    /// Counts of buckets that do not fit their bounds, or the count of all.
    Buckets,
    /// An exponential histogram below scale -4, which no native histogram can have, or too wide for that one.
    Scale,
    /// An exponential histogram without a sum, which a native histogram must have.
    NoSum,
    /// A delta that is older than what has been added up of its stream.
    DeltaOutOfOrder,
    /// The first delta of a stream, when `max_streams` are there already.
    StreamsFull,
    /// The first point of a series to be scraped, when `max_series` are there already, or as many bytes as they may have.
    SeriesFull,
    /// Its name and labels are longer than any that people read; of a series, not of the request.
    LabelsTooLarge,
    /// A metric of another type has the same name and labels.
    TypeCollision,
    /// Its series has a sample of this time already.
    DuplicateTimestamp,
    /// It is older than the last sample of its series by more than `out_of_order_window`.
    OutOfOrder,
}

/// Counts by [`DropReason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped([u64; DropReason::ALL.len()]);

/// What a translation did with a request. Every data point of the request is in `points` or in `dropped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Translated {
    /// Data points that became samples, at least one.
    pub points: u64,
    /// Data points that became none.
    pub dropped: Dropped,
    /// Samples added to the output; a native histogram is one. Those that stand for no data point (`target_info`, zeros,
    /// stale markers) are among them.
    pub samples: u64,
    /// Samples that were taken back or left out of data points that are in `points`: see
    /// [`DropReason::TypeCollision`], [`DropReason::DuplicateTimestamp`] and [`DropReason::OutOfOrder`].
    pub samples_dropped: Dropped,
    /// Attributes whose names leave no label, each time that labels were made of them.
    pub labels_dropped: u64,
    /// Exemplars left out: without a number or a label, or because newer ones of the same series are there.
    pub exemplars_dropped: u64,
    /// Deltas that were added although some before them are missing.
    pub delta_gaps: u64,
    /// Streams of deltas that began anew because the bounds of their buckets changed.
    pub delta_resets: u64,
    /// Resources that say the same `job` and `instance` as another one that is there, or for which there is
    /// no room, and that have no `target_info` for it.
    pub target_info_conflicts: u64,
    /// Samples that are written although the one before it in the series is of another stream, which wrote it less than
    /// five minutes ago: of a resource that differs in what is no label, say. A counter that two write goes up and down.
    pub series_conflicts: u64,
}

// === impl DropReason ===

impl DropReason {
    /// All there are, in the order of their declaration.
    pub const ALL: [Self; 17] = [
        Self::NoTimestamp,
        Self::Future,
        Self::TooOld,
        Self::UnspecifiedTemporality,
        Self::Name,
        Self::NoValue,
        Self::Bounds,
        Self::Buckets,
        Self::Scale,
        Self::NoSum,
        Self::DeltaOutOfOrder,
        Self::StreamsFull,
        Self::SeriesFull,
        Self::LabelsTooLarge,
        Self::TypeCollision,
        Self::DuplicateTimestamp,
        Self::OutOfOrder,
    ];

    /// As a label of our own metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoTimestamp => "no_timestamp",
            Self::Future => "future",
            Self::TooOld => "too_old",
            Self::UnspecifiedTemporality => "unspecified_temporality",
            Self::Name => "name",
            Self::NoValue => "no_value",
            Self::Bounds => "bounds",
            Self::Buckets => "buckets",
            Self::Scale => "scale",
            Self::NoSum => "no_sum",
            Self::DeltaOutOfOrder => "delta_out_of_order",
            Self::StreamsFull => "streams_full",
            Self::SeriesFull => "series_full",
            Self::LabelsTooLarge => "labels_too_large",
            Self::TypeCollision => "type_collision",
            Self::DuplicateTimestamp => "duplicate_timestamp",
            Self::OutOfOrder => "out_of_order",
        }
    }
}

// === impl Dropped ===

impl Dropped {
    /// One more.
    pub fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// How many for this reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Their sum.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each reason as a label of metrics, with its count.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|reason| (reason.as_str(), self.of(*reason)))
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

// === impl Translated ===

impl Translated {
    /// Adds what another translation did.
    pub fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.dropped.add(&other.dropped);
        self.samples += other.samples;
        self.samples_dropped.add(&other.samples_dropped);
        self.labels_dropped += other.labels_dropped;
        self.exemplars_dropped += other.exemplars_dropped;
        self.delta_gaps += other.delta_gaps;
        self.delta_resets += other.delta_resets;
        self.target_info_conflicts += other.target_info_conflicts;
        self.series_conflicts += other.series_conflicts;
    }
}
