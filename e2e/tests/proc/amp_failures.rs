//! Amazon Managed Prometheus that fails: every accepted sample is written once, or counted under one reason.

use std::time::Duration;

use tracepipe_e2e::clock;
use tracepipe_e2e::fake_amp::{Failure, FakeAmp, Limits, OnBad, Options, Poison, Reason};
use tracepipe_e2e::fake_xray::{Credentials, TestTls, Verifier, When};

use crate::amp_rig::{self, AmpRig, Counters, amp, key, lost, written};
use crate::rig::{self, LIMIT};

const SERIES: u64 = 40;
const REQUESTS: u64 = 10;

/// Sends all, and every sample is written in its order; the last account holds.
async fn all_arrive(rig: AmpRig) {
    let counters = Counters::until_now(SERIES, REQUESTS);
    rig.send(&counters, 0..REQUESTS).await;
    rig.assert_all_written(&counters, REQUESTS).await;
    end(rig).await;
}

/// Fails unless nothing is inside at the end.
async fn end(rig: AmpRig) {
    let account = rig::stop(rig.collector).await;
    assert_eq!(account.metrics_inside(), 0);
}

async fn survives(when: When, failure: Failure) {
    let rig = amp(|start| start, |_| {}).await;
    rig.fail(when, failure.clone());
    let counters = Counters::until_now(SERIES, REQUESTS);
    rig.send(&counters, 0..REQUESTS).await;
    rig.assert_all_written(&counters, REQUESTS).await;
    let counts = rig.front.counts();
    assert!(counts.scripted >= 3, "{failure:?}: {counts:?}");
    let repeats = counts.samples_repeated > 0;
    assert_eq!(repeats, failure == Failure::LoseAnswer, "{failure:?}: {counts:?}");
    end(rig).await;
}

fn status(status: u16, retry_after: Option<&str>) -> Failure {
    let retry_after = retry_after.map(str::to_owned);
    Failure::Status { status, retry_after }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_of_every_series_arrive_once_and_in_order() {
    all_arrive(amp(|start| start, |_| {}).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_only_delays_with_and_without_retry_after() {
    tokio::join!(
        survives(When::Next(6), status(429, None)),
        survives(When::Next(3), status(429, Some("1"))),
        survives(When::Next(3), status(503, Some("1"))),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_and_timeouts_only_delay() {
    tokio::join!(
        survives(When::Next(6), status(500, None)),
        survives(When::Next(6), status(502, None)),
        survives(When::Next(6), status(408, None)),
        survives(When::Next(3), Failure::Hang),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_connections_only_delay_and_a_lost_answer_writes_the_same_again() {
    tokio::join!(
        survives(When::Next(6), Failure::Close),
        survives(When::Next(6), Failure::CloseEarly),
        survives(When::Next(6), Failure::LoseAnswer),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_rate_only_delays() {
    let limits = Limits {
        // More at once than a shard's largest request.
        rate: Some((300, 300)),
        ..Limits::default()
    };
    let rig = amp(|start| start, |options| options.limits = Some(limits)).await;
    let counters = Counters::until_now(SERIES, 2 * REQUESTS);
    rig.send(&counters, 0..2 * REQUESTS).await;
    rig.assert_all_written(&counters, 2 * REQUESTS).await;
    assert!(rig.front.counts().over_rate > 0);
    end(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_halved_and_none_of_it_lost() {
    let limits = Limits {
        request_bytes: 2000,
        ..Limits::default()
    };
    let rig = amp(|start| start, |options| options.limits = Some(limits)).await;
    let counters = Counters::until_now(SERIES, REQUESTS);
    rig.send(&counters, 0..REQUESTS).await;
    rig.assert_all_written(&counters, REQUESTS).await;
    assert!(rig.front.counts().too_large > 0);
    end(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_sample_costs_one_sample() {
    for on_bad in [OnBad::RejectRequest, OnBad::KeepGood] {
        let rig = amp(|start| start, |options| options.on_bad = on_bad).await;
        rig.front.set_poison(vec![Poison {
            label: "number".into(),
            value: "17".into(),
            reason: Reason::LabelValueTooLong,
        }]);
        let counters = Counters::until_now(SERIES, REQUESTS);
        let points = rig.send(&counters, 0..REQUESTS).await;
        let account = rig.settled(points).await;
        let mut expected = counters.samples(REQUESTS);
        expected.remove("17");
        assert_eq!(written(&rig.front), expected, "{on_bad:?}");
        let reasons = lost(&account);
        assert_eq!(
            reasons.into_iter().collect::<Vec<_>>(),
            [("rejected_label_value_too_long".to_owned(), REQUESTS)]
        );
        end(rig).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_costs_a_request() {
    // Further than a signature may be, not so far that samples are.
    for seconds_ahead in [480, -480] {
        let rig = amp(|start| start, |_| {}).await;
        rig.front.set_seconds_ahead(seconds_ahead);
        let counters = Counters::until_now(SERIES, REQUESTS);
        rig.send(&counters, 0..REQUESTS).await;
        rig.assert_all_written(&counters, REQUESTS).await;
        let denied = rig.front.counts().denied;
        assert!((1..20).contains(&denied), "{denied}");
        end(rig).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_wait_while_a_session_has_ended() {
    let rig = amp(|start| start, |_| {}).await;
    let verifier = |credentials| Verifier {
        credentials: vec![credentials],
        region: Some("us-east-1".into()),
        service: "aps".into(),
    };
    rig.front.set_verifier(verifier(Credentials {
        expires: Some(clock::wall()),
        ..key()
    }));
    let counters = Counters::until_now(SERIES, REQUESTS);
    rig.send(&counters, 0..REQUESTS).await;
    let denied = rig.front.wait_until(|counts| counts.denied >= 3);
    tokio::time::timeout(LIMIT, denied).await.unwrap();
    rig.front.set_verifier(verifier(key()));
    rig.assert_all_written(&counters, REQUESTS).await;
    end(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_wait_for_an_endpoint_that_is_gone() {
    let AmpRig { front, collector, .. } = amp(|start| start, |_| {}).await;
    let address = front.address();
    drop(front);
    let sender = amp_rig::sender(&collector);
    let counters = Counters::until_now(SERIES, REQUESTS);
    amp_rig::send(&sender, &counters, 0..REQUESTS).await;
    // Every shard has knocked and found nobody.
    let account = collector.wait_until("retries", LIMIT, |account| {
        account.sum("tracepipe_exporter_samples_waiting")
            + account.sum("tracepipe_exporter_samples_in_flight")
            == SERIES * REQUESTS
    });
    account.await.unwrap();
    let again = Options {
        listen: Some(address),
        ..Options::new(key())
    };
    let front = FakeAmp::start(again).await.unwrap();
    let rig = AmpRig {
        front,
        collector,
        sender,
    };
    rig.assert_all_written(&counters, REQUESTS).await;
    end(rig).await;
}

/// Samples of a request, and how many such requests wait.
const SMALL_QUEUE: [&str; 2] = [
    "exporters.prometheusremotewrite.tracepipe.max_samples_per_send=80",
    "exporters.prometheusremotewrite.remote_write_queue.queue_size=6",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_costs_its_oldest_samples_and_no_others() {
    const REQUESTS: u64 = 60;
    const HELD: u64 = 80 * 6;
    let AmpRig { front, collector, .. } = amp(
        |start| {
            SMALL_QUEUE
                .into_iter()
                .fold(start, |start, setting| start.set(setting))
        },
        |_| {},
    )
    .await;
    let address = front.address();
    drop(front);
    let sender = amp_rig::sender(&collector);
    let counters = Counters::until_now(SERIES, REQUESTS);
    let points = amp_rig::send(&sender, &counters, 0..REQUESTS).await;
    let waiting = "tracepipe_exporter_samples_waiting";
    let flying = "tracepipe_exporter_samples_in_flight";
    let full = collector.wait_until("a full queue", LIMIT, |account| {
        account.sum("tracepipe_exporter_samples_translated") == points && account.sum(waiting) == HELD
    });
    let full = full.await.unwrap();
    let lost = points - HELD - full.sum(flying);
    assert_eq!(
        amp_rig::lost(&full).into_iter().collect::<Vec<_>>(),
        [("queue_full".to_owned(), lost)]
    );
    let again = Options {
        listen: Some(address),
        ..Options::new(key())
    };
    let rig = AmpRig {
        front: FakeAmp::start(again).await.unwrap(),
        collector,
        sender,
    };
    let account = rig.settled(points).await;
    // What was there when the endpoint came back has been written, once and in order.
    assert_eq!(amp_rig::lost(&account), amp_rig::lost(&full));
    assert_eq!(account.sum("tracepipe_exporter_samples_written"), points - lost);
    let counts = rig.front.counts();
    let (sent, written) = (counters.samples(REQUESTS), written(&rig.front));
    assert_eq!(
        (
            counts.samples,
            counts.samples_repeated,
            counts.samples_out_of_order
        ),
        (points - lost, 0, 0)
    );
    for (number, samples) in &sent {
        let written = &written[number];
        assert!(
            written
                .iter()
                .all(|(time, value)| samples.get(time) == Some(value))
        );
        let newest = (HELD / SERIES) as usize;
        let (newest_sent, newest_written) = (samples.iter().rev(), written.iter().rev());
        assert!(
            newest_sent.take(newest).eq(newest_written.take(newest)),
            "{number}: {written:?}"
        );
    }
    end(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_before_the_end_is_counted() {
    let rig = amp(|start| start, |_| {}).await;
    rig.fail(When::Every(1), status(503, None));
    let counters = Counters::until_now(SERIES, REQUESTS);
    let points = rig.send(&counters, 0..REQUESTS).await;
    let account = rig::stop(rig.collector).await;
    assert_eq!(account.metrics_inside(), 0);
    assert_eq!(
        lost(&account).into_iter().collect::<Vec<_>>(),
        [("shutdown".to_owned(), points)]
    );
    assert_eq!(account.sum("tracepipe_exporter_samples_translated"), points);
    assert!(written(&rig.front).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_the_end_gets_a_last_attempt() {
    let rig = amp(
        |start| start.set("exporters.prometheusremotewrite.tracepipe.batch_send_deadline=60s"),
        |_| {},
    )
    .await;
    let counters = Counters::until_now(SERIES, REQUESTS);
    rig.send(&counters, 0..REQUESTS).await;
    let account = rig::stop(rig.collector).await;
    assert_eq!((account.metrics_inside(), lost(&account).len()), (0, 0));
    assert_eq!(written(&rig.front), counters.samples(REQUESTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn https_with_an_authority_of_ones_own_works() {
    for is_setting in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        let tls = TestTls::new(&[]).unwrap();
        std::fs::write(&ca_file, tls.ca_pem()).unwrap();
        let ca_file = ca_file.display().to_string();
        let session = Credentials {
            session_token: Some("session".into()),
            ..key()
        };
        let rig = amp(
            |start| {
                let start = start.env("AWS_SESSION_TOKEN", "session");
                if is_setting {
                    start.set(format!("exporters.prometheusremotewrite.tls.ca_file={ca_file}"))
                } else {
                    start.env("SSL_CERT_FILE", ca_file)
                }
            },
            |options| {
                *options = Options {
                    tls: Some(tls),
                    ..Options::new(session)
                }
            },
        )
        .await;
        all_arrive(rig).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_with_an_authority_that_nobody_named_writes_nothing_and_loses_nothing() {
    let mut rig = amp(
        |start| start,
        |options| {
            *options = Options {
                tls: Some(TestTls::new(&[]).unwrap()),
                ..Options::new(key())
            }
        },
    )
    .await;
    let counters = Counters::until_now(SERIES, 1);
    let points = rig.send(&counters, 0..1).await;
    let untrusted = |line: &str| {
        (line.contains("remote write request failed") && line.contains("certificate")).then_some(())
    };
    let process = rig.collector.process();
    process
        .wait_for_line("what is wrong", LIMIT, untrusted)
        .await
        .unwrap();
    let account = rig.collector.checked_account().await.unwrap();
    assert_eq!(account.metrics_inside(), points, "{account:#?}");
    assert!(written(&rig.front).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_for_another_region_writes_nothing_and_loses_nothing_at_once() {
    let rig = amp(|start| start.set("extensions.sigv4auth.region=eu-west-1"), |_| {}).await;
    rig.front.set_verifier(Verifier {
        credentials: vec![key()],
        region: Some("us-east-1".into()),
        service: "aps".into(),
    });
    let counters = Counters::until_now(SERIES, 1);
    let points = rig.send(&counters, 0..1).await;
    let denied = rig.front.wait_until(|counts| counts.denied >= 3);
    tokio::time::timeout(LIMIT, denied).await.unwrap();
    let account = rig.collector.checked_account().await.unwrap();
    assert_eq!(account.metrics_inside(), points, "{account:#?}");
    assert!(written(&rig.front).is_empty());
}

/// Long enough that a request which waits for the other pipeline would be seen.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn traces_flow_while_metrics_hang_and_metrics_while_traces_do() {
    let both = amp_rig::both().await;
    both.front.set_script(Some(amp_rig::always(Failure::Hang)));
    both.send_metrics(3).await;
    let spans = both.send_traces(100).await;
    let arrived = both.sink.wait_until(|counts| counts.spans >= spans);
    tokio::time::timeout(PATIENCE, arrived).await.unwrap();

    both.front.set_script(None);
    both.sink.set_behaviour(tracepipe_e2e::otlp_sink::Behaviour::Hang);
    both.send_traces(100).await;
    let points = both.send_metrics(3).await;
    let arrived = both.front.wait_until(|counts| counts.samples >= points);
    tokio::time::timeout(PATIENCE, arrived).await.unwrap();
    both.sink
        .set_behaviour(tracepipe_e2e::otlp_sink::Behaviour::Accept);
    let account = rig::stop(both.collector).await;
    assert_eq!((account.metrics_inside(), account.spans_inside()), (0, 0));
}
