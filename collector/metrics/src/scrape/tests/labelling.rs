//! Which labels a series has.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use tracepipe_config::{LabelUnderscores, ResourcePromotion};

use super::build::*;
use crate::scrape::parser;
use crate::scrape::*;

/// The sample lines of one gauge `g` with these attributes.
fn labels_of(registry: &mut Registry, request: &[u8]) -> String {
    registry.apply(request, NOW);
    let page = page(registry);
    parser::check(&page, Format::Text);
    let lines: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("g{") || line.starts_with("g "))
        .collect();
    lines.join("\n")
}

fn one(pairs: &[(&str, &str)]) -> Vec<opentelemetry_proto::tonic::metrics::v1::Metric> {
    vec![gauge("g", vec![number(0, 1.0, pairs)])]
}

const RESOURCE: [(&str, &str); 5] = [
    ("service.name", "shop"),
    ("service.namespace", "prod"),
    ("service.instance.id", "pod-1"),
    ("k8s.pod.name", "shop-1"),
    ("cloud.region", "eu-1"),
];

#[test]
fn a_resource_gives_job_and_instance_and_they_override_attributes() {
    let request = request(
        &RESOURCE,
        one(&[("job", "mine"), ("instance", "mine"), ("z", "1")]),
    );
    assert_eq!(
        labels_of(&mut registry(), &request),
        "g{instance=\"pod-1\",job=\"prod/shop\",z=\"1\"} 1"
    );
}

#[test]
fn resource_attributes_become_labels_if_that_is_wanted_and_the_point_wins() {
    let mut settings = settings();
    settings.translation.promote = ResourcePromotion::All {
        exclude_service_attributes: true,
    };
    let points = request(&RESOURCE, one(&[("cloud.region", "point's")]));
    assert_eq!(
        labels_of(&mut Registry::new(&settings), &points),
        "g{cloud_region=\"point's\",instance=\"pod-1\",job=\"prod/shop\",k8s_pod_name=\"shop-1\"} 1"
    );
    settings.translation.promote = ResourcePromotion::Matching {
        included: vec!["k8s.*".to_owned(), "service.name".to_owned()],
        excluded: Vec::new(),
    };
    assert_eq!(
        labels_of(&mut Registry::new(&settings), &points),
        "g{cloud_region=\"point's\",instance=\"pod-1\",job=\"prod/shop\",k8s_pod_name=\"shop-1\",service_name=\"shop\"} 1"
    );
}

#[test]
fn a_scope_names_itself_unless_that_is_unwanted() {
    let scope = InstrumentationScope {
        name: "lib".to_owned(),
        version: "1.2".to_owned(),
        attributes: attributes(&[("short.name", "l"), ("name", "imposter")]),
        ..InstrumentationScope::default()
    };
    let request = scoped(
        &[],
        scope,
        "https://example.org/1",
        one(&[("otel_scope_name", "point's")]),
    );
    assert_eq!(
        labels_of(&mut registry(), &request),
        "g{otel_scope_name=\"lib\",otel_scope_schema_url=\"https://example.org/1\",\
         otel_scope_short_name=\"l\",otel_scope_version=\"1.2\"} 1"
    );
    let mut settings = settings();
    settings.translation.scope_info = false;
    assert_eq!(
        labels_of(&mut Registry::new(&settings), &request),
        "g{otel_scope_name=\"point's\"} 1"
    );
}

#[test]
fn constant_labels_are_there_but_where_a_label_of_that_name_is() {
    let mut settings = settings();
    settings.const_labels = vec![
        ("cluster".to_owned(), "c1".to_owned()),
        ("job".to_owned(), "none".to_owned()),
    ];
    let mut registry = Registry::new(&settings);
    let request = request(&RESOURCE, one(&[]));
    assert_eq!(
        labels_of(&mut registry, &request),
        "g{cluster=\"c1\",instance=\"pod-1\",job=\"prod/shop\"} 1"
    );
    // As upstream, `target_info` has none of them.
    assert!(page(&registry).contains(
        "target_info{cloud_region=\"eu-1\",instance=\"pod-1\",job=\"prod/shop\",k8s_pod_name=\"shop-1\"} 1\n"
    ));
}

#[test]
fn keys_that_make_one_label_are_joined_and_the_point_is_kept() {
    let request = request(
        &[],
        one(&[("http.method", "a"), ("http_method", "b"), ("http-method", "c")]),
    );
    assert_eq!(labels_of(&mut registry(), &request), "g{http_method=\"c;a;b\"} 1");
}

#[test]
fn a_key_that_makes_no_label_costs_the_label_and_is_counted() {
    let mut registry = registry();
    let request = request(&[], one(&[("____", "x"), ("", "y"), ("z", "1")]));
    let done = registry.apply(&request, NOW);
    assert_eq!(counts(&done), (1, vec![]));
    assert_eq!(done.labels_dropped, 2);
    assert_eq!(labels_of(&mut registry, &request), "g{z=\"1\"} 1");
}

#[test]
fn both_modes_of_underscores() {
    let request = request(&[], one(&[("a..b", "1"), ("_x", "2")]));
    assert_eq!(labels_of(&mut registry(), &request), "g{a_b=\"1\",key_x=\"2\"} 1");
    let mut settings = settings();
    settings.translation.label_underscores = LabelUnderscores::Preserve;
    assert_eq!(
        labels_of(&mut Registry::new(&settings), &request),
        "g{_x=\"2\",a__b=\"1\"} 1"
    );
}

#[test]
fn names_that_the_formats_keep_for_themselves_are_changed() {
    let mut registry = registry();
    let request = request(
        &[],
        one(&[("__name__", "x"), ("__y__", "1"), ("le", "2"), ("quantile", "3")]),
    );
    assert_eq!(
        labels_of(&mut registry, &request),
        "g{key__y__=\"1\",le=\"2\",quantile=\"3\"} 1"
    );
    let mut point = histogram_point(0, &[], &[1], 1.0);
    point.attributes = attributes(&[("le", "2"), ("quantile", "3")]);
    let mut other = point.clone();
    other.attributes = attributes(&[("le", "2"), ("exported_le", "4")]);
    registry.apply(
        &super::build::request(&[], vec![histogram("h", CUMULATIVE, vec![point, other])]),
        NOW,
    );
    let page = page(&registry);
    parser::check(&page, Format::Text);
    assert!(
        page.contains("h_bucket{exported_le=\"2\",quantile=\"3\",le=\"+Inf\"} 1\n"),
        "{page}"
    );
    assert!(
        page.contains("h_bucket{exported_le=\"4\",le=\"+Inf\"} 1\n"),
        "{page}"
    );
}

#[test]
fn an_empty_value_is_no_label() {
    let request = request(&[("service.name", "")], one(&[("a", ""), ("b", "1")]));
    assert_eq!(labels_of(&mut registry(), &request), "g{b=\"1\"} 1");
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let mut request = request(&[], one(&[("a", "XY")]));
    let at = request
        .windows(2)
        .position(|pair| pair == b"XY")
        .expect("the value");
    request[at] = 0xff;
    assert_eq!(labels_of(&mut registry(), &request), "g{a=\"\u{fffd}Y\"} 1");
}

#[test]
fn a_resource_is_told_of_once_and_as_it_is_now() {
    let mut registry = registry();
    let mut resource = RESOURCE.to_vec();
    registry.apply(&request(&resource, one(&[])), NOW);
    registry.apply(&request(&resource, one(&[("x", "1")])), NOW);
    let targets = |registry: &Registry| {
        let page = page(registry);
        parser::check(&page, Format::Text);
        page.lines()
            .filter(|line| line.starts_with("target_info{"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        targets(&registry),
        ["target_info{cloud_region=\"eu-1\",instance=\"pod-1\",job=\"prod/shop\",k8s_pod_name=\"shop-1\"} 1"]
    );
    assert!(page(&registry).contains("# HELP target_info Target metadata\n# TYPE target_info gauge\n"));
    resource[4] = ("cloud.region", "eu-2");
    registry.apply(&request(&resource, one(&[])), NOW);
    assert_eq!(
        targets(&registry),
        ["target_info{cloud_region=\"eu-2\",instance=\"pod-1\",job=\"prod/shop\",k8s_pod_name=\"shop-1\"} 1"]
    );
}

#[test]
fn a_resource_without_job_or_instance_or_points_is_not_told_of() {
    let mut registry = registry();
    registry.apply(&request(&RESOURCE[..2], one(&[])), NOW);
    registry.apply(&request(&RESOURCE[2..], one(&[])), NOW);
    registry.apply(&request(&RESOURCE, vec![]), NOW);
    assert!(!page(&registry).contains("target_info"));
}

#[test]
fn an_application_cannot_tell_of_resources() {
    let mut registry = registry();
    let done = registry.apply(
        &request(&RESOURCE, vec![gauge("target.info", vec![number(0, 5.0, &[])])]),
        NOW,
    );
    assert_eq!(counts(&done), (0, vec![("type_collision", 1)]));
}

#[test]
fn target_info_has_the_namespace() {
    let mut settings = settings();
    settings.translation.namespace = Some("app".to_owned());
    let mut registry = Registry::new(&settings);
    registry.apply(&request(&RESOURCE, one(&[])), NOW);
    let page = page(&registry);
    assert!(page.contains("\napp_target_info{"), "{page}");
    assert!(
        page.contains("\napp_g{") || page.starts_with("# TYPE app_g gauge\n"),
        "{page}"
    );
}

#[test]
fn labels_of_changed_names_are_the_same_series_as_those_that_have_the_names() {
    let mut settings = settings();
    settings.translation.label_underscores = tracepipe_config::LabelUnderscores::Preserve;
    let mut registry = Registry::new(&settings);
    let metrics = vec![
        gauge("g", vec![number(0, 1.0, &[("a", "1"), ("__x__", "2")])]),
        gauge("g", vec![number(1, 2.0, &[("a", "1"), ("key__x__", "2")])]),
    ];
    let (_, page) = applied(&mut registry, metrics, later(1));
    assert_eq!(page, "g{a=\"1\",key__x__=\"2\"} 2");
}
