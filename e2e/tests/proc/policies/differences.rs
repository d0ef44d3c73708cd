//! Where we differ from the upstream collector on purpose: each row of the table of docs/sampling.md about what a policy
//! wants, with traces that show it. The reasons stand there.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tracepipe_otlp::TraceId;

use super::sets::PolicySet;
use super::spans::{Attribute, ResourceSpans, ScopeSpans, Span, Value};
use super::traffic::Traffic;
use super::upstream::{KeptTraces, Upstream};
use super::{ours, upstream};
use crate::parity::peer_binary;

const START: u64 = 1_795_219_200_000_000_000;
const MS: u64 = 1_000_000;

/// What becomes of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Keeps,
    Drops,
    /// The configuration is an error.
    Refuses,
}

/// One policy, one trace, two answers.
struct Row {
    /// What the row of the documentation begins with.
    what: &'static str,
    policy: Json,
    /// Each in a request and a resource of its own, in this order.
    spans: Vec<Span>,
    /// Of every span.
    resource: Vec<Attribute>,
    upstream: Answer,
    ours: Answer,
}

impl Row {
    /// Nobody keeps it, unless said.
    fn new(what: &'static str, policy: Json) -> Self {
        Self {
            what,
            policy,
            spans: Vec::new(),
            resource: Vec::new(),
            upstream: Answer::Drops,
            ours: Answer::Drops,
        }
    }

    fn upstream_keeps(self) -> Self {
        Self {
            upstream: Answer::Keeps,
            ..self
        }
    }

    fn we_keep(self) -> Self {
        Self {
            ours: Answer::Keeps,
            ..self
        }
    }

    fn we_refuse(self) -> Self {
        Self {
            ours: Answer::Refuses,
            ..self
        }
    }

    /// A span from and to these times.
    fn span(mut self, start: u64, end: u64) -> Self {
        self.spans.push(Span {
            start_unix_nano: start,
            end_unix_nano: end,
            ..Span::default()
        });
        self
    }

    /// A span with this attribute.
    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self = self.span(START, START + MS);
        let attributes = self.spans.iter_mut().last().map(|span| &mut span.attributes);
        attributes.unwrap().push(Attribute::new(key, value));
        self
    }

    /// A span whose resource has this attribute.
    fn on_resource(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.resource.push(Attribute::new(key, value));
        self.span(START, START + MS)
    }

    /// A span with this status code.
    fn status(mut self, code: i32) -> Self {
        self = self.span(START, START + MS);
        self.spans.iter_mut().last().unwrap().status = Some(code);
        self
    }
}

fn latency(threshold_ms: u64, upper_threshold_ms: u64) -> Json {
    json!({"type": "latency", "latency": {"threshold_ms": threshold_ms, "upper_threshold_ms": upper_threshold_ms}})
}

fn attribute(kind: &str, settings: Json) -> Json {
    let mut settings = settings;
    settings["key"] = json!("key");
    let mut policy = json!({"type": kind});
    policy[kind] = settings;
    policy
}

fn latency_rows() -> Vec<Row> {
    let in_window = "`latency` with an upper bound";
    let at_zero = "`latency`, a span that starts at 0";
    let beyond = "`latency`, times from the year 2262 on";
    vec![
        Row::new(in_window, latency(50, 500))
            .span(START, START + 100 * MS)
            .span(START, START + 900 * MS)
            .upstream_keeps(),
        // The same spans in the other order: nobody does.
        Row::new(in_window, latency(50, 500))
            .span(START, START + 900 * MS)
            .span(START, START + 100 * MS),
        Row::new(at_zero, latency(500, 0))
            .span(0, 0)
            .span(START, START + MS)
            .we_keep(),
        Row::new(at_zero, latency(500, 0))
            .span(START, START + MS)
            .span(0, 0)
            .upstream_keeps()
            .we_keep(),
        Row::new(beyond, latency(500, 0))
            .span(START, START + 900 * MS)
            .span(START, u64::MAX)
            .upstream_keeps(),
        Row::new(beyond, latency(500, 0))
            .span(START, u64::MAX)
            .span(START, START + 900 * MS),
    ]
}

fn number_rows() -> Vec<Row> {
    let zero = "`numeric_attribute`, a bound written as 0";
    let double = "`numeric_attribute`, an attribute that is a fraction";
    let other = "`numeric_attribute`, an attribute that is no number";
    let number =
        |min: i64, max: i64| attribute("numeric_attribute", json!({"min_value": min, "max_value": max}));
    vec![
        Row::new(zero, number(0, 10))
            .with("key", Value::Int(-5))
            .upstream_keeps(),
        Row::new(zero, number(-10, 0))
            .with("key", Value::Int(5))
            .upstream_keeps(),
        Row::new(double, number(1, 10))
            .with("key", Value::Double(5.0))
            .we_keep(),
        Row::new(double, number(-1, 10))
            .with("key", Value::Double(50.5))
            .upstream_keeps(),
        Row::new(double, number(-1, 10))
            .with("key", Value::Double(f64::NAN))
            .upstream_keeps(),
        Row::new(other, number(-1, 1)).with("key", "5").upstream_keeps(),
        Row::new(other, number(-1, 1))
            .with("key", Value::Bool(true))
            .upstream_keeps(),
        Row::new(other, number(-1, 1))
            .with("key", Value::Empty)
            .upstream_keeps(),
        Row::new(other, number(-1, 1))
            .on_resource("key", Value::Array(vec![Value::Int(7)]))
            .upstream_keeps(),
        Row::new(
            other,
            attribute(
                "numeric_attribute",
                json!({"min_value": -1, "max_value": 1, "invert_match": true}),
            ),
        )
        .with("key", "5")
        .we_keep(),
    ]
}

fn text_and_truth_rows() -> Vec<Row> {
    let truth = "`boolean_attribute`, an attribute that is no truth value";
    let empty = "`string_attribute`, an empty text in a resource";
    let other = "`string_attribute`, an attribute that is no text";
    let no = |invert: bool| {
        attribute(
            "boolean_attribute",
            json!({"value": false, "invert_match": invert}),
        )
    };
    let regex = || {
        attribute(
            "string_attribute",
            json!({"values": ["^$"], "enabled_regex_matching": true}),
        )
    };
    vec![
        Row::new(truth, no(false)).with("key", "true").upstream_keeps(),
        Row::new(truth, no(false))
            .with("key", Value::Int(1))
            .upstream_keeps(),
        Row::new(truth, no(false))
            .on_resource("key", Value::Empty)
            .upstream_keeps(),
        Row::new(truth, no(true))
            .with("key", Value::Bytes(vec![1]))
            .we_keep(),
        Row::new(empty, regex()).on_resource("key", "").upstream_keeps(),
        // Of a span neither.
        Row::new(empty, regex()).with("key", ""),
        Row::new(other, regex())
            .on_resource("key", Value::Int(5))
            .upstream_keeps(),
        Row::new(other, regex())
            .on_resource("key", Value::Map(Vec::new()))
            .upstream_keeps(),
        Row::new(other, regex()).with("key", Value::Int(5)),
    ]
}

fn status_rows() -> Vec<Row> {
    let unknown = "`status_code`, a code that OTLP does not know";
    let unset = || json!({"type": "status_code", "status_code": {"status_codes": ["UNSET"]}});
    vec![
        Row::new(unknown, unset()).status(3).we_keep(),
        Row::new(unknown, unset()).status(-1).we_keep(),
        Row::new(unknown, unset()).status(0).upstream_keeps().we_keep(),
    ]
}

/// Members look for an attribute of the row's trace, so that no other row's trace spends their budget.
fn budget_rows() -> Vec<Row> {
    let order = "`composite`, `policy_order`";
    let left = "`composite`, members without `rate_allocation`";
    let size = "`bytes_limiting`, `maximum_trace_size_bytes`";
    let of_row = |name: &str, value: &str| json!({"name": name, "type": "string_attribute", "string_attribute": {"key": "row", "values": [value]}});
    let composite = |rate: u64, order: Json, value: &str, shares: Json| {
        json!({"type": "composite", "composite": {
            "max_total_spans_per_second": rate,
            "policy_order": order,
            "composite_sub_policy": [of_row("a", value), of_row("b", value)],
            "rate_allocation": shares,
        }})
    };
    let five = |row: Row, value: &str| (0..5).fold(row, |row, _| row.with("row", value));
    let shares = json!([{"policy": "a", "percent": 1}, {"policy": "b", "percent": 99}]);
    // The first in the list may keep 4 spans a second, the other 396.
    let ordered = composite(400, json!(["b", "a"]), "order", shares);
    // 1 or 50 spans a second.
    let rest = composite(
        100,
        json!(["a", "b"]),
        "rest",
        json!([{"policy": "b", "percent": 99}]),
    );
    let limited = json!({"type": "and", "and": {"and_sub_policy": [of_row("a", "size"),
        {"name": "b", "type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 1, "burst_capacity": 200}}]}});
    vec![
        five(Row::new(order, ordered), "order").we_keep(),
        five(Row::new(left, rest), "rest").upstream_keeps(),
        Row::new(size, limited.clone())
            .on_resource("padding", "x".repeat(200).as_str())
            .with("row", "size")
            .we_keep(),
        // Of spans alone neither.
        Row::new(size, limited)
            .with("row", "size")
            .with("padding", "x".repeat(200).as_str()),
    ]
}

/// What upstream takes although it cannot be meant.
fn refused_rows() -> Vec<Row> {
    let refused = "settings that cannot be meant (an empty `and`, `max_value` below `min_value`, a negative threshold, no values)";
    let empty_and = json!({"type": "and", "and": {"and_sub_policy": []}});
    let trace_state = json!({"type": "trace_state", "trace_state": {"key": "vendor", "values": [""]}});
    let text = |values: Json| attribute("string_attribute", json!({"values": values}));
    vec![
        Row::new(refused, empty_and)
            .span(START, START)
            .upstream_keeps()
            .we_refuse(),
        Row::new(
            refused,
            json!({"type": "latency", "latency": {"threshold_ms": -1}}),
        )
        .span(START, START)
        .upstream_keeps()
        .we_refuse(),
        Row::new(refused, trace_state).span(START, START).we_refuse(),
        Row::new(refused, text(json!([]))).with("key", "text").we_refuse(),
        Row::new(refused, text(json!([""])))
            .on_resource("key", "")
            .we_refuse(),
        Row::new(
            refused,
            attribute("numeric_attribute", json!({"min_value": 5, "max_value": 4})),
        )
        .with("key", Value::Int(5))
        .we_refuse(),
    ]
}

fn rows() -> Vec<Row> {
    [
        latency_rows(),
        number_rows(),
        text_and_truth_rows(),
        status_rows(),
        budget_rows(),
        refused_rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn id(row: usize) -> [u8; 16] {
    (row as u128 + 1).to_be_bytes()
}

/// All rows' traces, to be sent to all rows' policies.
fn traffic(rows: &[Row]) -> Traffic {
    let mut requests = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        for span in &row.spans {
            let span = Span {
                trace: index,
                number: requests.len() as u64 + 1,
                ..span.clone()
            };
            let scopes = vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }];
            requests.push(vec![ResourceSpans {
                resource: Some(row.resource.clone()),
                scopes,
                ..ResourceSpans::default()
            }]);
        }
    }
    Traffic::of(requests, (0..rows.len()).map(id).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_documented_difference_is_one_and_no_more_than_documented() {
    let peer = peer_binary().await.unwrap();
    let rows = rows();
    let traffic = traffic(&rows);
    let sets: Vec<PolicySet> = rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let mut policy = row.policy.clone();
            policy["name"] = json!("p");
            PolicySet::of(number, &json!([policy]))
        })
        .collect();
    let theirs = upstream::kept(&peer, &traffic, &sets).await.unwrap();
    let mut wrong = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let id = TraceId(id(index));
        let keeps = |kept: &KeptTraces| {
            if kept.contains_key(&id) {
                Answer::Keeps
            } else {
                Answer::Drops
            }
        };
        let ours = ours::kept(&traffic, &sets[index]).map_or(Answer::Refuses, |kept| keeps(&kept));
        let found = (keeps(&theirs[index]), ours);
        if found != (row.upstream, row.ours) {
            wrong.push(format!(
                "{}: upstream and we: {found:?}, expected {:?}\n{}\n{}",
                row.what,
                (row.upstream, row.ours),
                sets[index].policies,
                traffic.show(id)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Rows of the documentation that one trace cannot show.
const SHOWN_ELSEWHERE: [&str; 3] = [
    // By the last test here.
    "`string_attribute`, `\\p{Old_Italic}` and other scripts of two words",
    // As far as it can be: here the shares never add up to more than the total, see the row after the next.
    "`composite`, `max_total_spans_per_second`",
    // By `budget`: in no stretch of time does more pass.
    "`composite`, seconds",
];

#[test]
fn every_documented_difference_in_what_a_policy_wants_is_shown() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sampling.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let (_, table) = docs.split_once("### What a policy wants\n").unwrap();
    let (table, _) = table.split_once("\n#").unwrap();
    // Below the head of the table and its line.
    let documented: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .skip(1)
        .collect();
    let shown: BTreeSet<&str> = rows().iter().map(|row| row.what).chain(SHOWN_ELSEWHERE).collect();
    assert_eq!(shown, documented);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bounds_of_0_end_the_upstream_collector_and_mean_0_here() {
    let peer = peer_binary().await.unwrap();
    let set = |settings: Json| {
        let mut policy = attribute("numeric_attribute", settings);
        policy["name"] = json!("p");
        PolicySet::of(0, &json!([policy]))
    };
    let traffic = traffic(&[Row::new("", json!({})).with("key", Value::Int(0))]);
    let zero = set(json!({"min_value": 0, "max_value": 0}));
    assert_eq!(ours::kept(&traffic, &zero).unwrap().len(), 1);
    assert!(ours::settings(&set(json!({}))).is_err(), "no bounds at all");
    // Not by `kept`: told to end, it may be gone in good order before its panic is.
    let upstream = Upstream::start(&peer, &[zero], Duration::from_secs(1))
        .await
        .unwrap();
    upstream::send(&traffic, upstream.address()).await.unwrap();
    let said = upstream.wait_for_end().await.unwrap();
    assert!(said.contains("nil pointer"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_of_two_words_keep_the_upstream_collector_from_starting() {
    let peer = peer_binary().await.unwrap();
    let mut policy = attribute(
        "string_attribute",
        json!({"values": [r"\p{Old_Italic}"], "enabled_regex_matching": true}),
    );
    policy["name"] = json!("p");
    let set = PolicySet::of(0, &json!([policy]));
    let traffic = traffic(&[Row::new("", json!({})).with("key", "\u{10300}")]);
    assert_eq!(ours::kept(&traffic, &set).unwrap().len(), 1);
    let theirs = upstream::kept(&peer, &traffic, &[set]).await;
    let error = format!("{:#}", theirs.unwrap_err());
    assert!(error.contains("invalid character class range"), "{error}");
}
