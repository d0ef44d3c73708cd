//! What every exporter to AWS needs: the way there, credentials that are fresh, signatures, AWS's time, and its words for
//! faults of these.

pub(super) mod codes;
pub(super) mod credentials;
pub(super) mod network;
pub(super) mod sign;
pub(super) mod skew;
