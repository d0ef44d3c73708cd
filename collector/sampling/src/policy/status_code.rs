//! `status_code`: traces in which some span has one of the wanted status codes.

use tracepipe_config::StatusCode as Wanted;
use tracepipe_otlp::view::StatusCode;

use crate::summary::{StatusSet, TraceSummary};

/// Wants traces with a span that has one of some status codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusCodes {
    wanted: StatusSet,
}

impl StatusCodes {
    /// Without any code nothing is wanted.
    pub(super) fn new(status_codes: &[Wanted]) -> Self {
        let wanted = status_codes.iter().fold(StatusSet::EMPTY, |set, wanted| {
            set.union(StatusSet::of(match wanted {
                Wanted::Unset => StatusCode::Unset,
                Wanted::Ok => StatusCode::Ok,
                Wanted::Error => StatusCode::Error,
            }))
        });
        Self { wanted }
    }

    /// The codes.
    pub(super) fn wanted(self) -> StatusSet {
        self.wanted
    }

    /// Any span is enough.
    #[inline]
    pub(super) fn wants(self, summary: &TraceSummary) -> bool {
        self.wanted.intersects(summary.statuses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_span_with_one_of_the_codes_is_enough() {
        use StatusCode::{Error, Ok, Unset};
        let table: [(&[Wanted], &[StatusCode], bool); 10] = [
            (&[Wanted::Error], &[Unset, Ok, Error], true),
            (&[Wanted::Error], &[Error], true),
            (&[Wanted::Error], &[Unset, Ok], false),
            (&[Wanted::Ok], &[Unset, Error], false),
            (&[Wanted::Ok], &[Ok], true),
            (&[Wanted::Unset], &[Unset, Error], true),
            (&[Wanted::Unset], &[Ok], false),
            (&[Wanted::Ok, Wanted::Error], &[Unset, Error], true),
            (&[Wanted::Ok, Wanted::Error], &[Unset], false),
            (&[Wanted::Error], &[], false),
        ];
        for (wanted, seen, expected) in table {
            let statuses = seen
                .iter()
                .fold(StatusSet::EMPTY, |set, code| set.union(StatusSet::of(*code)));
            let summary = TraceSummary {
                statuses,
                ..TraceSummary::EMPTY
            };
            assert_eq!(
                StatusCodes::new(wanted).wants(&summary),
                expected,
                "{wanted:?} in {seen:?}"
            );
        }
    }
}
