//! One document of a span: the order of its facets, and those that are small.

use serde_json::{Map, Value, json};
use tracepipe_otlp::TraceId;
use tracepipe_otlp::view::{AnyValue, SpanKind};

use super::input::{Attributes, Input, Remaining, int, raw_map, text};
use super::store::store;
use super::{Crash, Translator, Version, aws, cause, go, http, put_text};

/// Systems whose statements become `sql`.
const SQL_SYSTEMS: [&str; 11] = [
    "db2",
    "derby",
    "hive",
    "mariadb",
    "mssql",
    "mysql",
    "oracle",
    "postgresql",
    "sqlite",
    "teradata",
    "other_sql",
];

/// A name is cut to so many bytes, whatever they are.
const NAME_BYTES_MAX: usize = 200;

impl Translator {
    /// The document of a span by itself.
    pub(super) fn make(
        &self,
        input: &Input<'_>,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Result<Map<String, Value>, Crash> {
        let mut input = input.clone();
        let in_progress = self.take_in_progress(&mut input.attributes);
        let span = input.span;
        let is_segment_by_kind = match self.version {
            Version::V0_120 => span.kind == SpanKind::Server,
            Version::V0_161 => matches!(span.kind, SpanKind::Server | SpanKind::Consumer),
        };
        let is_subsegment = !is_segment_by_kind && input.parent_id.is_some();

        let mut document = Map::new();
        document.insert("trace_id".into(), trace_id(span.trace_id).into());
        document.insert("start_time".into(), seconds(span.start_time_unix_nano));
        if in_progress {
            document.insert("in_progress".into(), true.into());
        } else {
            document.insert("end_time".into(), seconds(span.end_time_unix_nano));
        }
        let id = input.span_id.is_valid().then(|| input.span_id.to_string());
        document.insert("id".into(), id.into());
        if let Some(parent) = input.parent_id {
            document.insert("parent_id".into(), parent.to_string().into());
        }
        if is_subsegment {
            document.insert("type".into(), "subsegment".into());
        }

        let (mut remaining, http) = http::http(self.version, &input);
        document.extend(http.map(|http| ("http".to_owned(), http)));
        cause::cause(&input, &mut remaining, &mut document, random_id)?;
        let resource = Attributes::new(input.resource);
        put_text(&mut document, "origin", aws::origin(&resource));
        let aws = aws::aws(&resource, &mut remaining, &self.log_groups);
        document.extend(aws.map(|aws| ("aws".to_owned(), aws)));
        document.extend(service(self.version, &resource).map(|service| ("service".to_owned(), service)));
        document.extend(sql(&span.name, &mut remaining).map(|sql| ("sql".to_owned(), sql)));
        store(self, &input, remaining, is_subsegment, &mut document);
        if !span.links.is_empty() {
            document.insert("links".into(), links(&input));
        }
        let (name, namespace) = naming(self.version, &input, &resource);
        document.insert("name".into(), name.into());
        put_text(&mut document, "namespace", namespace);
        Ok(document)
    }

    fn take_in_progress(&self, attributes: &mut Attributes<'_>) -> bool {
        let found = attributes.get("aws.xray.inprogress");
        let (Version::V0_161, Some(AnyValue::Bool(in_progress))) = (self.version, found) else {
            return false;
        };
        attributes.remove("aws.xray.inprogress");
        *in_progress
    }
}

fn seconds(nanos: u64) -> Value {
    (nanos as f64 / 1e9).into()
}

fn trace_id(id: TraceId) -> String {
    let hex = id.to_string();
    let (epoch, unique) = hex.split_at(8);
    format!("1-{epoch}-{unique}")
}

fn service(version: Version, resource: &Attributes<'_>) -> Option<Value> {
    let tags = match resource.get("container.image.tags") {
        Some(AnyValue::Array(tags)) if version == Version::V0_161 => tags.first(),
        _ => None,
    };
    let found = resource
        .get("service.version")
        .or(tags)
        .or_else(|| resource.get("container.image.tag"))?;
    let mut service = Map::new();
    put_text(&mut service, "version", text(found));
    Some(service.into())
}

fn sql(span_name: &str, remaining: &mut Remaining<'_>) -> Option<Value> {
    let of = |name: &str| remaining.get(name).map_or("", |value| text(value));
    let system = of("db.system");
    if !SQL_SYSTEMS.contains(&system) {
        return None;
    }
    let connection = match of("db.connection_string") {
        "" => "localhost",
        connection => connection,
    };
    let mut sql = Map::new();
    sql.insert(
        "connection_string".into(),
        format!("{connection}/{}", of("db.name")).into(),
    );
    put_text(&mut sql, "url", span_name);
    put_text(&mut sql, "sanitized_query", of("db.statement"));
    put_text(&mut sql, "database_type", system);
    put_text(&mut sql, "user", of("db.user"));
    for name in [
        "db.connection_string",
        "db.system",
        "db.name",
        "db.statement",
        "db.user",
    ] {
        remaining.remove(name);
    }
    Some(sql.into())
}

fn links(input: &Input<'_>) -> Value {
    let links = input.span.links.iter().map(|link| {
        let id = if link.span_id.is_valid() {
            link.span_id.to_string()
        } else {
            String::new()
        };
        let mut json = json!({ "trace_id": trace_id(link.trace_id), "id": id });
        if !link.attributes.is_empty() {
            json["attributes"] = raw_map(&link.attributes);
        }
        json
    });
    links.collect()
}

/// Whether the span is of AWS's SDK.
pub(super) fn is_aws_call(attributes: &Attributes<'_>) -> bool {
    attributes.text("rpc.system") == "aws-api"
}

/// The name of a service without what AWS's SDK puts before it.
pub(super) fn trimmed<'a>(attributes: &Attributes<'_>, name: &'a str) -> &'a str {
    if !is_aws_call(attributes) {
        return name;
    }
    name.strip_prefix("AWS.SDK.")
        .or_else(|| name.strip_prefix("AWS::"))
        .unwrap_or(name)
}

/// Name and namespace; the latter empty for none.
fn naming(version: Version, input: &Input<'_>, resource: &Attributes<'_>) -> (String, &'static str) {
    let attributes = &input.attributes;
    let kind = input.span.kind;
    let mut namespace = if is_aws_call(attributes) { "aws" } else { "" };

    let is_local_root = attributes.text("aws.span.kind") == "LOCAL_ROOT";
    let mut name = match kind {
        SpanKind::Server => attributes.text("aws.local.service"),
        SpanKind::Internal if is_local_root => attributes.text("aws.local.service"),
        SpanKind::Client | SpanKind::Producer | SpanKind::Consumer => {
            trimmed(attributes, attributes.text("aws.remote.service"))
        }
        SpanKind::Internal | SpanKind::Unspecified => "",
    }
    .to_owned();
    let or = |name: &mut String, other: &str| {
        if name.is_empty() {
            other.clone_into(name);
        }
    };
    or(&mut name, attributes.text("peer.service"));
    if name.is_empty() && attributes.get("aws.service").is_some() {
        or(&mut name, attributes.text("aws.service"));
        namespace = "aws";
    }
    or(&mut name, &database(attributes));
    if kind == SpanKind::Server {
        or(&mut name, resource.text("service.name"));
    }
    for attribute in ["rpc.service", "http.host", "net.peer.name"] {
        or(&mut name, attributes.text(attribute));
    }
    or(&mut name, &clean(&input.span.name));
    let is_remote = match version {
        Version::V0_120 => kind == SpanKind::Client,
        Version::V0_161 => matches!(kind, SpanKind::Client | SpanKind::Producer),
    };
    if namespace.is_empty() && is_remote {
        namespace = "remote";
    }
    (name, namespace)
}

/// `db.name`, even when it is no text, with the host of the connection.
fn database(attributes: &Attributes<'_>) -> String {
    if attributes.get("db.name").is_none() {
        return String::new();
    }
    let mut name = attributes.text("db.name").to_owned();
    let connection = attributes.text("db.connection_string");
    let url = connection.strip_prefix("jdbc:").unwrap_or(connection);
    if let Some(host) = go::url_host(url).filter(|host| !host.is_empty()) {
        name.push('@');
        name.push_str(&host);
    }
    name
}

/// Only the characters that X-Ray documents for names; cut, even within a character.
fn clean(name: &str) -> String {
    let kept: String = name
        .chars()
        .filter(|it| it.is_ascii_digit() || go::is_letter(*it) || " _.:/%&#=+-@".contains(*it))
        .collect();
    if kept.is_empty() {
        return "span".into();
    }
    let bytes = kept.as_bytes();
    go::text_of(bytes.get(..NAME_BYTES_MAX).unwrap_or(bytes))
}

/// 0 for an attribute that is not there.
pub(super) fn int_of(value: Option<&AnyValue<'_>>) -> i64 {
    value.map_or(0, int)
}
