//! The named limits of this crate. What happens at each is counted, see [`crate::Translated`]; of what is only remembered to
//! save work nothing is lost. Where memory is short they are lower, see [`crate::RemoteWrite::with_bytes_max`]: then also the
//! last samples of series are forgotten earlier, so that it is the receiver who refuses those out of order.

/// A point may be this far ahead of our clock: ten minutes, as Prometheus takes none further (`maxAheadTime` of its
/// remote write handler).
pub const FUTURE_MS_MAX: i64 = 10 * 60 * 1000;

/// Bytes of the name and the labels of one series; a point beyond it is dropped. Amazon Managed Prometheus takes less, and a
/// histogram has them as often as it has buckets.
pub const LABELS_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the names and labels of all series of one data point together; a point beyond it is dropped. A histogram of two
/// hundred buckets with 1 KiB of labels has a tenth.
pub const POINT_LABELS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of labels and their bookkeeping that are remembered of series seen before, so that they need not be made anew. At
/// the limit the half that was not used lately is forgotten.
pub const CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of resources, of scopes and of metrics that are remembered, each: a node has some hundred pods with some hundred
/// metrics of 500 bytes. What is held by another counts again, since it may be the last to hold it.
pub const CONTEXTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that streams of deltas may hold, labels included; a stream beyond it is as one beyond `max_streams`.
pub const DELTA_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Resources whose `target_info` is kept. Amazon's largest nodes run 737 pods; a gateway has more behind it.
pub const TARGETS_MAX: usize = 4096;

/// Bytes that all of these may hold; a resource beyond has no `target_info`.
pub const TARGETS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Families whose type, unit and description are kept: Amazon Managed Prometheus keeps as many metadata.
pub const FAMILIES_MAX: usize = 20_000;

/// Bytes that all of these may take; a family beyond is not spoken of.
pub const FAMILIES_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of a unit. The specification allows 63; a longer one than this is as none.
pub const UNIT_BYTES_MAX: usize = 256;

/// Bytes of a description that are kept and sent; the rest is cut.
pub const HELP_BYTES_MAX: usize = 1024;

/// Exemplars of one series in one export; the newest are kept, as many as Prometheus' own client keeps of a native histogram.
pub const EXEMPLARS_MAX: usize = 10;

/// Characters of all labels of an exemplar (OpenMetrics 1.0, "Exemplars"); beyond it only the ids are kept.
pub const EXEMPLAR_CHARS_MAX: usize = 128;

/// Buckets of each half of an exponential histogram that deltas are added up in, as in the SDKs.
pub const DELTA_BUCKETS_MAX: usize = 160;

/// The sum of a stream of deltas is kept for so long after its series has ended: a day, so that a counter of what happens
/// twice a day goes on. A number takes some 150 bytes.
pub(crate) const SUM_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// Two points of a scope further apart than this are of two collections.
pub(crate) const COLLECTION_MS: i64 = 1000;

/// A delta that begins later than this after the one before leaves a gap.
pub(crate) const GAP_MS: i64 = 1000;
