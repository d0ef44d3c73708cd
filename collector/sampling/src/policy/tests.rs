use super::*;
use tracepipe_config::StatusCode as Wanted;
use tracepipe_otlp::view::StatusCode;

use crate::summary::StatusSet;

fn policies(kinds: Vec<PolicyKind>) -> Policies {
    let settings: Vec<PolicySettings> = kinds
        .into_iter()
        .enumerate()
        .map(|(n, kind)| PolicySettings {
            name: format!("policy-{n}"),
            kind,
        })
        .collect();
    Policies::new(&settings)
}

fn summary(milliseconds: u64, status: StatusCode) -> TraceSummary {
    TraceSummary {
        min_start_unix_nano: 1_000_000_000,
        max_end_unix_nano: 1_000_000_000 + milliseconds * 1_000_000,
        spans: 1,
        statuses: StatusSet::of(status),
        ..TraceSummary::EMPTY
    }
}

/// The policies of the first example: errors, slow ones, a tenth of the rest.
fn example() -> Policies {
    policies(vec![
        PolicyKind::StatusCode {
            status_codes: vec![Wanted::Error],
        },
        PolicyKind::Latency { threshold_ms: 500 },
        PolicyKind::Probabilistic {
            hash_salt: String::new(),
            sampling_percentage: 10.0,
        },
    ])
}

// With the default salt the first one is within 10 percent, the second is not (`kept` in testdata/parity.txt).
const CHOSEN: TraceId = TraceId([0xff; 16]);
const NOT_CHOSEN: TraceId = TraceId(*b"0123456789abcdef");

#[test]
fn the_first_policy_that_wants_a_trace_is_the_one_recorded() {
    use StatusCode::{Error, Ok, Unset};
    let table = [
        (NOT_CHOSEN, 501, Error, Some(0)),
        (NOT_CHOSEN, 501, Ok, Some(1)),
        (NOT_CHOSEN, 500, Unset, None),
        (CHOSEN, 501, Error, Some(0)),
        (CHOSEN, 501, Unset, Some(1)),
        (CHOSEN, 500, Unset, Some(2)),
        (CHOSEN, 1, Error, Some(0)),
    ];
    for (id, milliseconds, status, expected) in table {
        let decided = match example().decide(id, &summary(milliseconds, status)) {
            Decision::Sampled { policy } => Some(policy.index()),
            Decision::NotSampled => None,
        };
        assert_eq!(decided, expected, "{id} {milliseconds} ms {status:?}");
    }
}

#[test]
fn every_policy_says_what_it_wants_also_after_the_first_that_does() {
    let mut results = Vec::new();
    let decision = example().evaluate(CHOSEN, &summary(1, StatusCode::Error), |policy, wants| {
        results.push((policy.index(), wants));
    });
    assert_eq!(
        decision,
        Decision::Sampled {
            policy: PolicyIndex(0)
        }
    );
    assert_eq!(results, [(0, true), (1, false), (2, true)]);
}

#[test]
fn always_sample_wants_every_trace_and_no_policy_wants_none() {
    let all = policies(vec![PolicyKind::AlwaysSample]);
    assert_eq!(
        all.decide(NOT_CHOSEN, &TraceSummary::EMPTY),
        Decision::Sampled {
            policy: PolicyIndex(0)
        }
    );
    assert_eq!(all.name(PolicyIndex(0)), Some("policy-0"));
    assert_eq!(all.name(PolicyIndex(1)), None);

    let none = policies(Vec::new());
    assert!(none.is_empty());
    assert_eq!(
        none.decide(CHOSEN, &summary(1_000, StatusCode::Error)),
        Decision::NotSampled
    );
}

/// Compares with what Go's standard library computed: `testdata/parity.go` wrote the file.
#[test]
fn numbers_are_those_of_the_upstream_collector() {
    let mut seen = [0usize; 4];
    for line in include_str!("../../testdata/parity.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["threshold", percentage, expected] => {
                seen[0] += 1;
                let threshold = probabilistic::tests::parity_threshold(f64::from_bits(number(percentage)));
                assert_eq!(threshold, number(expected), "{line}");
            }
            ["hash", salt, id, expected] => {
                seen[1] += 1;
                let salt = String::from_utf8(bytes(salt)).unwrap();
                assert_eq!(
                    probabilistic::tests::parity_hash(&salt, trace_id(id)),
                    number(expected),
                    "{line}"
                );
            }
            ["kept", percentage, id, expected] => {
                seen[2] += 1;
                let sampling_percentage = f64::from_bits(number(percentage));
                let policies = policies(vec![PolicyKind::Probabilistic {
                    hash_salt: String::new(),
                    sampling_percentage,
                }]);
                let kept = policies.decide(trace_id(id), &TraceSummary::EMPTY) != Decision::NotSampled;
                assert_eq!(kept, expected == "1", "{line}");
            }
            ["duration", start, end, expected] => {
                seen[3] += 1;
                let duration = latency::tests::parity(number(start), number(end));
                assert_eq!(duration, number(expected).cast_signed(), "{line}");
            }
            _ => panic!("not a fact: {line}"),
        }
    }
    assert!(seen.iter().all(|n| *n > 300), "facts of each kind: {seen:?}");
}

fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn trace_id(hex: &str) -> TraceId {
    TraceId(bytes(hex).try_into().unwrap())
}
