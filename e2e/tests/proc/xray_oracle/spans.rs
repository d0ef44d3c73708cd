//! Spans that touch every rule of the translation. None of them depends on the order of a Go map, in which upstream's
//! result would be another one each time, and none ends upstream: the model is asked before.

use tracepipe_config::AwsXraySettings;
use tracepipe_e2e::rng::Rng;
use tracepipe_otlp::view::{
    AnyValue, Event, KeyValue, Link, ResourceSpans, ScopeSpans, Span, SpanKind, Status, StatusCode,
};
use tracepipe_otlp::{SpanId, TraceId};
use tracepipe_xray::upstream::{Outcome, Translator, Version};

use super::stacks::{LANGUAGES, trace};
use super::values::{Draw, pair};

const KINDS: [SpanKind; 6] = [
    SpanKind::Unspecified,
    SpanKind::Internal,
    SpanKind::Server,
    SpanKind::Client,
    SpanKind::Producer,
    SpanKind::Consumer,
];

/// 2023-11-14.
const START: u64 = 1_700_000_000_123_456_789;

/// A sequence of resources with their spans; each can be made by itself.
pub(crate) struct SpanSource {
    seed: u64,
    model: Translator,
}

impl SpanSource {
    /// For an exporter with these settings.
    pub(crate) fn new(seed: u64, settings: &AwsXraySettings) -> Self {
        Self {
            seed,
            model: Translator::new(settings, Version::V0_120),
        }
    }

    /// Resource `number`, with one span or a few.
    pub(crate) fn resource_spans(&self, number: u64) -> ResourceSpans<'static> {
        let mut rng = Rng::for_item(self.seed, number);
        loop {
            let made = resource_spans(&mut Draw(&mut rng), number);
            let mut id = 0;
            let mut random_id = || {
                id += 1;
                id
            };
            let outcomes = self.model.translate(&made, &mut random_id);
            if !outcomes.contains(&Outcome::Crash) {
                return made;
            }
        }
    }
}

fn resource_spans(draw: &mut Draw<'_>, number: u64) -> ResourceSpans<'static> {
    let language = draw.one(&LANGUAGES);
    let resource = resource(draw, language);
    let count = draw.one(&[1, 1, 2, 4]);
    let spans = (0..count)
        .map(|index| {
            let mut span = span(draw, language);
            // Each trace is one span: its documents are found by it. The first is the trace without an id.
            let id = number * 8 + index;
            let mut trace_id = [0; 16];
            trace_id[..8].copy_from_slice(&(id.wrapping_mul(0x0123_4567_89ab_cdef)).to_be_bytes());
            trace_id[8..].copy_from_slice(&id.to_be_bytes());
            span.trace_id = TraceId(trace_id);
            span
        })
        .collect();
    ResourceSpans {
        resource,
        scope_spans: vec![ScopeSpans {
            scope_name: "scope".into(),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// In any order, and sometimes twice.
fn mixed(draw: &mut Draw<'_>, mut list: Vec<KeyValue<'static>>) -> Vec<KeyValue<'static>> {
    if !list.is_empty() && draw.chance(0.1) {
        let index = draw.below(list.len() as u64) as usize;
        let key = list[index].key.clone();
        let value = if draw.chance(0.5) {
            draw.any(1)
        } else {
            list[draw.below(list.len() as u64) as usize].value.clone()
        };
        list.push(KeyValue { key, value });
    }
    if draw.chance(0.5) {
        for last in (1..list.len()).rev() {
            list.swap(last, draw.below(last as u64 + 1) as usize);
        }
    }
    list
}

fn resource(draw: &mut Draw<'_>, language: &'static str) -> Vec<KeyValue<'static>> {
    if draw.chance(0.06) {
        return Vec::new();
    }
    let mut list = Vec::new();
    let add = |draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>, share: f64, key: &str, text: &str| {
        if draw.chance(share) {
            list.push(pair(key, draw.text(text)));
        }
    };
    add(draw, &mut list, 0.85, "service.name", "shop");
    add(draw, &mut list, 0.3, "service.namespace", "prod");
    let instance = draw.one(&["23", "-4", "+5", "i-1", "99999999999999999999", "023", "1_0"]);
    add(draw, &mut list, 0.3, "service.instance.id", instance);
    add(draw, &mut list, 0.3, "service.version", "1.2.3");
    add(draw, &mut list, 0.2, "container.image.tag", "v7");
    if draw.chance(0.15) {
        let tags = draw.texts(&["v8", "latest", "x"]);
        list.push(pair("container.image.tags", tags));
    }
    if draw.chance(0.8) {
        list.push(pair("telemetry.sdk.language", draw.text(language)));
    }
    add(draw, &mut list, 0.6, "telemetry.sdk.name", "opentelemetry");
    add(draw, &mut list, 0.6, "telemetry.sdk.version", "1.40.0");
    add(draw, &mut list, 0.15, "telemetry.auto.version", "2.0");
    add(draw, &mut list, 0.15, "telemetry.distro.version", "2.1");
    platform(draw, &mut list);
    if draw.chance(0.3) {
        for _ in 0..draw.one(&[1, 2, 3]) {
            let key = draw.one(&[
                "custom.text",
                "custom.list",
                "custom.number",
                "deployment.environment",
                "",
                "caf\u{e9}",
            ]);
            if !list.iter().any(|it| it.key == key) {
                list.push(pair(key, draw.any(3)));
            }
        }
    }
    if draw.chance(0.1) {
        let known = list.len() as u64;
        for _ in 0..draw.one(&[1, 3]).min(known) {
            let key = list[draw.below(known) as usize].key.clone();
            list.push(KeyValue {
                key,
                value: draw.any(2),
            });
        }
    }
    mixed(draw, list)
}

fn platform(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    if draw.chance(0.5) {
        let provider = draw.one(&["aws", "aws", "aws", "aws", "gcp", ""]);
        list.push(pair("cloud.provider", draw.text(provider)));
    }
    let platform = draw.one(&[
        "",
        "aws_ec2",
        "aws_ecs",
        "aws_ecs",
        "aws_eks",
        "aws_elastic_beanstalk",
        "aws_elastic_beanstalk",
        "aws_app_runner",
        "aws_lambda",
    ]);
    if !platform.is_empty() {
        list.push(pair("cloud.platform", draw.text(platform)));
    }
    let launch = draw.one(&["ec2", "fargate", "external"]);
    for (share, key, text) in [
        (0.2, "cloud.account.id", "123456789012"),
        (0.2, "cloud.availability_zone", "us-east-1a"),
        (0.2, "host.id", "i-0abc"),
        (0.2, "host.type", "m6g.large"),
        (0.1, "host.image.id", "ami-1"),
        (0.2, "container.name", "web"),
        (0.2, "container.id", "0123456789ab"),
        (0.2, "k8s.pod.name", "web-7d"),
        (0.15, "k8s.cluster.name", "prod"),
        (0.2, "aws.ecs.cluster.arn", "arn:aws:ecs:us-east-1:1:cluster/c"),
        (
            0.1,
            "aws.ecs.container.arn",
            "arn:aws:ecs:us-east-1:1:container/c",
        ),
        (0.2, "aws.ecs.task.arn", "arn:aws:ecs:us-east-1:1:task/t"),
        (0.2, "aws.ecs.task.family", "family"),
        (0.2, "aws.ecs.launchtype", launch),
    ] {
        if draw.chance(share) {
            list.push(pair(key, draw.text(text)));
        }
    }
    logs(draw, list);
}

fn logs(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    const ARNS: [&str; 4] = [
        "arn:aws:logs:us-east-1:1:log-group:group1",
        "arn:aws:logs:us-east-1:1:log-group:group2:*",
        "no arn",
        "",
    ];
    if draw.chance(0.15) {
        let value = if draw.chance(0.5) {
            draw.texts(&["one", "", "three"])
        } else {
            let names = draw.one(&["one", "one&two", "&&", "", "&one&"]);
            draw.text(names)
        };
        list.push(pair("aws.log.group.names", value));
    }
    if draw.chance(0.15) {
        let value = if draw.chance(0.5) {
            draw.texts(&ARNS)
        } else {
            draw.text(ARNS[..2].join("&"))
        };
        list.push(pair("aws.log.group.arns", value));
    }
}

fn span(draw: &mut Draw<'_>, language: &str) -> Span<'static> {
    let kind = draw.one(&KINDS);
    let start = draw.one(&[START, START, START, 0, 1, u64::MAX]);
    let end = draw.one(&[
        start,
        start.saturating_add(376_543_211),
        start.saturating_add(1),
        0,
    ]);
    let name = if draw.chance(0.2) {
        draw.odd_text()
    } else {
        draw.one(&[
            "GET /api",
            "orders process",
            "SELECT d",
            "a,b\\c",
            "EP @ test_15.testing-d\u{f6}main.org#GO",
        ])
        .to_owned()
    };
    Span {
        span_id: span_id(draw),
        parent_span_id: draw.chance(0.6).then(|| SpanId(draw.0.span_id())),
        flags: draw.one(&[0, 0x100, 0x300]),
        name: name.into(),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: attributes(draw),
        events: events(draw, language),
        links: links(draw),
        status: status(draw),
        ..Span::default()
    }
}

fn span_id(draw: &mut Draw<'_>) -> SpanId {
    if draw.chance(0.01) {
        SpanId([0; 8])
    } else {
        SpanId(draw.0.span_id())
    }
}

fn status(draw: &mut Draw<'_>) -> Status<'static> {
    Status {
        code: draw.one(&[
            StatusCode::Unset,
            StatusCode::Unset,
            StatusCode::Ok,
            StatusCode::Error,
            StatusCode::Error,
        ]),
        message: match draw.below(3) {
            0 => draw.odd_text().into(),
            1 => "it failed".into(),
            _ => "".into(),
        },
    }
}

fn links(draw: &mut Draw<'_>) -> Vec<Link<'static>> {
    if draw.chance(0.75) {
        return Vec::new();
    }
    let count = draw.one(&[1, 1, 2, 5]);
    (0..count)
        .map(|_| Link {
            trace_id: TraceId(if draw.chance(0.1) {
                [0; 16]
            } else {
                draw.0.trace_id()
            }),
            span_id: if draw.chance(0.1) {
                SpanId([0; 8])
            } else {
                SpanId(draw.0.span_id())
            },
            attributes: {
                let length = draw.one(&[0, 0, 1, 3]);
                (0..length)
                    .map(|_| {
                        let key = draw.one(&["a", "b", "c.d", ""]);
                        pair(key, draw.any(2))
                    })
                    .collect()
            },
        })
        .collect()
}

fn events(draw: &mut Draw<'_>, language: &str) -> Vec<Event<'static>> {
    if draw.chance(0.6) {
        return Vec::new();
    }
    let count = draw.one(&[1, 1, 2, 3]);
    (0..count).map(|_| event(draw, language)).collect()
}

fn event(draw: &mut Draw<'_>, language: &str) -> Event<'static> {
    let name = draw.one(&[
        "exception",
        "exception",
        "exception",
        "HTTP request failure",
        "message",
        "Exception",
    ]);
    let mut list = Vec::new();
    if name == "exception" || draw.chance(0.1) {
        for (key, text) in [
            ("exception.type", "java.lang.IllegalStateException"),
            ("exception.message", "state: \u{2028} <bad>"),
        ] {
            if draw.chance(0.85) {
                list.push(pair(key, draw.text(text)));
            }
        }
        if draw.chance(0.8) {
            let text = trace(draw, language);
            list.push(pair("exception.stacktrace", draw.text(text)));
        }
    }
    if name == "HTTP request failure" || draw.chance(0.1) {
        if draw.chance(0.8) {
            let status = if draw.chance(0.3) {
                AnyValue::String("500".into())
            } else {
                AnyValue::Int(503)
            };
            list.push(pair("http.response.status_code", status));
        }
        if draw.chance(0.8) {
            list.push(pair("aws.http.error_message", draw.text("Service Unavailable")));
        }
    }
    if draw.chance(0.3) {
        list.push(pair("message.type", draw.text("RECEIVED")));
        let size = draw.one(&[0, 12_452]);
        list.push(pair("messaging.message_payload_size_bytes", draw.int(size)));
    }
    let mut attributes = mixed(draw, list);
    // Upstream writes it as Go prints it; the model knows of texts and integers.
    attributes.retain(|it| {
        let is_plain = matches!(it.value, AnyValue::String(_) | AnyValue::Int(_));
        it.key != "http.response.status_code" || is_plain
    });
    Event {
        time_unix_nano: draw.one(&[START, 1_696_954_761_000_001_999, 999, 0, START + 987_654_321]),
        name: name.into(),
        attributes,
    }
}

/// Adds the attributes of something that spans tell of.
type Facet = fn(&mut Draw<'_>, &mut Vec<KeyValue<'static>>);

fn attributes(draw: &mut Draw<'_>) -> Vec<KeyValue<'static>> {
    if draw.chance(0.04) {
        return Vec::new();
    }
    let mut list = Vec::new();
    let facets: [(f64, Facet); 9] = [
        (0.4, http_old),
        (0.35, http_new),
        (0.35, net),
        (0.3, aws_call),
        (0.3, application_signals),
        (0.25, database),
        (0.3, other_names),
        (0.6, custom),
        (0.2, any_value_of_any_name),
    ];
    for (share, facet) in facets {
        if draw.chance(share) {
            facet(draw, &mut list);
        }
    }
    mixed(draw, list)
}

fn http_old(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    let scheme = draw.one(&["http", "https", "ws", ""]);
    for (share, key, text) in [
        (0.6, "http.method", "GET"),
        (0.2, "http.client_ip", "203.0.113.7"),
        (0.3, "http.user_agent", "curl/8"),
        (0.3, "http.url", "https://shop.example/a?b=c"),
        (0.4, "http.scheme", scheme),
        (0.3, "http.host", "shop.example:8080"),
        (0.4, "http.target", "/target?x=1"),
        (0.2, "http.server_name", "server"),
        (0.2, "http.status_text", "Not good"),
    ] {
        if draw.chance(share) {
            list.push(pair(key, draw.text(text)));
        }
    }
    if draw.chance(0.6) {
        list.push(pair("http.status_code", status_code(draw)));
    }
}

fn status_code(draw: &mut Draw<'_>) -> AnyValue<'static> {
    let code = draw.one(&[0, 200, 302, 399, 400, 404, 429, 499, 500, 503, 599, 600, -1]);
    if draw.chance(0.05) {
        return AnyValue::String("503".into());
    }
    draw.int(code)
}

fn http_new(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    let scheme = draw.one(&["http", "https"]);
    let query = draw.one(&["a=1", "?a=1", ""]);
    let client = draw.one(&["10.0.0.9", "client.example", "::1", "010.0.0.1", ""]);
    for (share, key, text) in [
        (0.6, "http.request.method", "POST"),
        (0.3, "user_agent.original", "curl/9"),
        (0.3, "url.full", "https://full.example/x"),
        (0.4, "url.scheme", scheme),
        (0.5, "url.path", "/path"),
        (0.4, "url.query", query),
        (0.5, "server.address", "api.example"),
        (0.4, "client.address", client),
    ] {
        if draw.chance(share) {
            list.push(pair(key, draw.text(text)));
        }
    }
    if draw.chance(0.5) {
        list.push(pair("http.response.status_code", status_code(draw)));
    }
    if draw.chance(0.4) {
        list.push(pair("server.port", port(draw)));
    }
    if draw.chance(0.3) {
        let address = draw.one(&[
            "10.0.0.10",
            "peer.example",
            "2001:db8::2",
            "fe80::1%eth0",
            "::ffff:1.2.3.4",
            "1.2.3",
        ]);
        list.push(pair("network.peer.address", draw.text(address)));
    }
}

fn port(draw: &mut Draw<'_>) -> AnyValue<'static> {
    if draw.chance(0.3) {
        let text = draw.one(&["80", "443", "8080", ""]);
        return draw.text(text);
    }
    let number = draw.one(&[80, 443, 8080, 0]);
    draw.int(number)
}

fn net(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    for (share, key, text) in [
        (0.3, "host.name", "host"),
        (0.3, "net.host.name", "nethost"),
        (0.5, "net.peer.name", "peer"),
        (0.4, "net.peer.ip", "198.51.100.4"),
        (0.1, "net.transport", "ip_tcp"),
    ] {
        if draw.chance(share) {
            list.push(pair(key, draw.text(text)));
        }
    }
    for key in ["net.peer.port", "net.host.port"] {
        if draw.chance(0.4) {
            list.push(pair(key, port(draw)));
        }
    }
    if draw.chance(0.2) {
        list.push(pair("message.type", draw.text("RECEIVED")));
        list.push(pair("messaging.message_payload_size_bytes", draw.int(77)));
    }
}

fn aws_call(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    // Of two spellings upstream takes the one that comes first in a Go map.
    let request = draw.one(&["aws.request_id", "aws.requestId"]);
    let queue = draw.one(&["aws.queue_url", "aws.queue.url"]);
    let table = draw.one(&["aws.table_name", "aws.table.name"]);
    let system = draw.one(&["aws-api", "aws-api", "grpc"]);
    for (share, key, text) in [
        (0.6, "rpc.system", system),
        (0.4, "rpc.service", "DynamoDB"),
        (0.4, "rpc.method", "GetItem"),
        (0.2, "aws.operation", "PutItem"),
        (0.2, "aws.service", "S3"),
        (0.2, "aws.account_id", "210987654321"),
        (0.3, "aws.region", "eu-central-1"),
        (0.3, request, "REQ-1"),
        (0.3, queue, "https://sqs.example/q"),
        (0.3, table, "orders"),
        (0.2, "messaging.url", "https://sqs.example/m"),
    ] {
        if draw.chance(share) {
            list.push(pair(key, draw.text(text)));
        }
    }
    if draw.chance(0.3) {
        let tables = draw.texts(&["t1", "", "t3"]);
        list.push(pair("aws.dynamodb.table_names", tables));
    }
}

fn application_signals(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    let kind = draw.one(&["LOCAL_ROOT", "LOCAL_ROOT", "LOCAL_ROOT", "local_root", "SERVER"]);
    let remote = draw.one(&["payment", "AWS.SDK.SQS", "AWS::S3", "AWS.SDK.AWS::X", ""]);
    for (share, key, text) in [
        (0.8, "aws.span.kind", kind),
        (0.5, "aws.local.service", "local"),
        (0.3, "aws.local.operation", "GET /"),
        (0.5, "aws.remote.service", remote),
        (0.3, "aws.remote.operation", "Pay"),
        (0.2, "remoteTarget", "target"),
        (0.2, "K8s.RemoteNamespace", "ns"),
    ] {
        if draw.chance(share) {
            list.push(pair(key, draw.text(text)));
        }
    }
    if draw.chance(0.1) {
        let value = if draw.chance(0.7) {
            AnyValue::Bool(draw.chance(0.5))
        } else {
            draw.any(1)
        };
        list.push(pair("aws.xray.inprogress", value));
    }
}

/// Names that some facet reads, but for those with two spellings.
const NAMES: [&str; 58] = [
    "aws.account_id",
    "aws.dynamodb.table_names",
    "aws.local.service",
    "aws.operation",
    "aws.region",
    "aws.remote.operation",
    "aws.remote.service",
    "aws.service",
    "aws.span.kind",
    "aws.xray.annotations",
    "aws.xray.inprogress",
    "aws.xray.metadata.any",
    "client.address",
    "cloud.provider",
    "container.image.tags",
    "db.connection_string",
    "db.name",
    "db.statement",
    "db.system",
    "db.user",
    "enduser.id",
    "host.id",
    "host.name",
    "http.client_ip",
    "http.host",
    "http.method",
    "http.request.method",
    "http.response.status_code",
    "http.scheme",
    "http.server_name",
    "http.status_code",
    "http.status_text",
    "http.target",
    "http.url",
    "http.user_agent",
    "message.type",
    "messaging.message_payload_size_bytes",
    "messaging.url",
    "net.host.name",
    "net.host.port",
    "net.peer.ip",
    "net.peer.name",
    "net.peer.port",
    "network.peer.address",
    "peer.service",
    "remoteTarget",
    "rpc.method",
    "rpc.service",
    "rpc.system",
    "server.address",
    "server.port",
    "service.name",
    "url.full",
    "url.path",
    "url.query",
    "url.scheme",
    "user_agent.original",
    "K8s.RemoteNamespace",
];

fn any_value_of_any_name(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    for _ in 0..draw.one(&[1, 2, 5]) {
        list.push(pair(draw.one(&NAMES), draw.any(2)));
    }
}

const CONNECTIONS: [&str; 30] = [
    "jdbc:postgresql://h:5432/d",
    "jdbc:mysql://u:p@my.example",
    "mysql://[2001:db8::7]:3306/x",
    "jdbc:oracle:thin:@h:1521:sid",
    "Server=h;Database=d",
    "h:5432",
    "127.0.0.1:5432",
    "//h2/x",
    "///h3",
    "/var/run/socket",
    "redis://h/%zz",
    "redis://h%20x/",
    "redis://h x/",
    "redis://a@b@c/",
    "redis://a b@c/",
    "redis://h:12x/",
    "redis://h:/",
    "redis://h:1:2/",
    "redis://[::1/",
    "redis://[h]:1/",
    "redis://h?x=1#frag",
    "redis://h#%",
    "redis://caf\u{e9}/",
    "redis://H.Example",
    ":no-scheme",
    "1a://h",
    "a+b-c.1://h",
    "jdbc:jdbc:x://h",
    "x:\u{7f}",
    "redis://h\\x",
];

fn database(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    let system = draw.one(&[
        "postgresql",
        "mysql",
        "mssql",
        "oracle",
        "other_sql",
        "hive",
        "derby",
        "db2",
        "mariadb",
        "sqlite",
        "teradata",
        "redis",
        "mongodb",
        "PostgreSQL",
    ]);
    let connection = draw.one(&CONNECTIONS);
    for (share, key, text) in [
        (0.8, "db.system", system),
        (0.7, "db.name", "d"),
        (0.6, "db.connection_string", connection),
        (0.6, "db.statement", "SELECT 1"),
        (0.4, "db.user", "u"),
        (0.2, "db.query.text", "SELECT 2"),
        (0.2, "db.namespace", "n"),
    ] {
        if draw.chance(share) {
            list.push(pair(key, draw.text(text)));
        }
    }
}

fn other_names(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    for (share, key, text) in [
        (0.4, "peer.service", "peer, service"),
        (0.3, "messaging.system", "kafka"),
        (0.2, "messaging.destination.name", "orders"),
        (0.4, "enduser.id", "user-1"),
        (0.1, "otel.resource.service.name", "not of the resource"),
    ] {
        if draw.chance(share) {
            list.push(pair(key, draw.text(text)));
        }
    }
}

fn custom(draw: &mut Draw<'_>, list: &mut Vec<KeyValue<'static>>) {
    // No two become the same annotation.
    const KEYS: [&str; 12] = [
        "custom.text",
        "custom.list",
        "Key@1",
        "caf\u{e9}.key",
        "\u{4e2d}\u{6587}",
        "with space",
        "",
        "dot.",
        "-",
        "thread.id",
        "code.function",
        "not.there.either",
    ];
    let count = draw.one(&[1, 2, 4]);
    for _ in 0..count {
        let key = draw.one(&KEYS);
        if !list.iter().any(|it| it.key == key) {
            list.push(pair(key, draw.any(3)));
        }
    }
    if draw.chance(0.3) {
        let names = draw.texts(&["custom.text", "custom.list", "Key@1"]);
        list.push(pair("aws.xray.annotations", names));
    }
    for (key, json) in [
        (
            "aws.xray.metadata.default",
            "{\"m1\": 1, \"otel.resource.m2\": [1.5, null, {\"x\": 12345678901234567890}]}",
        ),
        (
            "aws.xray.metadata.http",
            "{\"otel.resource.m3\": true, \"m4\": \"\\u00e9<\"}",
        ),
        ("aws.xray.metadata.DeFault", "{\"m5\": -0.0}"),
        ("aws.xray.metadata.null", "null"),
        ("aws.xray.metadata.bad", "{\"m6\": }"),
        ("aws.xray.metadata.list", "[1]"),
        ("aws.xray.metadata.large", "{\"m7\": 1e999}"),
        ("aws.xray.metadata.", " {} "),
        ("aws.xray.metadata", "{}"),
    ] {
        if draw.chance(0.07) {
            list.push(pair(key, draw.text(json)));
        }
    }
}
