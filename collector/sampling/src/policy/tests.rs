mod differences;
mod each;
mod properties;
mod trace;

use tracepipe_config::{SimplePolicy, StatusCode as Wanted};
use tracepipe_otlp::view::StatusCode;

use super::*;
use crate::summary::StatusSet;

fn policies(kinds: Vec<PolicyKind>) -> Policies {
    Policies::new(&settings(kinds), false).unwrap()
}

fn settings(kinds: Vec<PolicyKind>) -> Vec<PolicySettings> {
    kinds
        .into_iter()
        .enumerate()
        .map(|(n, kind)| PolicySettings {
            name: format!("policy-{n}"),
            kind,
        })
        .collect()
}

fn simple(policies: Vec<SimplePolicy>) -> Vec<PolicyKind> {
    policies.into_iter().map(PolicyKind::Simple).collect()
}

fn question(trace_id: TraceId, summary: &TraceSummary) -> Question<'_> {
    Question {
        now: Duration::ZERO,
        trace_id,
        summary,
    }
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

fn errors() -> SimplePolicy {
    SimplePolicy::StatusCode {
        status_codes: vec![Wanted::Error],
    }
}

fn slow(threshold_ms: i64) -> SimplePolicy {
    SimplePolicy::Latency {
        threshold_ms,
        upper_threshold_ms: None,
    }
}

fn share(sampling_percentage: f64) -> SimplePolicy {
    SimplePolicy::Probabilistic {
        hash_salt: String::new(),
        sampling_percentage,
    }
}

/// The policies of the first example: errors, slow ones, a tenth of the rest.
fn example() -> Policies {
    policies(simple(vec![errors(), slow(500), share(10.0)]))
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
        let decided = match example().decide(&question(id, &summary(milliseconds, status))) {
            Decision::Sampled { policy } => Some(policy.index()),
            Decision::NotSampled | Decision::Dropped { .. } => None,
        };
        assert_eq!(decided, expected, "{id} {milliseconds} ms {status:?}");
    }
}

#[test]
fn every_policy_says_what_it_wants_also_after_the_first_that_does() {
    let failed = summary(1, StatusCode::Error);
    let mut verdicts = Vec::new();
    let decision = example().evaluate(&question(CHOSEN, &failed), |policy, verdict| {
        verdicts.push((policy.index(), verdict));
    });
    let policy = PolicyIndex(0);
    assert_eq!(decision, Decision::Sampled { policy });
    assert_eq!(
        verdicts,
        [
            (0, Verdict::Sampled),
            (1, Verdict::NotSampled),
            (2, Verdict::Sampled)
        ]
    );
}

#[test]
fn on_first_match_the_policies_after_it_are_not_asked() {
    let settings = settings(simple(vec![slow(500), errors(), share(100.0)]));
    let mut policies = Policies::new(&settings, true).unwrap();
    let mut verdicts = Vec::new();
    policies.evaluate(&question(CHOSEN, &summary(1, StatusCode::Error)), |_, verdict| {
        verdicts.push(verdict);
    });
    assert_eq!(verdicts, [Verdict::NotSampled, Verdict::Sampled]);
}

#[test]
fn drop_policies_are_asked_first_and_the_first_that_matches_ends_it() {
    let drop_when = |policy| PolicyKind::Drop(vec![AndMember::Simple(policy)]);
    let mut policies = policies(vec![
        PolicyKind::Simple(SimplePolicy::AlwaysSample),
        drop_when(slow(500)),
        drop_when(errors()),
        drop_when(share(100.0)),
    ]);
    let mut verdicts = Vec::new();
    let failed = summary(1, StatusCode::Error);
    let decision = policies.evaluate(&question(CHOSEN, &failed), |policy, verdict| {
        verdicts.push((policy.index(), verdict));
    });
    let policy = PolicyIndex(2);
    assert_eq!(decision, Decision::Dropped { policy });
    assert_eq!(verdicts, [(1, Verdict::NotSampled), (2, Verdict::Dropped)]);
}

#[test]
fn always_sample_wants_every_trace_and_no_policy_wants_none() {
    let mut all = policies(simple(vec![SimplePolicy::AlwaysSample]));
    let policy = PolicyIndex(0);
    assert_eq!(
        all.decide(&question(NOT_CHOSEN, &TraceSummary::EMPTY)),
        Decision::Sampled { policy }
    );
    assert_eq!(all.name(policy), Some("policy-0"));
    assert_eq!(all.find("policy-0"), Some(policy));
    assert_eq!(all.name(PolicyIndex(1)), None);

    let mut none = policies(Vec::new());
    assert!(none.is_empty());
    assert_eq!(
        none.decide(&question(CHOSEN, &summary(1_000, StatusCode::Error))),
        Decision::NotSampled
    );
}

#[test]
fn policies_that_cannot_be_used_are_refused() {
    let flag = |n: usize| SimplePolicy::BooleanAttribute {
        key: format!("key-{n}"),
        value: true,
        invert_match: false,
    };
    let flags = |count| Policies::new(&settings(simple((0..count).map(flag).collect())), false);
    assert!(flags(128).is_ok());
    assert_eq!(flags(129).unwrap_err(), PolicyError::TooManyPredicates(129));

    let pattern = SimplePolicy::StringAttribute {
        key: "key".to_owned(),
        matcher: tracepipe_config::StringMatcher::Regex {
            patterns: vec!["(".to_owned()],
            cache_max_size: 1,
        },
        invert_match: false,
    };
    let error = Policies::new(&settings(simple(vec![pattern])), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the pattern \"(\" a group does not end: ) is missing"
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
                let mut policies = policies(simple(vec![share(sampling_percentage)]));
                let question = question(trace_id(id), &TraceSummary::EMPTY);
                let kept = policies.decide(&question) != Decision::NotSampled;
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
