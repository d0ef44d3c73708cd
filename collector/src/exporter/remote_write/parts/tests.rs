//! Requests against a receiver that writes nothing of a request in which one sample is wrong.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::*;

fn sample(number: usize) -> TranslatedSeries {
    TranslatedSeries::sample(
        0,
        Rc::from(&b"\x0a\x02ab"[..]),
        1.0,
        i64::try_from(number).unwrap(),
    )
}

fn numbers(part: &Part) -> Vec<usize> {
    let numbers = part.series.iter().map(TranslatedSeries::timestamp_ms);
    numbers.map(|number| usize::try_from(number).unwrap()).collect()
}

#[derive(Debug, Default)]
struct Outcome {
    requests: u64,
    written: Vec<usize>,
    lost: BTreeSet<usize>,
}

/// Sends `samples` numbered samples of which some are wrong.
fn send(samples: usize, is_wrong: impl Fn(usize) -> bool) -> Outcome {
    let mut parts = Parts::new((0..samples).map(sample).collect(), true);
    let mut outcome = Outcome::default();
    while let Some(part) = parts.next(u64::MAX) {
        assert!(!part.series.is_empty(), "an empty request");
        outcome.requests += 1;
        let sent = numbers(&part);
        if sent.iter().any(|number| is_wrong(*number)) {
            outcome
                .lost
                .extend(parts.wrong(part, false).iter().flat_map(numbers));
        } else {
            parts.taken();
            outcome.written.extend(sent);
        }
    }
    assert!(outcome.written.is_sorted(), "in order");
    assert_eq!(
        outcome.written.len() + outcome.lost.len(),
        samples,
        "each sample comes to one end"
    );
    outcome
}

fn levels(samples: usize) -> u64 {
    u64::from(samples.next_power_of_two().trailing_zeros()) + 1
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[test]
fn one_wrong_sample_costs_one_sample_wherever_it_is() {
    for samples in [1, 2, 3, 7, 64, 100, 2000] {
        for wrong in (0..samples).filter(|wrong| samples < 2000 || wrong % 16 < 2) {
            let outcome = send(samples, |number| number == wrong);
            assert_eq!(outcome.lost, BTreeSet::from([wrong]), "{wrong} of {samples}");
            assert!(
                outcome.requests <= 1 + 2 * levels(samples),
                "{wrong} of {samples}: {} requests",
                outcome.requests
            );
        }
    }
}

#[test]
fn eight_wrong_samples_beside_each_other_cost_eight() {
    for first in (0..=1992).step_by(3) {
        let outcome = send(2000, |number| (first..first + 8).contains(&number));
        assert_eq!(outcome.lost, (first..first + 8).collect(), "{first}");
    }
}

#[test]
fn eight_wrong_samples_anywhere_cost_eight() {
    let mut random = Random(7);
    for _ in 0..400 {
        let samples = 8 + random.below(1993);
        // Some of them near each other.
        let near = 1 + random.below(samples);
        let from = random.below(samples - near + 1);
        let wrong: BTreeSet<usize> = (0..8).map(|_| from + random.below(near)).collect();
        let outcome = send(samples, |number| wrong.contains(&number));
        assert_eq!(outcome.lost, wrong, "of {samples}");
        assert!(
            outcome.requests <= 1 + 16 * levels(samples),
            "{wrong:?} of {samples}"
        );
    }
}

#[test]
fn a_request_of_which_all_is_wrong_costs_few_requests() {
    for samples in [1, 2, 10, 500, 2000, 4097, 100_000] {
        let outcome = send(samples, |_| true);
        assert!(outcome.written.is_empty());
        assert!(
            outcome.requests <= 1 + levels(samples) + 24.max(2 * levels(samples)),
            "{samples}: {}",
            outcome.requests
        );
    }
}

#[test]
fn whatever_is_wrong_the_number_of_requests_is_bounded() {
    let mut random = Random(11);
    for one_of in [2, 3, 5, 10, 30, 100, 300] {
        let outcome = send(2000, |number| number % one_of == 0);
        assert!(outcome.requests <= 1 + 32 * levels(2000), "{}", outcome.requests);
        for _ in 0..10 {
            let wrong: BTreeSet<usize> = (0..2000).filter(|_| random.below(one_of) == 0).collect();
            let outcome = send(2000, |number| wrong.contains(&number));
            assert!(outcome.requests <= 1 + 32 * levels(2000), "{}", outcome.requests);
            assert!(outcome.lost.is_superset(&wrong));
        }
    }
}

#[test]
fn the_second_half_is_not_asked_for_when_it_is_known_to_be_wrong() {
    // The last sample of all: each request but the first holds the good half of what is left.
    let outcome = send(1024, |number| number == 1023);
    assert_eq!(outcome.requests, 1 + 10 + 1);
}

#[test]
fn without_halving_a_wrong_sample_costs_its_request() {
    let mut parts = Parts::new((0..100).map(sample).collect(), false);
    let part = parts.next(u64::MAX).unwrap();
    assert_eq!(parts.wrong(part, false).unwrap().samples(), 100);
    assert!(parts.next(u64::MAX).is_none());
    assert_eq!(parts.halvings(), 0);
}

#[test]
fn what_the_receiver_may_have_is_looked_for_in_halves_even_without_halving() {
    // The receiver has another sample of the time of the first; of the rest it has nothing.
    let mut parts = Parts::new((0..100).map(sample).collect(), false);
    let (mut known, mut written) = (Vec::new(), 0);
    while let Some(part) = parts.next(u64::MAX) {
        if numbers(&part).contains(&0) {
            known.extend(parts.wrong(part, true).iter().flat_map(numbers));
        } else {
            parts.taken();
            written += part.samples();
        }
    }
    assert_eq!((known, written), (vec![0], 99));
}

#[test]
fn what_the_receiver_has_already_does_not_end_the_search_for_what_is_wrong() {
    // The first half is there, and is refused because later samples are; in the second one is wrong.
    let mut parts = Parts::new((0..2000).map(sample).collect(), true);
    let (mut requests, mut known, mut lost, mut written) = (0, 0, BTreeSet::new(), 0);
    while let Some(part) = parts.next(u64::MAX) {
        requests += 1;
        let numbers = numbers(&part);
        if numbers.iter().any(|number| *number < 999) {
            known += parts.wrong(part, true).map_or(0, |part| part.samples());
        } else if numbers.contains(&1500) {
            lost.extend(parts.wrong(part, false).iter().flat_map(super::tests::numbers));
        } else {
            parts.taken();
            written += part.samples();
        }
    }
    assert_eq!(lost, BTreeSet::from([1500]));
    assert_eq!(known + written, 1999);
    assert!(known >= 999);
    assert!(requests <= 1 + 5 * levels(2000), "{requests}");
}

#[test]
fn what_is_too_large_goes_in_parts_that_are_not() {
    let bytes = sample(1).encoded_len() as u64;
    // The receiver takes a hundred samples; the sender learns it.
    let (mut bytes_max, mut requests, mut next) = (u64::MAX, 0, 0);
    let mut parts = Parts::new((0..2000).map(sample).collect(), true);
    while let Some(part) = parts.next(bytes_max) {
        requests += 1;
        if part.samples() > 100 {
            bytes_max = part.bytes() / 2;
            assert!(parts.too_large(part).is_none(), "nothing is given up");
        } else {
            for number in numbers(&part) {
                assert_eq!(number, next, "in order");
                next += 1;
            }
            parts.taken();
        }
    }
    assert_eq!(next, 2000);
    assert!(bytes_max >= 50 * bytes);
    // Five that were too large, and what is left over of each of the six that they were cut into.
    assert!(requests <= 5 + 6 + 2000 / 62, "{requests}");
}

#[test]
fn a_receiver_that_takes_nothing_so_small_is_not_asked_for_each_sample() {
    let mut parts = Parts::new((0..2000).map(sample).collect(), true);
    let (mut requests, mut lost) = (0, 0);
    while let Some(part) = parts.next(u64::MAX) {
        requests += 1;
        lost += parts.too_large(part).map_or(0, |part| part.samples());
    }
    assert_eq!(lost, 2000);
    assert!(requests <= 1 + 3 * levels(2000), "{requests}");
}

#[test]
fn samples_that_grow_too_old_go_out_of_a_part() {
    let mut parts = Parts::new((0..10).map(sample).collect(), true);
    let mut part = parts.next(u64::MAX).unwrap();
    assert_eq!(part.drop_older(4), 4);
    assert_eq!(numbers(&part), [4, 5, 6, 7, 8, 9]);
    assert_eq!(part.drop_older(4), 0);
    assert_eq!(part.drop_older(100), 6);
    assert!(part.series.is_empty());
}
