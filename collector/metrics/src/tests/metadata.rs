//! Types, units and descriptions.

use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;

use crate::UnixMillis;
use crate::testing::*;

fn shown(metadata: &[prompb::MetricMetadata]) -> Vec<String> {
    metadata
        .iter()
        .map(|it| {
            format!(
                "{} {} {:?} {:?}",
                it.metric_family_name, it.r#type, it.unit, it.help
            )
        })
        .collect()
}

#[test]
fn each_family_has_a_type_a_unit_and_a_description() {
    let mut bench = Bench::new(&settings());
    let by_unit = Data::Gauge(otlp::Gauge {
        data_points: vec![point(NOW, 1.0)],
    });
    let metrics = vec![
        metric("g", "By/s", by_unit),
        sum("c", CUMULATIVE, true, vec![point(NOW, 1.0)]),
        sum("u", CUMULATIVE, false, vec![point(NOW, 1.0)]),
        histogram("h", CUMULATIVE, vec![buckets(NOW, &[], &[])]),
        exponential("e", DELTA, vec![exponents(NOW, 0, 0, &[])]),
        summary(
            "s",
            vec![otlp::SummaryDataPoint {
                time_unix_nano: nanos(NOW),
                ..Default::default()
            }],
        ),
    ];
    bench.send(&request(service(), metrics));
    assert_eq!(
        shown(&bench.metadata()),
        [
            "c_total 1 \"\" \"what it is\"",
            "e 3 \"\" \"what it is\"",
            "g_bytes_per_second 2 \"bytes_per_second\" \"what it is\"",
            "h 3 \"\" \"what it is\"",
            "s 5 \"\" \"what it is\"",
            "u 2 \"\" \"what it is\"",
        ]
    );
}

#[test]
fn a_family_is_told_once_in_each_interval_while_something_comes() {
    let mut bench = Bench::new(&settings());
    let send = |bench: &mut Bench, name: &str| {
        bench.send_metric(gauge(name, vec![point(bench.now, 1.0)]));
        shown(&bench.metadata()).len()
    };
    assert_eq!(send(&mut bench, "a"), 1);
    assert_eq!(send(&mut bench, "b"), 0, "new ones wait a moment for others");
    bench.now += 5000;
    assert_eq!(send(&mut bench, "b"), 1);
    bench.now += 55_000;
    assert_eq!(send(&mut bench, "a"), 1);
    bench.now += 5 * MINUTE;
    assert_eq!(bench.metadata().len(), 0, "nothing came for five minutes");
    assert_eq!(send(&mut bench, "a"), 1);
}

#[test]
fn of_two_metrics_with_one_name_the_first_says_what_it_is() {
    let mut bench = Bench::new(&settings());
    let mut second = sum("a", CUMULATIVE, true, vec![point(NOW, 1.0)]);
    second.description = "another".to_owned();
    let mut first = gauge("a.total", vec![point(NOW, 1.0)]);
    first.description = "first".to_owned();
    bench.send(&request(service(), vec![first, second]));
    assert_eq!(shown(&bench.metadata()), ["a_total 2 \"\" \"first\""]);
}

#[test]
fn requests_are_no_larger_than_allowed_and_long_descriptions_are_cut() {
    let mut settings = settings();
    settings.max_batch_size_bytes = 3000;
    let mut bench = Bench::new(&settings);
    let metrics = (0..20)
        .map(|number| {
            let mut metric = gauge(&format!("m{number}"), vec![point(NOW, 1.0)]);
            metric.description = "\u{e9}".repeat(600);
            metric
        })
        .collect();
    bench.send(&request(service(), metrics));
    let mut requests = Vec::new();
    bench.remote_write.poll_metadata(UnixMillis(NOW), &mut requests);
    assert_eq!(requests.len(), 10, "two descriptions of 1024 bytes fit");
    for request in &requests {
        assert!(request.len() <= 3000);
        for metadata in prompb::WriteRequest::decode(request.as_slice()).unwrap().metadata {
            assert_eq!(metadata.help, "\u{e9}".repeat(512));
        }
    }
}

#[test]
fn nothing_is_said_where_metadata_are_switched_off() {
    let mut settings = settings();
    settings.send_metadata = false;
    let mut bench = Bench::new(&settings);
    bench.send_metric(gauge("a", vec![point(NOW, 1.0)]));
    let mut requests = Vec::new();
    assert_eq!(
        bench.remote_write.poll_metadata(UnixMillis(NOW), &mut requests),
        None
    );
    assert!(requests.is_empty());
}

#[test]
fn long_names_do_not_make_metadata_without_end() {
    let mut bench = Bench::new(&settings());
    for number in 0..2000 {
        let name = format!("{}{number}", "n".repeat(30 * 1024));
        let mut metric = gauge(&name, vec![point(NOW, 1.0)]);
        metric.unit = "u".repeat(30 * 1024);
        bench.send_metric(metric);
    }
    assert_eq!(bench.done.points, 2000, "the samples are there");
    let mut requests = Vec::new();
    bench.remote_write.poll_metadata(UnixMillis(NOW), &mut requests);
    let bytes: usize = requests.iter().map(Vec::len).sum();
    assert!(bytes <= crate::limits::FAMILIES_BYTES_MAX, "{bytes}");
    // As they are no longer spoken of, there is room for others.
    bench.now += 6 * MINUTE;
    assert_eq!(bench.metadata().len(), 0);
    bench.send_metric(gauge("a", vec![point(bench.now, 1.0)]));
    assert_eq!(bench.metadata().len(), 1);
}
