//! One trace as several collectors saw it.

use std::collections::BTreeMap;

use crate::summary::TraceSummary;

/// What each participant knows of one trace: its latest summary, which covers all that it has seen.
///
/// Participants send their summaries again whenever they have grown, numbered. Messages may be lost, come twice or
/// overtake each other: of each participant the summary with the highest number counts, so counts are sums over
/// participants and nothing is counted twice. [`PartialSummaries::merge`] is commutative, associative and idempotent:
/// whoever has received the same messages, in whatever order and by whatever way, has the same [`PartialSummaries::whole`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialSummaries<P: Ord> {
    parts: BTreeMap<P, (u64, TraceSummary)>,
}

impl<P: Ord + Copy> PartialSummaries<P> {
    /// Nobody has seen anything.
    pub fn new() -> Self {
        Self {
            parts: BTreeMap::new(),
        }
    }

    /// Takes a participant's summary. False when it changes nothing: it is older than what is known, or known.
    ///
    /// Two summaries with one number are an error of the participant; then the greater one counts, so that everybody
    /// agrees on one.
    pub fn insert(&mut self, participant: P, sequence: u64, summary: TraceSummary) -> bool {
        let part = (sequence, summary);
        match self.parts.get_mut(&participant) {
            Some(known) if *known >= part => false,
            Some(known) => {
                *known = part;
                true
            }
            None => {
                self.parts.insert(participant, part);
                true
            }
        }
    }

    /// Takes all that somebody else knows.
    pub fn merge(&mut self, other: &Self) {
        for (participant, (sequence, summary)) in &other.parts {
            self.insert(*participant, *sequence, *summary);
        }
    }

    /// The summary of the whole trace, as far as it is known.
    pub fn whole(&self) -> TraceSummary {
        let mut whole = TraceSummary::EMPTY;
        for (_, summary) in self.parts.values() {
            whole.merge(summary);
        }
        whole
    }

    /// How many participants have seen it.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// True while nobody has.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

impl<P: Ord + Copy> Default for PartialSummaries<P> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::summary::tests::any_summary;

    type Message = (u8, u64, TraceSummary);

    /// What one participant says grows with its numbers.
    fn any_messages() -> impl Strategy<Value = Vec<Message>> {
        let message = (0u8..4, 0u64..4, any_summary());
        prop::collection::vec(message, 0..12)
    }

    fn received(messages: &[Message]) -> PartialSummaries<u8> {
        let mut parts = PartialSummaries::new();
        for (participant, sequence, summary) in messages {
            parts.insert(*participant, *sequence, *summary);
        }
        parts
    }

    fn merged(left: &PartialSummaries<u8>, right: &PartialSummaries<u8>) -> PartialSummaries<u8> {
        let mut both = left.clone();
        both.merge(right);
        both
    }

    proptest! {
        #[test]
        fn merge_is_commutative_associative_and_idempotent(
            a in any_messages(), b in any_messages(), c in any_messages(),
        ) {
            let [a, b, c] = [&a, &b, &c].map(|messages| received(messages));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(&merged(&a, &a), &a);
            prop_assert_eq!(&merged(&a, &PartialSummaries::new()), &a);
        }

        #[test]
        fn order_and_repetition_of_messages_change_nothing(
            messages in any_messages(), order in any::<u64>(),
        ) {
            let mut shuffled: Vec<Message> = messages.iter().chain(&messages).copied().collect();
            let length = shuffled.len().max(1);
            shuffled.rotate_left(order as usize % length);
            shuffled.reverse();
            prop_assert_eq!(received(&shuffled), received(&messages));
        }

        #[test]
        fn an_old_or_repeated_part_changes_nothing(
            messages in any_messages(), old in any_summary(), new in any_summary(),
        ) {
            let mut parts = received(&messages);
            parts.insert(9, 7, new);
            let before = parts.clone();
            prop_assert!(!parts.insert(9, 6, old));
            prop_assert!(!parts.insert(9, 7, new));
            prop_assert_eq!(&parts, &before);
        }

        #[test]
        fn the_whole_is_the_sum_of_the_latest_parts(
            first in any_summary(), grown in any_summary(), other in any_summary(),
        ) {
            let mut parts = PartialSummaries::new();
            parts.insert(1, 1, first);
            parts.insert(2, 1, other);
            parts.insert(1, 2, grown);
            let mut expected = grown;
            expected.merge(&other);
            prop_assert_eq!(parts.whole(), expected);
            prop_assert_eq!(parts.len(), 2);
        }
    }
}
