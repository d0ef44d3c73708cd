use serde_json::json;

use super::*;
use crate::testing::*;

fn status(ready: &str) -> TracingPipelineStatus {
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2026-11-21T08:00:00Z",
        })
    };
    serde_json::from_value(
        json!({"conditions": [condition("Ready", ready), condition("IdentityReady", "Unknown")]}),
    )
    .unwrap()
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let metrics = Metrics::default();
    metrics.wrote(Kind::Service);
    metrics.wrote(Kind::DaemonSet);
    metrics.wrote(Kind::DaemonSet);
    metrics.failed();
    let refused =
        r#"daemonsets.apps "a" is forbidden: User "u" cannot get resource "daemonsets" in API group "apps""#;
    assert!(metrics.forbidden(refused));
    assert!(metrics.forbidden(refused));
    assert!(
        metrics.forbidden(r#"User "u" cannot patch resource "tracingpipelines/status" in API group "b""#)
    );
    assert!(!metrics.forbidden("because it is being terminated"));
    assert!(!metrics.forbidden(r#"User "u" cannot "} resource "pods" "#));
    metrics.status(&minimal(), &status("True"));
    let expected = "\
# HELP tracepipe_operator_reconcile_failures_total Passes over a pipeline that ended with an error.
# TYPE tracepipe_operator_reconcile_failures_total counter
tracepipe_operator_reconcile_failures_total 1
# HELP tracepipe_operator_forbidden_total Requests for which the operator lacks a right in Kubernetes.
# TYPE tracepipe_operator_forbidden_total counter
tracepipe_operator_forbidden_total{verb=\"get\",resource=\"daemonsets\"} 2
tracepipe_operator_forbidden_total{verb=\"patch\",resource=\"tracingpipelines/status\"} 1
# HELP tracepipe_operator_writes_total Objects created or applied, by kind.
# TYPE tracepipe_operator_writes_total counter
tracepipe_operator_writes_total{kind=\"DaemonSet\"} 2
tracepipe_operator_writes_total{kind=\"Service\"} 1
# HELP tracepipe_operator_pipeline_condition 1 when the condition of the TracingPipeline is True, else 0.
# TYPE tracepipe_operator_pipeline_condition gauge
tracepipe_operator_pipeline_condition{namespace=\"tracing\",name=\"otel-collector\",type=\"IdentityReady\"} 0
tracepipe_operator_pipeline_condition{namespace=\"tracing\",name=\"otel-collector\",type=\"Ready\"} 1
";
    assert_eq!(metrics.render(), expected);
}

#[test]
fn a_condition_that_is_gone_is_no_series_any_more() {
    let metrics = Metrics::default();
    metrics.status(&minimal(), &status("False"));
    assert!(metrics.render().contains("type=\"IdentityReady\""));
    let mut less = status("True");
    less.conditions.truncate(1);
    metrics.status(&minimal(), &less);
    assert!(!metrics.render().contains("type=\"IdentityReady\""));
}

#[test]
fn a_pipeline_that_is_gone_has_no_series_and_its_neighbours_keep_theirs() {
    let metrics = Metrics::default();
    metrics.status(&minimal(), &status("True"));
    metrics.status(&pipeline_of("logging"), &status("True"));
    metrics.gone("tracing", "otel-collector");
    metrics.gone("another", "logs");
    let text = metrics.render();
    assert!(!text.contains("otel-collector"));
    assert!(text.contains("name=\"logs\""));
}
