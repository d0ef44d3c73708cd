//! Metrics as a shop's SDK sends them: what the second seed's applications would have.

use tracepipe_e2e::otlp_metrics::{
    Data, Exemplar, Explicit, Metric, Number, Point, Resource, Scope, Temporality, texts,
};

/// Of the exemplars.
pub(super) const TRACE_ID: [u8; 16] = [0x4b; 16];
const SPAN_ID: [u8; 8] = [0xa7; 8];

const DURATION_BOUNDS: [f64; 4] = [0.005, 0.05, 0.5, 5.0];

/// One request of `orders-node`: its counters have come to `orders`, at `now` (nanoseconds since the Unix epoch).
pub(super) fn request(orders: u64, now: u64) -> Vec<Resource> {
    let number = |attributes: &[(&str, &str)], value| Point {
        attributes: texts(attributes),
        start: now - 60_000_000_000,
        time: now,
        value,
        ..Point::default()
    };
    let placed = Point {
        exemplars: vec![exemplar(1.0, now)],
        ..number(&[("payment.method", "card")], Number::Int(orders.cast_signed()))
    };
    let metrics = vec![
        described(
            "orders.placed",
            "{order}",
            "Orders placed.",
            Data::counter(vec![placed]),
        ),
        described(
            "http.server.active_requests",
            "{request}",
            "Requests that are being answered.",
            Data::Sum {
                temporality: Temporality::Cumulative,
                monotonic: false,
                points: vec![number(&[("http.request.method", "POST")], Number::Int(3))],
            },
        ),
        described(
            "nodejs.eventloop.utilization",
            "1",
            "Event loop utilization.",
            Data::Gauge(vec![number(&[], Number::Double(0.25))]),
        ),
        described(
            "v8js.memory.heap.used",
            "By",
            "",
            Data::Gauge(vec![number(
                &[("v8js.heap.space.name", "new_space")],
                Number::Int(4096),
            )]),
        ),
        durations(orders, now),
    ];
    vec![Resource {
        attributes: texts(&[
            ("service.name", "orders-node"),
            ("service.instance.id", "node-1"),
            ("telemetry.sdk.language", "nodejs"),
        ]),
        scopes: vec![Scope {
            name: "shop".to_owned(),
            version: "1.0.0".to_owned(),
            metrics,
            ..Scope::default()
        }],
    }]
}

/// What the page on 8889 says of [`request`], in the text format.
pub(super) fn text(orders: u64) -> String {
    let job = r#"otel_scope_name="shop",otel_scope_version="1.0.0""#;
    let of = r#"instance="node-1",job="orders-node""#;
    let (most, half) = (orders - 1, orders.div_ceil(2));
    format!(
        r#"# HELP http_server_active_requests Requests that are being answered.
# TYPE http_server_active_requests gauge
http_server_active_requests{{http_request_method="POST",{of},{job}}} 3
# HELP http_server_request_duration_seconds Duration of HTTP server requests.
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{{http_request_method="POST",http_route="/api/orders",{of},{job},le="0.005"}} 0
http_server_request_duration_seconds_bucket{{http_request_method="POST",http_route="/api/orders",{of},{job},le="0.05"}} {half}
http_server_request_duration_seconds_bucket{{http_request_method="POST",http_route="/api/orders",{of},{job},le="0.5"}} {most}
http_server_request_duration_seconds_bucket{{http_request_method="POST",http_route="/api/orders",{of},{job},le="5"}} {orders}
http_server_request_duration_seconds_bucket{{http_request_method="POST",http_route="/api/orders",{of},{job},le="+Inf"}} {orders}
http_server_request_duration_seconds_sum{{http_request_method="POST",http_route="/api/orders",{of},{job}}} 2.5
http_server_request_duration_seconds_count{{http_request_method="POST",http_route="/api/orders",{of},{job}}} {orders}
# HELP nodejs_eventloop_utilization_ratio Event loop utilization.
# TYPE nodejs_eventloop_utilization_ratio gauge
nodejs_eventloop_utilization_ratio{{{of},{job}}} 0.25
# HELP orders_placed_total Orders placed.
# TYPE orders_placed_total counter
orders_placed_total{{{of},{job},payment_method="card"}} {orders}
# HELP target_info Target metadata
# TYPE target_info gauge
target_info{{{of},telemetry_sdk_language="nodejs"}} 1
# TYPE v8js_memory_heap_used_bytes gauge
v8js_memory_heap_used_bytes{{{of},{job},v8js_heap_space_name="new_space"}} 4096
"#
    )
}

fn durations(orders: u64, now: u64) -> Metric {
    let half = orders.div_ceil(2);
    let point = Point {
        attributes: texts(&[("http.request.method", "POST"), ("http.route", "/api/orders")]),
        start: now - 60_000_000_000,
        time: now,
        exemplars: vec![exemplar(0.02, now), exemplar(2.0, now)],
        value: Explicit {
            count: orders,
            sum: Some(2.5),
            counts: vec![0, half, orders - 1 - half, 1, 0],
            bounds: DURATION_BOUNDS.to_vec(),
        },
        ..Point::default()
    };
    described(
        "http.server.request.duration",
        "s",
        "Duration of HTTP server requests.",
        Data::Histogram {
            temporality: Temporality::Cumulative,
            points: vec![point],
        },
    )
}

fn exemplar(value: f64, now: u64) -> Exemplar {
    Exemplar {
        attributes: Vec::new(),
        time: now - 5_000_000,
        value,
        trace_id: TRACE_ID,
        span_id: SPAN_ID,
    }
}

fn described(name: &str, unit: &str, description: &str, data: Data) -> Metric {
    Metric {
        description: description.to_owned(),
        ..Metric::new(name, unit, data)
    }
}
