//! Spans that end the upstream collector; the receiver for HTTP catches the panic and closes the connection, the one for
//! gRPC would not. The model says it of each.

use serde_json::json;
use tracepipe_otlp::view::{AnyValue, Event, KeyValue, ResourceSpans, ScopeSpans, Span, SpanKind};
use tracepipe_otlp::{SpanId, TraceId};
use tracepipe_xray::upstream::{Outcome, Translator, Version};

use super::upstream::Upstream;
use super::values::pair;
use super::{encode, peer_binary, settings};

fn text(key: &str, text: &str) -> KeyValue<'static> {
    pair(key, AnyValue::String(text.to_owned().into()))
}

fn of_trace(language: &str, trace: &str) -> ResourceSpans<'static> {
    let event = Event {
        name: "exception".into(),
        attributes: vec![text("exception.stacktrace", trace)],
        ..Event::default()
    };
    of_span(
        vec![text("telemetry.sdk.language", language)],
        Span {
            events: vec![event],
            ..Span::default()
        },
    )
}

fn of_span(resource: Vec<KeyValue<'static>>, span: Span<'static>) -> ResourceSpans<'static> {
    let span = Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        ..span
    };
    ResourceSpans {
        resource,
        scope_spans: vec![ScopeSpans {
            spans: vec![span],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

fn spans() -> Vec<ResourceSpans<'static>> {
    const AGAIN: &str = "During handling of the above exception, another exception occurred:";
    let local_root = Span {
        kind: SpanKind::Client,
        attributes: vec![text("aws.span.kind", "LOCAL_ROOT")],
        ..Span::default()
    };
    vec![
        of_span(vec![text("cloud.provider", "gcp")], local_root),
        of_trace("java", "T: m\nCaused by: X:"),
        of_trace("php", "T: m\nCaused by: X:"),
        of_trace("python", "x\n  File ,a,b\nT: m"),
        of_trace("python", "x\n  File \",a,b\nT: m"),
        of_trace(
            "python",
            &format!("x\n  File \"a.py\", line 1, in f\n    g()\nX:\n\n{AGAIN}\n\nT: m"),
        ),
        of_trace(
            "python",
            &format!("x\n  File \"a.py\", line 1, in f\n{AGAIN}\n\nT: m"),
        ),
        of_trace("dotnet", "T: m\n   at A() in file:line"),
        of_trace("dotnet", "T: m\n   at in file:line 7"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_end_the_upstream_collector_are_known() {
    let Some(peer) = peer_binary().await else {
        return;
    };
    let upstream = Upstream::start(&peer, &[("plain", json!({}))]).await.unwrap();
    let settings = settings(&json!({}));
    for spans in spans() {
        for version in [Version::V0_120, Version::V0_161] {
            let outcomes = Translator::new(&settings, version).translate(&spans, &mut || 1);
            assert_eq!(outcomes, [Outcome::Crash], "{spans:?}");
        }
        let answer = upstream
            .documents(0, encode::request(std::slice::from_ref(&spans)))
            .await;
        let said = format!("{:#}", answer.expect_err("no panic"));
        assert!(said.contains("Failed"), "{said} to {spans:?}");
    }
    upstream.stop().await;
}
