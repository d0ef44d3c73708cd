//! Command line, health, going down.

use std::process::Output;
use std::time::Duration;

use http::StatusCode;
use tokio::process::Command;
use tracepipe_e2e::clock;
use tracepipe_e2e::collector::{CollectorProcess, Start, find_binary};
use tracepipe_e2e::fake_xray::{Failure, Script, When};
use tracepipe_e2e::load::Target;
use tracepipe_e2e::workload::Mix;

use crate::rig::{self, LIMIT, plain, send, truths};

async fn collector(args: &[&str]) -> Output {
    let command = Command::new(find_binary().unwrap()).args(args).output();
    tokio::time::timeout(LIMIT, command).await.unwrap().unwrap()
}

#[tokio::test]
async fn version_and_validate_answer_at_once() {
    let version = collector(&["--version"]).await;
    assert!(version.status.success());
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("tracepipe-collector "));
    let seed = rig::example("seed1.yaml").display().to_string();
    let valid = collector(&["validate", "--config", &seed]).await;
    assert!(
        valid.status.success(),
        "{}",
        String::from_utf8_lossy(&valid.stderr)
    );
}

#[tokio::test]
async fn every_mistake_of_a_configuration_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yaml");
    let seed = std::fs::read_to_string(rig::example("seed1.yaml")).unwrap();
    let wrong = seed
        .replace("limit_mib: 400", "limit_mibs: 400")
        .replace("threshold_ms: 500", "threshold_ms: soon");
    std::fs::write(&file, wrong).unwrap();
    let name = file.display().to_string();
    for arguments in [&["validate", "--config", &name][..], &["--config", &name]] {
        let refused = collector(arguments).await;
        assert!(!refused.status.success());
        let said =
            String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
        for part in ["limit_mibs", "threshold_ms", "wrong.yaml:"] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_alive_and_ready_until_it_is_told_to_go() {
    let mut rig = rig::xray(|start| start).await;
    for path in ["/", "/livez", "/readyz"] {
        assert_eq!(
            rig.collector.health(path).await.unwrap().0,
            StatusCode::OK,
            "{path}"
        );
    }
    rig.collector.process().signal_terminate().await.unwrap();
    let not_ready = async { while rig.collector.health("/readyz").await.unwrap().0 == StatusCode::OK {} };
    tokio::time::timeout(LIMIT, not_ready).await.unwrap();
    assert_eq!(rig.collector.health("/livez").await.unwrap().0, StatusCode::OK);
    assert!(rig.collector.wait(LIMIT).await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_come_before_and_after_sigterm_are_decided_and_exported() {
    let mut rig = rig::xray(|start| start.set("processors.tail_sampling.decision_wait=3s")).await;
    let all_fail = Mix {
        error_share: 1.0,
        ..Mix::default()
    };
    let grpc = rig.collector.grpc().unwrap();
    let before = plain(1, all_fail, 1000);
    let first = send(Target::grpc(grpc), &before, 5).await;
    rig.collector.process().signal_terminate().await.unwrap();
    // Endpoints have not moved yet: clients still send here.
    let after = plain(2, all_fail, 1000);
    let second = send(Target::grpc(grpc), &after, 5).await;
    assert!(
        first.all_accepted() && second.all_accepted(),
        "{:?} {:?}",
        first.answers,
        second.answers
    );
    let ended = rig.collector.wait(LIMIT).await.unwrap();
    assert!(ended.status.success());
    let account = ended.account.unwrap();
    assert_eq!((account.check(), account.spans_inside()), (Ok(()), 0));
    let exported = account.sum_with("tracepipe_exporter_spans_exported", "exporter", |id| {
        id == "awsxray"
    });
    assert_eq!(exported, first.spans + second.spans);
    assert_eq!(rig.fake.counts().documents_accepted, exported);
    for truth in truths(&before, 5).iter().chain(&truths(&after, 5)) {
        let id = truth.spans[0].to_string();
        assert!(
            rig.fake.accepted().iter().any(|document| document.id == id),
            "{id}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_collector_that_starts_again_remembers_what_it_decided() {
    let folder = tempfile::tempdir().unwrap();
    let remembering = |start: Start| {
        start
            .set(format!(
                "processors.tail_sampling.decision_cache.directory={}",
                folder.path().display()
            ))
            .set(
                "processors.tail_sampling.policies=[{name: errors, type: status_code, status_code: \
                 {status_codes: [ERROR]}}]",
            )
    };
    let half_fail = Mix {
        error_share: 0.5,
        ..Mix::default()
    };
    let sent = plain(1, half_fail, 1000);
    let mut first = rig::xray(remembering).await;
    let report = send(Target::grpc(first.collector.grpc().unwrap()), &sent, 5).await;
    let account = rig::settled(&first.collector, report.spans_accepted).await;
    let kept = account.sum("tracepipe_spans_kept");
    assert!(0 < kept && kept < report.spans, "{kept} of {}", report.spans);
    let traces = truths(&sent, 5).len() as u64;
    let written = async {
        let figure = "tracepipe_decision_log_written_total";
        while first.collector.metrics().await.unwrap().sum(figure) < traces as f64 {}
    };
    tokio::time::timeout(LIMIT, written).await.unwrap();
    first.collector.process().kill().await.unwrap();

    // The same spans once more: late ones of traces that are decided.
    let second = rig::xray(remembering).await;
    let report = send(Target::grpc(second.collector.grpc().unwrap()), &sent, 5).await;
    let account = rig::settled(&second.collector, report.spans_accepted).await;
    let late = account.sum_with("tracepipe_spans_dropped", "reason", |reason| reason == "late");
    assert_eq!(account.sum("tracepipe_spans_kept"), kept);
    assert_eq!(late, report.spans - kept);
    second.assert_clean();
}

#[tokio::test]
async fn a_limit_that_leaves_no_room_is_said_and_ends_the_collector() {
    let start = Start::new(rig::example("seed1.yaml"))
        .set("processors.memory_limiter.limit_mib=32")
        .set("processors.memory_limiter.spike_limit_mib=31")
        .xray("http://127.0.0.1:9", rig::KEY);
    let error = CollectorProcess::start(start).await.unwrap_err();
    let said = format!("{error:#}");
    // Not by the limit of a start: it has ended.
    assert!(said.contains("exit status: 1"), "{said}");
    assert!(said.contains("below what the collector itself needs"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_that_are_dropped_do_not_hold_up_the_end() {
    const DECISION_WAIT: u64 = 8;
    let mut rig = rig::xray(|start| {
        start
            .set(format!("processors.tail_sampling.decision_wait={DECISION_WAIT}s"))
            .set(
                "processors.tail_sampling.policies=[{name: errors, type: status_code, status_code: \
                 {status_codes: [ERROR]}}]",
            )
    })
    .await;
    let none_fail = Mix {
        error_share: 0.0,
        ..Mix::default()
    };
    let sent = plain(1, none_fail, 1000);
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &sent, 5).await;
    let began = clock::now();
    rig.collector.process().signal_terminate().await.unwrap();
    // Nobody asks for metrics meanwhile: that would wake whoever sleeps.
    let ended = rig.collector.wait(LIMIT).await.unwrap();
    let took = clock::now().duration_since(began);
    assert!(took < Duration::from_secs(DECISION_WAIT + 25), "{took:?}");
    let account = ended.account.unwrap();
    assert_eq!((account.check(), account.spans_inside()), (Ok(()), 0));
    let dropped = account.sum_with("tracepipe_spans_dropped", "reason", |reason| reason == "policy");
    assert_eq!(dropped, report.spans);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_goes_down_in_time_when_xray_hangs() {
    // Several batches are on their way at the end, and each is accounted for.
    let mut rig = rig::xray(|start| start.set("processors.batch.send_batch_size=20")).await;
    rig.fake.set_script(Some(Script {
        when: When::Every(1),
        failure: Failure::Hang,
    }));
    let plain = plain(
        1,
        Mix {
            error_share: 1.0,
            ..Mix::default()
        },
        1000,
    );
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &plain, 5).await;
    let began = clock::now();
    rig.collector.process().signal_terminate().await.unwrap();
    let ended = rig.collector.wait(LIMIT).await.unwrap();
    // The grace period: min(decision_wait, 60 s) + 25 s.
    let took = clock::now().duration_since(began);
    assert!(took < Duration::from_secs(1 + 25), "{took:?}");
    let account = ended.account.unwrap();
    assert_eq!((account.check(), account.spans_inside()), (Ok(()), 0));
    let abandoned = account.sum_with("tracepipe_exporter_spans_lost", "reason", |it| it == "abandoned");
    assert!(abandoned > 20, "more than one batch: {abandoned}");
    let lost = account.sum_with("tracepipe_exporter_spans_lost", "exporter", |id| id == "awsxray");
    assert_eq!(lost, report.spans);
}
