//! A model of the `awsxray` exporter of the OpenTelemetry Collector Contrib, faults included: what it makes of a span, as
//! [`serde_json::Value`]s. It is for tests only. The cross-process tests run it beside the real exporter, which shows that
//! we know what upstream does; tests of the shipped translator can then say where that one differs.
//!
//! Nothing is shared with the shipped translator but the table of Unicode's letters. Read it in the order of a span's way:
//! [`Translator::translate`] knows how many documents a span becomes, `make` makes one of them, the other modules are its
//! facets. Where upstream's result depends on the order of a Go map, the first spelling or the later attribute wins.

mod aws;
mod cause;
mod go;
mod http;
mod input;
mod make;
mod stack;
mod store;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};
use tracepipe_config::AwsXraySettings;
use tracepipe_otlp::SpanId;
use tracepipe_otlp::view::{ResourceSpans, Span, SpanKind};

use self::input::{Attributes, Input, is_json};

/// Whose behaviour it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// v0.120.0, which can be run.
    V0_120,
    /// v0.161.0.
    V0_161,
}

/// What a span becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// One document or two, in the order in which they are sent.
    Documents(Vec<Value>),
    /// Nothing: a document of it could not be written as JSON.
    Nothing,
    /// The end of the exporter: it panics.
    Crash,
}

/// The exporter panics: an index is out of range, or there is nothing where something was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Crash;

/// Translates spans as the exporter does by these settings.
#[derive(Debug)]
pub struct Translator {
    indexed: Vec<String>,
    index_all: bool,
    log_groups: Vec<String>,
    version: Version,
}

impl Translator {
    /// With an exporter's settings.
    pub fn new(settings: &AwsXraySettings, version: Version) -> Self {
        Self {
            indexed: settings.indexed_attributes.clone(),
            index_all: settings.index_all_attributes,
            log_groups: settings.aws_log_groups.clone(),
            version,
        }
    }

    /// What becomes of each span.
    pub fn translate(&self, spans: &ResourceSpans<'_>, random_id: &mut dyn FnMut() -> u64) -> Vec<Outcome> {
        let all = spans.scope_spans.iter().flat_map(|scope| &scope.spans);
        all.map(|span| match self.documents(spans, span, random_id) {
            Ok(documents) if documents.iter().flat_map(Map::values).all(is_json) => {
                Outcome::Documents(documents.into_iter().map(Value::Object).collect())
            }
            Ok(_) => Outcome::Nothing,
            Err(Crash) => Outcome::Crash,
        })
        .collect()
    }

    fn documents(
        &self,
        spans: &ResourceSpans<'_>,
        span: &Span<'_>,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Result<Vec<Map<String, Value>>, Crash> {
        let input = Input::new(&spans.resource, span);
        if input.attributes.text("aws.span.kind") != "LOCAL_ROOT" {
            return Ok(vec![self.alone(&input, random_id)?]);
        }
        match span.kind {
            SpanKind::Server | SpanKind::Internal => {
                let mut document = self.make(&input, random_id)?;
                document.remove("type");
                document.remove("namespace");
                Ok(vec![document])
            }
            SpanKind::Unspecified | SpanKind::Client | SpanKind::Producer | SpanKind::Consumer => {
                let service_id = SpanId(random_id().to_be_bytes());
                let dependency = self.dependency(&input, service_id, random_id)?;
                let service = self.service(&input, service_id, random_id)?;
                Ok(vec![dependency, service])
            }
        }
    }

    /// Of a span that no agent calls the first of its service.
    fn alone(
        &self,
        input: &Input<'_>,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Result<Map<String, Value>, Crash> {
        let mut document = self.make(input, random_id)?;
        let calls = matches!(
            input.span.kind,
            SpanKind::Client | SpanKind::Consumer | SpanKind::Producer
        );
        let has_remote = input.attributes.get("aws.remote.service").is_some();
        if calls && has_remote && document.contains_key("type") {
            document.entry("namespace").or_insert_with(|| "remote".into());
        }
        Ok(document)
    }

    /// What the first span of a service calls.
    fn dependency(
        &self,
        input: &Input<'_>,
        service_id: SpanId,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Result<Map<String, Value>, Crash> {
        let below = Input {
            parent_id: Some(service_id),
            ..input.clone()
        };
        let mut document = self.make(&below, random_id)?;
        document.insert("type".into(), "subsegment".into());
        document.entry("namespace").or_insert_with(|| "remote".into());
        if input.span.kind == SpanKind::Consumer {
            document.remove("links");
        }
        if input.attributes.get("aws.remote.service").is_some() {
            let name = make::trimmed(&input.attributes, input.attributes.text("aws.remote.service"));
            document.insert("name".into(), or_null(name));
        }
        Ok(document)
    }

    /// The service whose first span it is.
    fn service(
        &self,
        input: &Input<'_>,
        service_id: SpanId,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Result<Map<String, Value>, Crash> {
        let mut above = Input {
            span_id: service_id,
            ..input.clone()
        };
        for name in [
            "aws.remote.service",
            "aws.remote.operation",
            "remoteTarget",
            "K8s.RemoteNamespace",
        ] {
            above.attributes.remove(name);
        }
        let mut document = self.make(&above, random_id)?;
        let resource = Attributes::new(input.resource);
        if input.attributes.get("aws.local.service").is_some() {
            document.insert("name".into(), or_null(input.attributes.text("aws.local.service")));
        } else if self.version == Version::V0_161 && resource.get("service.name").is_some() {
            document.insert("name".into(), or_null(resource.text("service.name")));
        }
        document.remove("http");
        let aws = document.get_mut("aws").and_then(Value::as_object_mut);
        let aws = aws.ok_or(Crash)?;
        for name in [
            "operation",
            "account_id",
            "region",
            "request_id",
            "queue_url",
            "table_name",
            "table_names",
        ] {
            aws.remove(name);
        }
        if let Some(Value::Object(metadata)) = document.get_mut("metadata") {
            for namespace in metadata.values_mut().filter_map(Value::as_object_mut) {
                namespace.retain(|key, _| key.starts_with("otel.resource."));
            }
        }
        document.remove("type");
        document.remove("namespace");
        if input.span.kind != SpanKind::Consumer {
            document.remove("links");
        }
        Ok(document)
    }
}

/// A member that is always there.
fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// A member that is left out when it is empty.
fn put_text(object: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        object.insert(name.into(), text.into());
    }
}
