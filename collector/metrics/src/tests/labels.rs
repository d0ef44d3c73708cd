//! Labels: of points, resources, scopes and the settings.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use tracepipe_config::{RemoteWriteSettings, ResourcePromotion};

use crate::testing::*;

/// The labels of one gauge.
fn labels_of(settings: &RemoteWriteSettings, resource: Vec<KeyValue>, attributes: Vec<KeyValue>) -> String {
    let point = otlp::NumberDataPoint {
        attributes,
        ..point(NOW, 1.0)
    };
    let shown = Bench::new(settings).send(&request(resource, vec![gauge("m", vec![point])]));
    let series: Vec<_> = shown.into_keys().collect();
    let [series] = series.as_slice() else {
        panic!("one series, not {series:?}");
    };
    series.trim_start_matches("m{").trim_end_matches('}').to_owned()
}

fn with_promotion(promote: ResourcePromotion) -> RemoteWriteSettings {
    let mut settings = settings();
    settings.translation.promote = promote;
    settings
}

#[test]
fn attributes_are_sorted_by_the_names_of_their_labels() {
    let attributes = vec![text("b", "2"), text("a.z", "1"), text("Z", "0"), text("_x", "3")];
    assert_eq!(
        labels_of(&settings(), service(), attributes),
        "Z=0,a_z=1,b=2,job=shop,key_x=3"
    );
}

#[test]
fn values_of_every_type_have_a_text_and_an_empty_one_is_no_label() {
    let attributes = vec![
        attribute("bool", Value::BoolValue(true)),
        attribute("int", Value::IntValue(-7)),
        attribute("double", Value::DoubleValue(0.25)),
        attribute("bytes", Value::BytesValue(vec![1, 2, 3])),
        text("empty", ""),
    ];
    assert_eq!(
        labels_of(&settings(), service(), attributes),
        "bool=true,bytes=AQID,double=0.25,int=-7,job=shop"
    );
}

#[test]
fn values_that_meet_under_one_name_are_joined_in_the_order_of_their_keys_unless_they_are_equal() {
    let attributes = vec![
        text("a_b", "3"),
        text("a-b", "1"),
        text("a.b", "2"),
        text("c.d", "4"),
        text("c_d", "4"),
    ];
    assert_eq!(
        labels_of(&settings(), service(), attributes),
        "a_b=1;2;3,c_d=4,job=shop"
    );
}

#[test]
fn job_and_instance_come_from_the_resource_and_win() {
    let resource = vec![
        text("service.name", "shop"),
        text("service.namespace", "eu"),
        text("service.instance.id", "i-1"),
    ];
    let attributes = vec![text("job", "mine"), text("instance", "mine")];
    assert_eq!(
        labels_of(&settings(), resource, attributes),
        "instance=i-1,job=eu/shop"
    );
}

#[test]
fn without_service_name_or_instance_id_there_are_no_such_labels() {
    assert_eq!(
        labels_of(
            &settings(),
            vec![text("service.namespace", "eu")],
            vec![text("a", "1")]
        ),
        "a=1"
    );
    let empty = vec![text("service.name", ""), text("service.instance.id", "")];
    assert_eq!(labels_of(&settings(), empty, vec![text("a", "1")]), "a=1");
}

#[test]
fn resource_attributes_are_promoted_as_the_settings_say() {
    let resource = || {
        vec![
            text("service.name", "shop"),
            text("k8s.pod.name", "p"),
            text("k8s.pod.uid", "u"),
            text("host.name", "h"),
        ]
    };
    let cases = [
        (ResourcePromotion::None, "job=shop"),
        (
            ResourcePromotion::All {
                exclude_service_attributes: false,
            },
            "host_name=h,job=shop,k8s_pod_name=p,k8s_pod_uid=u,service_name=shop",
        ),
        (
            ResourcePromotion::All {
                exclude_service_attributes: true,
            },
            "host_name=h,job=shop,k8s_pod_name=p,k8s_pod_uid=u",
        ),
        (
            ResourcePromotion::Matching {
                included: vec!["k8s.*".to_owned()],
                excluded: vec!["*.uid".to_owned()],
            },
            "job=shop,k8s_pod_name=p",
        ),
        (
            ResourcePromotion::Matching {
                included: Vec::new(),
                excluded: vec!["k8s.*".to_owned(), "service.*".to_owned()],
            },
            "host_name=h,job=shop",
        ),
    ];
    for (promote, expected) in cases {
        assert_eq!(
            labels_of(&with_promotion(promote.clone()), resource(), Vec::new()),
            expected,
            "{promote:?}"
        );
    }
}

#[test]
fn a_point_wins_over_its_resource_and_both_over_external_labels() {
    let mut settings = with_promotion(ResourcePromotion::All {
        exclude_service_attributes: true,
    });
    settings.external_labels = ["a", "b", "c", "job"]
        .map(|name| (name.to_owned(), "external".to_owned()))
        .to_vec();
    let resource = vec![
        text("service.name", "shop"),
        text("a", "resource"),
        text("b", "resource"),
    ];
    assert_eq!(
        labels_of(&settings, resource, vec![text("a", "point")]),
        "a=point,b=resource,c=external,job=shop"
    );
}

#[test]
fn the_scope_is_told_on_wish_and_wins_over_everything() {
    let mut settings = settings();
    settings.translation.scope_info = true;
    settings.external_labels = vec![("otel_scope_kind".to_owned(), "external".to_owned())];
    let attributes = vec![text("otel.scope.name", "point")];
    assert_eq!(
        labels_of(&settings, service(), attributes),
        "job=shop,otel_scope_kind=web,otel_scope_name=library,otel_scope_schema_url=https://schema,otel_scope_version=1.2"
    );
}

#[test]
fn an_attribute_cannot_be_the_name() {
    let attributes = vec![text("__name__", "forged"), text("a", "1")];
    assert_eq!(labels_of(&settings(), service(), attributes), "a=1,job=shop");
}

#[test]
fn le_of_a_bucket_replaces_an_attribute_and_the_count_keeps_it() {
    let point = otlp::HistogramDataPoint {
        attributes: vec![text("le", "mine"), text("a", "1"), text("zone", "z")],
        ..buckets(NOW, &[5.0], &[1, 1])
    };
    let shown = Bench::new(&settings()).send_metric(histogram("h", CUMULATIVE, vec![point]));
    assert_eq!(
        lines(&shown),
        [
            "h_bucket{a=1,job=shop,le=+Inf,zone=z} 2@0",
            "h_bucket{a=1,job=shop,le=5,zone=z} 1@0",
            "h_count{a=1,job=shop,le=mine,zone=z} 2@0",
            "h_sum{a=1,job=shop,le=mine,zone=z} 20@0",
        ]
    );
}

#[test]
fn a_key_that_gives_no_label_costs_the_label_and_not_the_point() {
    let point = otlp::NumberDataPoint {
        attributes: vec![text("", "1"), text("...", "2"), text("a", "3")],
        ..point(NOW, 1.0)
    };
    let mut settings = settings();
    settings.translation.label_underscores = tracepipe_config::LabelUnderscores::Preserve;
    let mut bench = Bench::new(&settings);
    let shown = bench.send_metric(gauge("m", vec![point]));
    assert_eq!(lines(&shown), ["m{a=3,job=shop} 1@0"]);
    assert_eq!(bench.done.labels_dropped, 2);
}

#[test]
fn the_order_of_attributes_makes_no_other_series() {
    let mut bench = Bench::new(&settings());
    let mut send = |attributes: Vec<KeyValue>, time| {
        let point = otlp::NumberDataPoint {
            attributes,
            ..point(time, 1.0)
        };
        bench.send_raw(&request(service(), vec![sum("m", DELTA, true, vec![point])]))
    };
    let first = send(vec![text("a", "1"), text("b", "2")], NOW);
    let second = send(vec![text("b", "2"), text("a", "1")], NOW + MINUTE);
    assert_eq!(first[0].labels(), second[0].labels());
    assert_eq!(first[0].hash, second[0].hash);
    let shown = show(&decoded(&second));
    assert_eq!(
        lines(&shown),
        ["m_total{a=1,b=2,job=shop} 2@60000"],
        "one stream, so added up"
    );
}

#[test]
fn text_that_is_no_utf8_becomes_such() {
    // As prost cannot write it: the letter of a marker is replaced in the bytes.
    use prost::Message;
    let point = otlp::NumberDataPoint {
        attributes: vec![text("a", "<X>")],
        ..point(NOW, 1.0)
    };
    let mut bytes = request(service(), vec![gauge("m", vec![point])]).encode_to_vec();
    let place = bytes.windows(3).position(|part| part == b"<X>").unwrap();
    bytes[place + 1] = 0xff;
    let mut bench = Bench::new(&settings());
    let mut out = Vec::new();
    bench
        .remote_write
        .translate(&bytes, crate::UnixMillis(NOW), &mut out);
    assert_eq!(lines(&show(&decoded(&out))), ["m{a=<\u{fffd}>,job=shop} 1@0"]);
}
