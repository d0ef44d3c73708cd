//! X-Ray that fails: nothing that may still be taken is lost, and what is lost is counted.

use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::fake_xray::{Credentials, Failure, FakeXray, Options, Script, TestTls, Verifier, When};
use tracepipe_e2e::load::Target;
use tracepipe_e2e::workload::Mix;

use crate::rig::{self, KEY, LIMIT, XrayRig, plain, send, settled, truths};

/// Every trace is kept.
const ALL_FAIL: Mix = Mix {
    error_share: 1.0,
    slow_share: 0.0,
    slow_ms: 500,
};

/// Sends 100 failed traces and waits until all is decided and sent.
async fn run(rig: &XrayRig) {
    let plain = plain(3, ALL_FAIL, 1000);
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &plain, 5).await;
    assert!(report.all_accepted(), "{:?}", report.answers);
    let account = settled(&rig.collector, report.spans).await;
    assert_eq!(account.sum("tracepipe_exporter_spans_lost"), 0);
    let documents = rig.documents();
    for truth in truths(&plain, 5) {
        assert!(
            rig.has_whole(&documents, &truth),
            "trace {} is not whole",
            truth.trace_id
        );
    }
}

async fn survives(failure: Failure) {
    let rig = rig::xray(|start| start.set("exporters.awsxray.request_timeout_seconds=2")).await;
    rig.fake.set_script(Some(Script {
        when: When::Next(3),
        failure: failure.clone(),
    }));
    run(&rig).await;
    assert_eq!(rig.fake.counts().scripted, 3, "{failure:?}");
    rig.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_only_delays() {
    survives(Failure::Throttle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_costs_a_call() {
    for seconds_ahead in [3600, -3600] {
        let rig = rig::xray(|start| start).await;
        rig.fake.set_seconds_ahead(seconds_ahead);
        run(&rig).await;
        let denied = rig.fake.counts().denied;
        assert!((1..20).contains(&denied), "{denied}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_and_timeouts_only_delay() {
    tokio::join!(
        survives(Failure::Status(500)),
        survives(Failure::Status(503)),
        survives(Failure::Status(408))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_and_hanging_connections_only_delay() {
    tokio::join!(
        survives(Failure::Close),
        survives(Failure::LoseAnswer),
        survives(Failure::Hang)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_come_back_for_load_are_sent_again_alone() {
    let rig = rig::xray(|start| start).await;
    let failure = Failure::Unprocessed {
        code: "ThrottledException".into(),
        documents: 10,
    };
    rig.fake.set_script(Some(Script {
        when: When::Next(2),
        failure,
    }));
    run(&rig).await;
    let counts = rig.fake.counts();
    assert!(counts.documents_scripted > 0);
    assert_eq!(
        counts.documents_repeated, 0,
        "documents that had been taken were sent again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_refused_for_good_are_counted_by_reason() {
    let rig = rig::xray(|start| start).await;
    let failure = Failure::Unprocessed {
        code: "InvalidName".into(),
        documents: 1,
    };
    rig.fake.set_script(Some(Script {
        when: When::Next(1),
        failure,
    }));
    let plain = plain(3, ALL_FAIL, 1000);
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &plain, 5).await;
    let account = settled(&rig.collector, report.spans).await;
    assert_eq!(
        account
            .by_label("tracepipe_exporter_spans_lost", "reason")
            .get("invalid_name"),
        Some(&1)
    );
    assert_eq!(rig.fake.counts().documents_accepted, report.spans - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_wait_for_a_role_that_is_repaired() {
    let rig = rig::xray(|start| start).await;
    let wrong = Verifier {
        credentials: vec![],
        region: None,
        service: "xray".into(),
    };
    rig.fake.set_verifier(wrong);
    let plain = plain(3, ALL_FAIL, 1000);
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &plain, 5).await;
    assert!(report.all_accepted(), "{:?}", report.answers);
    tokio::time::timeout(LIMIT, rig.fake.wait_until(|counts| counts.denied > 0))
        .await
        .unwrap();
    let credentials = vec![Credentials::new(KEY.0, KEY.1)];
    rig.fake.set_verifier(Verifier {
        credentials,
        region: Some("us-east-1".into()),
        service: "xray".into(),
    });
    let account = settled(&rig.collector, report.spans).await;
    assert_eq!(account.sum("tracepipe_exporter_spans_lost"), 0);
    assert_eq!(rig.fake.counts().documents_accepted, report.spans);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_has_more_than_fifty_documents_and_most_are_full() {
    let rig = rig::xray(|start| start).await;
    run(&rig).await;
    let counts = rig.fake.counts();
    assert_eq!(counts.invalid, 0);
    assert!(
        counts.put_calls <= 30,
        "{} calls for 1000 documents",
        counts.put_calls
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn https_with_an_authority_of_ones_own_works() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let tls = TestTls::new(&[]).unwrap();
    std::fs::write(&ca_file, tls.ca_pem()).unwrap();
    let key = Credentials {
        session_token: Some("session".into()),
        ..Credentials::new(KEY.0, KEY.1)
    };
    let fake = FakeXray::start(Options {
        tls: Some(tls),
        ..Options::new(key)
    })
    .await
    .unwrap();
    let start = Start::new(rig::example("seed1.yaml"))
        .set("processors.tail_sampling.decision_wait=1s")
        .xray(fake.url(), KEY)
        .env("AWS_SESSION_TOKEN", "session")
        .env("SSL_CERT_FILE", ca_file.display().to_string());
    let collector = CollectorProcess::start(start).await.unwrap();
    let rig = XrayRig { fake, collector };
    run(&rig).await;
    rig.assert_clean();
}
