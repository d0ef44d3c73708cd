use serde_json::{Value, json};

use super::answer::read;
use super::*;

fn start() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn secs(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// An answer whose exporter has failed for so many seconds, with a reason and a code.
fn fails(reason: &str, code: &str, seconds: i64) -> Value {
    json!([{"id": "awsxray", "failing": {"reason": reason, "code": code, "seconds": seconds}, "lost": {}}])
}

fn denied(seconds: i64) -> Value {
    fails("access_denied", "AccessDeniedException", seconds)
}

fn fine() -> Value {
    lost("queue_full", 0)
}

fn lost(reason: &str, count: u64) -> Value {
    json!([{"id": "awsxray", "failing": null, "lost": {reason: count}}])
}

/// Collectors by name, and what they answer; None: nobody does.
struct Story {
    asked: Asked,
    collectors: BTreeMap<String, Option<Value>>,
    now: Timestamp,
    news: usize,
}

impl Story {
    fn new(collectors: usize) -> Self {
        let all = (0..collectors).map(|number| (format!("pod-{number:04}"), Some(fine())));
        Self {
            asked: Asked::new(Times::new(PATIENCE), start()),
            collectors: all.collect(),
            now: start(),
            news: 0,
        }
    }

    fn all(&mut self, answer: Option<Value>) {
        let names: Vec<String> = self.collectors.keys().cloned().collect();
        for name in names {
            self.collectors.insert(name, answer.clone());
        }
    }

    fn one(&mut self, number: usize, answer: Option<Value>) {
        self.collectors.insert(format!("pod-{number:04}"), answer);
    }

    /// A round; answers how many were asked.
    fn round(&mut self) -> usize {
        let round = self.asked.next_round(&self.collectors, self.now);
        let asked = round.len();
        for (name, answer) in round {
            let answer = answer
                .ok_or(Unasked::NoAnswer)
                .and_then(|exporters| read(json!({ "exporters": exporters }).to_string().as_bytes()));
            self.asked.hear(name, answer, self.now);
        }
        if self.asked.conclude(&self.collectors, self.now) {
            self.news += 1;
        }
        asked
    }

    /// Rounds, a minute apart; answers what is said then.
    fn rounds(&mut self, count: usize) -> String {
        for _ in 0..count {
            self.now += secs(60);
            self.round();
        }
        self.says()
    }

    fn verdict(&self) -> Option<Verdict> {
        self.asked.verdict(None, self.now)
    }

    fn says(&self) -> String {
        self.verdict()
            .map_or("-".to_owned(), |one| format!("{}/{}", one.status, one.reason))
    }

    fn message(&self) -> String {
        self.verdict().unwrap().message
    }

    fn news(&mut self) -> usize {
        std::mem::take(&mut self.news)
    }
}

#[test]
fn a_backend_that_takes_nothing_for_three_minutes_is_told_once_and_its_end_as_well() {
    let mut story = Story::new(2);
    assert_eq!(story.says(), "-");
    assert_eq!(story.rounds(1), "True/Exporting");
    story.all(Some(denied(179)));
    assert_eq!(story.rounds(1), "True/Exporting");
    story.news();
    story.all(Some(denied(180)));
    assert_eq!(story.rounds(1), "False/AccessDenied");
    let message = story.message();
    for part in [
        "awsxray on every collector that was asked",
        "AccessDeniedException",
        "since 2026-11-21T12:00:00Z",
        "bounded queue",
        "render --iam",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    for age in 4..60 {
        story.all(Some(denied(age * 60)));
        story.rounds(1);
    }
    assert_eq!((story.news(), story.message()), (1, message));
    story.all(Some(fine()));
    assert_eq!(story.rounds(1), "True/Exporting");
    assert_eq!(story.news(), 1);
}

#[test]
fn each_reason_of_a_collector_is_one_of_the_condition() {
    for (reason, said) in [
        ("access_denied", "AccessDenied"),
        ("unauthenticated", "AccessDenied"),
        ("credentials", "NoCredentials"),
        ("connection", "Unreachable"),
        ("timeout", "Unreachable"),
        ("server_error", "BackendFailing"),
        ("throttled", "Throttled"),
        ("signature", "Refused"),
        ("construction", "Refused"),
        ("\u{0}what a hostile pod says", "Refused"),
    ] {
        let mut story = Story::new(1);
        story.all(Some(fails(reason, "", 200)));
        assert_eq!(story.rounds(1), format!("False/{said}"), "{reason}");
        assert!(!story.message().contains("hostile"), "{}", story.message());
    }
}

/// The words of `prometheusremotewrite`, and the conditions' reasons.
fn of_remote_write() -> Vec<(&'static str, &'static str)> {
    let lines = include_str!("../../testdata/failing.txt").lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).collect()
}

#[test]
fn each_reason_of_remote_write_is_known_and_has_a_way_out_of_its_own() {
    for (reason, condition) in of_remote_write() {
        let cause = Cause::known(reason).unwrap_or_else(|| panic!("{reason}"));
        assert_eq!(cause.reason(), condition, "{reason}");
    }
    let message = |reason: &str| {
        let mut answer = fails(reason, "", 200);
        answer[0]["id"] = json!("prometheusremotewrite");
        let mut story = Story::new(1);
        story.all(Some(answer));
        story.rounds(1);
        story.message()
    };
    for (reason, way_out) in [
        ("denied", "the role needs aps:RemoteWrite on the workspace"),
        ("credentials", "see IdentityReady"),
        ("not_found", "spec.ampRemoteWriteEndpoint has to be"),
        ("redirected", "spec.ampRemoteWriteEndpoint has to be"),
        ("proxy_denied", "the proxy has to let the collectors through"),
        ("connection", "the nodes need a way to the endpoint"),
        ("timeout", "the nodes need a way to the endpoint"),
        ("server_error", "AWS's health dashboard"),
        ("refused", "the collectors' logs have its answers"),
        ("throttled", "send fewer series"),
    ] {
        let message = message(reason);
        assert!(message.contains(way_out), "{reason}: {message}");
        assert!(message.contains("samples wait"), "{message}");
    }
}

#[test]
fn of_several_reasons_one_is_told_and_stays() {
    let mut story = Story::new(3);
    story.one(0, Some(fails("throttled", "ThrottledException", 400)));
    story.one(1, Some(denied(300)));
    assert_eq!(story.rounds(1), "False/AccessDenied");
    assert!(story.message().contains("several of the collectors"));
    story.news();
    // By turns, as a backend does that is about to fall over.
    for turn in 0..30 {
        let other = if turn % 2 == 0 { "timeout" } else { "server_error" };
        story.one(0, Some(fails(other, "", 400)));
        story.one(
            1,
            Some(if turn % 3 == 0 {
                denied(400)
            } else {
                fails(other, "", 400)
            }),
        );
        assert_eq!(story.rounds(1), "False/AccessDenied");
    }
    assert_eq!(story.news(), 0);
    // What is otherwise for good is told after five minutes.
    story.one(0, Some(fine()));
    story.one(1, Some(fails("timeout", "", 400)));
    assert_eq!(story.rounds(2), "False/AccessDenied");
    assert_eq!(story.rounds(4), "False/Unreachable");
    assert!(
        story.message().contains("one of the collectors"),
        "{}",
        story.message()
    );
    assert_eq!(story.news(), 1);
}

#[test]
fn new_pods_that_fail_anew_are_no_recovery() {
    let mut story = Story::new(2);
    story.all(Some(denied(1000)));
    assert_eq!(story.rounds(1), "False/AccessDenied");
    let message = story.message();
    story.collectors = [("new-pod".to_owned(), None)].into();
    // Not asked yet, then failing for seconds only.
    assert_eq!(story.rounds(1), "False/AccessDenied");
    story.all(Some(denied(20)));
    assert_eq!(story.rounds(2), "False/AccessDenied");
    assert_eq!(story.message(), message);
    story.all(Some(fine()));
    assert_eq!(story.rounds(1), "True/Exporting");
}

#[test]
fn spans_that_are_lost_are_told_until_none_was_for_five_minutes() {
    let mut story = Story::new(3);
    // What was lost before anybody asked is no news.
    story.one(0, Some(lost("queue_full", 500)));
    assert_eq!(story.rounds(2), "True/Exporting");
    story.one(0, Some(lost("queue_full", 501)));
    assert_eq!(story.rounds(1), "False/LosingSpans");
    let message = story.message();
    assert!(
        message.contains("one of the collectors") && message.contains("(queue_full)"),
        "{message}"
    );
    assert!(message.contains("samplingRatePercentage"), "{message}");
    story.news();
    for count in 0..20 {
        story.one(0, Some(lost("queue_full", 502 + count)));
        story.rounds(1);
    }
    assert_eq!((story.news(), story.message()), (0, message));
    assert_eq!(story.rounds(4), "False/LosingSpans");
    assert_eq!(story.rounds(1), "True/Exporting");
    // A container that starts anew counts from zero.
    story.one(0, Some(lost("queue_full", 0)));
    assert_eq!(story.rounds(2), "True/Exporting");
}

#[test]
fn of_two_samples_of_one_time_none_is_lost_that_could_be_written() {
    let mut story = Story::new(1);
    story.rounds(1);
    for count in 1..5 {
        story.all(Some(lost("duplicate", count)));
        assert_eq!(story.rounds(1), "True/Exporting");
    }
}

#[test]
fn after_a_restart_of_the_operator_losing_spans_stands_until_it_is_known_to_be_over() {
    let mut story = Story::new(1);
    story.rounds(1);
    let verdict = |story: &Story| story.asked.verdict(Some("LosingSpans"), story.now);
    assert_eq!(verdict(&story), None);
    story.rounds(4);
    assert_eq!(verdict(&story).unwrap().status, "True");
}

#[test]
fn a_trouble_that_loses_spans_says_so() {
    let mut story = Story::new(1);
    story.all(Some(denied(200)));
    story.rounds(1);
    let mut answer = denied(300);
    answer[0]["lost"] = json!({"queue_full": 9});
    for _ in 0..8 {
        answer[0]["lost"]["queue_full"] = json!(answer[0]["lost"]["queue_full"].as_u64().unwrap() + 1);
        story.all(Some(answer.clone()));
        story.rounds(1);
    }
    assert_eq!(story.says(), "False/AccessDenied");
    assert!(
        story.message().contains("spans are being lost"),
        "{}",
        story.message()
    );
}

#[test]
fn nothing_is_said_of_collectors_that_nobody_reaches() {
    let mut story = Story::new(2);
    story.all(None);
    assert_eq!(story.rounds(1), "Unknown/CollectorsUnreachable");
    assert!(story.message().contains("NetworkPolicy"), "{}", story.message());
    // One that answers is enough to know something.
    story.one(1, Some(fine()));
    assert_eq!(story.rounds(1), "True/Exporting");
    // And a round that fails is not enough to know nothing.
    story.all(None);
    story.news();
    assert_eq!(story.rounds(3), "True/Exporting");
    assert_eq!(story.rounds(2), "Unknown/CollectorsUnreachable");
    assert_eq!(story.news(), 1);
    story.collectors.clear();
    assert_eq!(story.rounds(10), "Unknown/NotAsked");
}

#[test]
fn an_older_collector_answers_something_else() {
    let mut story = Story::new(1);
    story.all(Some(json!("not found")));
    assert_eq!(story.rounds(1), "Unknown/CollectorsUnreachable");
    assert!(story.message().contains("another release"), "{}", story.message());
}

#[test]
fn a_round_is_of_32_collectors_and_eight_rounds_are_of_all() {
    for (collectors, a_round) in [(1, 1), (32, 32), (33, 32), (256, 32), (1000, 125), (5000, 625)] {
        let mut story = Story::new(collectors);
        story.one(collectors - 1, Some(denied(500)));
        let mut rounds = 0;
        while story.says() != "False/AccessDenied" {
            story.now += secs(60);
            assert_eq!(story.round(), a_round);
            rounds += 1;
            assert!(rounds <= 8, "{collectors}");
        }
        story.news();
        // Nor is it forgotten until its next turn.
        assert_eq!(story.rounds(20), "False/AccessDenied");
        assert_eq!(story.news(), 0, "{collectors}");
        assert!(story.asked.collectors.len() <= collectors);
    }
}

#[test]
fn nobody_is_asked_sooner_than_in_a_minute() {
    let mut story = Story::new(3);
    assert_eq!(story.round(), 3);
    story.now += secs(59);
    assert_eq!(story.round(), 0);
    story.now += secs(1);
    assert_eq!(story.round(), 3);
}

#[test]
fn the_exporters_of_metrics_are_heard_as_well() {
    let answer = json!({
        "exporters": fine(),
        "metrics_exporters": [{
            "id": "prometheusremotewrite",
            "failing": {"reason": "denied", "code": "AccessDeniedException", "seconds": 200},
            "lost": {},
        }],
    });
    let heard = read(answer.to_string().as_bytes()).unwrap();
    let cause = |one: &Exporter| one.failing.as_ref().map(|failing| failing.cause);
    let failing: Vec<_> = heard.iter().map(|one| (one.id.as_str(), cause(one))).collect();
    assert_eq!(
        failing,
        [
            ("awsxray", None),
            ("prometheusremotewrite", Some(Cause::AccessDenied))
        ]
    );
}

#[test]
fn of_a_large_or_strange_answer_little_is_kept() {
    let many: Vec<Value> = (0..1000)
        .map(|number| {
            let lost: serde_json::Map<String, Value> =
                (0..100).map(|reason| (format!("reason{reason}"), json!(1))).collect();
            json!({"id": format!("<b>{number}"), "failing": {"reason": "r", "code": "x".repeat(9999), "seconds": u64::MAX}, "lost": lost})
        })
        .collect();
    let kept = read(json!({"exporters": many, "more": 1}).to_string().as_bytes()).unwrap();
    assert_eq!(kept.len(), 4);
    for one in kept {
        assert_eq!((one.id.as_str(), one.lost.len()), ("other", 32));
        assert_eq!(one.failing.unwrap().code, "other");
    }
    for odd in ["", "{}", "[]", "{\"exporters\": 1}", "\u{0}"] {
        assert_eq!(read(odd.as_bytes()), Err(Unasked::OddAnswer), "{odd}");
    }
}
