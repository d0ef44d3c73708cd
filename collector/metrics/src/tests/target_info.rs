//! `target_info` and its own clock.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::testing::*;

fn bench() -> Bench {
    let mut settings = settings();
    settings.target_info = true;
    settings.external_labels = vec![("node".to_owned(), "n1".to_owned())];
    Bench::new(&settings)
}

fn resource(host: &str) -> Vec<KeyValue> {
    vec![
        text("service.name", "shop"),
        text("service.instance.id", "1"),
        text("host.name", host),
        attribute("process.pid", Value::IntValue(7)),
    ]
}

/// A point at our time, whose own series is left out.
fn send(bench: &mut Bench, resource: Vec<KeyValue>) -> Vec<String> {
    let metric = gauge("g", vec![point(bench.now, 1.0)]);
    let shown = bench.send(&request(resource, vec![metric]));
    lines(&shown)
        .into_iter()
        .filter(|line| !line.starts_with("g{"))
        .collect()
}

#[test]
fn it_is_written_at_first_sight_and_then_each_interval_while_something_comes() {
    let mut bench = bench();
    let line = |value: &str, time: i64| {
        vec![format!(
            "target_info{{host_name=h,instance=1,job=shop,node=n1,process_pid=7}} {value}@{time}"
        )]
    };
    assert_eq!(send(&mut bench, resource("h")), line("1", 0));
    bench.now += 30_000;
    assert!(send(&mut bench, resource("h")).is_empty());
    assert!(bench.poll().is_empty());
    bench.now += 30_000;
    assert_eq!(lines(&bench.poll()), line("1", 60_000));
    assert!(bench.poll().is_empty());
    for minute in 2..=5 {
        bench.now = NOW + minute * MINUTE;
        assert_eq!(lines(&bench.poll()), line("1", minute * MINUTE));
    }
    // Five minutes after the last point: it ends behind what was written last.
    bench.now = NOW + 30_000 + 5 * MINUTE;
    assert_eq!(lines(&bench.poll()), line("stale", 5 * MINUTE + 1));
    bench.now += 10 * MINUTE;
    assert!(bench.poll().is_empty());
}

#[test]
fn asking_says_when_to_ask_again() {
    let mut bench = bench();
    let mut out = Vec::new();
    let next =
        |bench: &mut Bench, out: &mut Vec<_>| bench.remote_write.poll(crate::UnixMillis(bench.now), out).1;
    assert_eq!(next(&mut bench, &mut out), None);
    send(&mut bench, resource("h"));
    assert_eq!(next(&mut bench, &mut out), Some(crate::UnixMillis(NOW + MINUTE)));
    assert!(out.is_empty());
}

#[test]
fn a_resource_that_says_nothing_more_or_has_no_owner_has_none() {
    let mut bench = bench();
    assert!(
        send(
            &mut bench,
            vec![text("service.name", "shop"), text("service.instance.id", "1")]
        )
        .is_empty()
    );
    assert!(send(&mut bench, vec![text("host.name", "h")]).is_empty());
    let empty = request(resource("h"), vec![gauge("g", Vec::new())]);
    assert!(bench.send(&empty).is_empty(), "nor one without points");
}

#[test]
fn one_set_of_labels_for_each_owner_at_a_time() {
    let mut bench = bench();
    assert_eq!(send(&mut bench, resource("old")).len(), 1);
    bench.now += 1000;
    assert!(send(&mut bench, resource("new")).is_empty());
    assert_eq!(bench.done.target_info_conflicts, 1);
    // The old one is silent for an interval: the new one takes over.
    bench.now += MINUTE;
    assert_eq!(
        send(&mut bench, resource("new")),
        [
            "target_info{host_name=new,instance=1,job=shop,node=n1,process_pid=7} 1@61000",
            "target_info{host_name=old,instance=1,job=shop,node=n1,process_pid=7} stale@1",
        ]
    );
}

#[test]
fn times_rise_although_our_clock_stands_still() {
    let mut bench = bench();
    send(&mut bench, resource("h"));
    let shown = lines(&bench.drain());
    assert_eq!(
        shown,
        ["target_info{host_name=h,instance=1,job=shop,node=n1,process_pid=7} stale@1"]
    );
}

#[test]
fn a_namespace_is_in_front_of_it() {
    let mut settings = settings();
    settings.target_info = true;
    settings.translation.namespace = Some("app".to_owned());
    let mut bench = Bench::new(&settings);
    let shown = bench.send(&request(resource("h"), vec![gauge("g", vec![point(NOW, 1.0)])]));
    assert!(
        shown.keys().any(|series| series.starts_with("app_target_info{")),
        "{shown:?}"
    );
}

#[test]
fn a_resource_too_large_for_labels_has_none() {
    let mut bench = bench();
    assert!(send(&mut bench, resource(&"x".repeat(crate::limits::LABELS_BYTES_MAX))).is_empty());
    assert_eq!(bench.done.target_info_conflicts, 1);
}
