use tracepipe_crds::conditions::reasons;

use super::*;
use crate::aws::Kind;

const ARN: &str = "arn:aws:iam::111122223333:role/a";

fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(seconds)
}

fn denied() -> Assumed {
    Assumed::Denied(reasons::ASSUME_ROLE_DENIED, "no".to_owned())
}

fn silence() -> Assumed {
    Assumed::Unanswered(Trouble::of(
        reasons::AWS_UNREACHABLE,
        Kind::Passing,
        "?".to_owned(),
    ))
}

fn proof(proven: bool) -> Proof {
    Proof::default().of(ARN, proven)
}

#[test]
fn a_refusal_counts_after_three_minutes() {
    let mut proof = proof(false);
    assert_eq!(proof.view(at(0)), View::Unknown);
    proof.take(denied(), at(0));
    assert_eq!(proof.view(at(1)), View::NotYet("no"));
    proof.take(denied(), at(179));
    assert_eq!(proof.view(at(179)), View::NotYet("no"));
    proof.take(denied(), at(180));
    assert_eq!(
        proof.view(at(180)),
        View::Denied(reasons::ASSUME_ROLE_DENIED, "no")
    );
    proof.take(Assumed::Granted, at(200));
    assert_eq!(proof.view(at(200)), View::Proven);
}

#[test]
fn a_proven_role_stays_so_while_sts_is_silent_and_for_three_minutes_of_refusals() {
    let mut proof = proof(true);
    for minute in 0..100 {
        proof.take(silence(), at(60 * minute));
        assert_eq!(proof.view(at(60 * minute)), View::Proven);
    }
    proof.take(denied(), at(6000));
    proof.take(denied(), at(6179));
    assert_eq!(proof.view(at(6179)), View::Proven);
    proof.take(denied(), at(6180));
    assert!(matches!(proof.view(at(6180)), View::Denied(..)));
}

#[test]
fn what_was_known_of_one_role_is_not_about_another() {
    let mut proof = proof(false);
    proof.take(Assumed::Granted, at(0));
    assert_eq!(proof.clone().of(ARN, false).view(at(1)), View::Proven);
    let other = proof.of("arn:aws:iam::111122223333:role/b", false);
    assert_eq!(other.view(at(1)), View::Unknown);
    assert!(other.is_due(at(1)));
}

#[test]
fn aws_is_asked_rarely_when_proven_and_within_20_seconds_when_not() {
    let mut proof = proof(false);
    let mut now = 0;
    for _ in 0..50 {
        assert!(proof.is_due(at(now)));
        proof.take(denied(), at(now));
        let pause = proof.next().unwrap().duration_since(at(now)).as_secs();
        assert!((1..=20).contains(&pause), "{pause}");
        now += pause;
    }
    proof.take(Assumed::Granted, at(now));
    assert!(!proof.is_due(at(now + 500)));
    assert!(proof.is_due(at(now + 600)));
}

#[test]
fn pods_wait_for_a_proof_a_minute_and_longer_only_if_they_work_with_another_role() {
    let trouble = Trouble::of(reasons::AWS_UNREACHABLE, Kind::Passing, String::new());
    let views = [
        View::Proven,
        View::Denied("", ""),
        View::NotYet(""),
        View::Unanswered(&trouble),
        View::Unknown,
    ];
    let waits = |pods: Pods, has_arn: bool, seconds: i64| {
        let waited = SignedDuration::from_secs(seconds);
        views
            .clone()
            .map(|view| wait(pods, has_arn, &view, waited).is_some())
    };
    let (never, unless_proven) = ([false; 5], [false, true, true, true, true]);
    assert_eq!(waits(Pods::None, true, 59), unless_proven);
    assert_eq!(waits(Pods::None, true, 60), never);
    assert_eq!(waits(Pods::None, false, 60), never);
    assert_eq!(waits(Pods::SameRole, true, 0), never);
    assert_eq!(waits(Pods::OtherRole, true, 59), unless_proven);
    // Refused: those that work stay. Silent: the change goes ahead.
    assert_eq!(
        waits(Pods::OtherRole, true, 3600),
        [false, true, true, false, false]
    );
    // Nobody knows which role: those that work stay.
    assert_eq!(waits(Pods::OtherRole, false, 3600), unless_proven);
}
