//! One document: its parts, in the order in which a span's attributes are given to them, and the writing.

use std::cell::OnceCell;

use tracepipe_otlp::view::{AnyValue, KeyValue, Span};
use tracepipe_otlp::{SpanId, TraceId};

use crate::annotations::{Annotations, CLUSTER_NAME, Indexed, Input, ResourceAttribute, store};
use crate::attributes::{Attributes, List};
use crate::aws::{Aws, AwsResource, service_version};
use crate::cause::{Cause, Flags};
use crate::http::Http;
use crate::json::Json;
use crate::kind::parent;
use crate::limits::RESOURCE_ATTRIBUTES_MAX;
use crate::links::Links;
use crate::metadata::Metadata;
use crate::name::{Namespace, Naming, clean, remote_service};
use crate::origin::origin;
use crate::sql::Sql;

/// What an agent says of a call; nothing of it is about the service that makes the call.
const OF_THE_CALL: [&str; 4] = [
    "aws.remote.service",
    "aws.remote.operation",
    "remoteTarget",
    "K8s.RemoteNamespace",
];

/// An agent says with it that the span has not ended.
const IN_PROGRESS: &str = "aws.xray.inprogress";

/// What a resource gives to the documents of all of its spans.
#[derive(Debug)]
pub(crate) struct ResourceFacts<'t> {
    resource: List<'t>,
    /// How many attributes are beyond those.
    not_looked_at: u64,
    /// Made for the first segment: a subsegment leaves them to its own.
    attributes: OnceCell<(Vec<ResourceAttribute<'t>>, u64)>,
    cluster_name: Option<&'t AnyValue<'t>>,
    service_name: &'t str,
    service_version: &'t str,
    /// Of the SDK.
    language: &'t str,
    origin: Option<&'static str>,
    aws: Option<AwsResource<'t>>,
}

impl<'t> ResourceFacts<'t> {
    /// `log_groups` are those of the configuration.
    pub(crate) fn new(resource: &'t [KeyValue<'t>], log_groups: &'t [String]) -> Self {
        let (looked_at, others) = resource.split_at(resource.len().min(RESOURCE_ATTRIBUTES_MAX));
        let resource = List::new(looked_at);
        Self {
            resource,
            not_looked_at: others.len() as u64,
            attributes: OnceCell::new(),
            cluster_name: resource.get(CLUSTER_NAME),
            service_name: resource.text("service.name"),
            service_version: service_version(resource).unwrap_or(""),
            language: resource.text("telemetry.sdk.language"),
            origin: origin(resource),
            aws: AwsResource::new(resource, log_groups),
        }
    }
}

impl<'t> ResourceFacts<'t> {
    /// Those that a segment writes, and how many it leaves out.
    fn attributes(&self) -> (&[ResourceAttribute<'t>], u64) {
        let (attributes, left_out) = self
            .attributes
            .get_or_init(|| ResourceAttribute::all(self.resource.entries()));
        (attributes, *left_out + self.not_looked_at)
    }
}

/// What all documents are made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'t> {
    /// Of the span's resource.
    pub(crate) facts: &'t ResourceFacts<'t>,
    /// Of the configuration.
    pub(crate) indexed: &'t Indexed,
}

/// A document before it is written. Its parts can still be made smaller.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    pub(crate) id: SpanId,
    pub(crate) trace_id: TraceId,
    parent_id: Option<SpanId>,
    naming: Naming<'t>,
    pub(crate) is_subsegment: bool,
    pub(crate) start_nanos: u64,
    /// None while the span is in progress.
    end_nanos: Option<u64>,
    flags: Flags,
    service_version: &'t str,
    origin: Option<&'static str>,
    pub(crate) user: &'t str,
    pub(crate) links: Links<'t>,
    pub(crate) http: Option<Http<'t>>,
    pub(crate) cause: Option<Cause<'t>>,
    pub(crate) aws: Option<Aws<'t>>,
    pub(crate) sql: Option<Sql<'t>>,
    pub(crate) annotations: Annotations<'t>,
    pub(crate) metadata: Metadata<'t>,
    /// Attributes that should have been indexed and are not, or not whole.
    pub(crate) spilled: u64,
    /// Links that are not in the document.
    pub(crate) links_dropped: u64,
    /// Events that are not in the document.
    pub(crate) events_dropped: u64,
    /// Attributes of the resource that are not in the document.
    pub(crate) resource_attributes_dropped: u64,
}

/// Which document of a span is made.
#[derive(Debug, Clone, Copy)]
struct Role {
    id: SpanId,
    parent_id: Option<SpanId>,
    /// It stands for the service in the map: named after it, with the resource's attributes.
    is_segment: bool,
    /// Attributes that are not of this document.
    hidden: &'static [&'static str],
}

impl<'t> Document<'t> {
    /// The segment of a local root.
    pub(crate) fn segment(
        context: Context<'t>,
        span: &'t Span<'t>,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Self {
        let role = Role {
            id: span.span_id,
            parent_id: parent(span),
            is_segment: true,
            hidden: &[],
        };
        Self::make(context, span, role, random_id)
    }

    /// The subsegment of any other span.
    pub(crate) fn subsegment(
        context: Context<'t>,
        span: &'t Span<'t>,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Self {
        let role = Role {
            id: span.span_id,
            parent_id: parent(span),
            is_segment: false,
            hidden: &[],
        };
        Self::make(context, span, role, random_id)
    }

    /// The segment of a local root that is a call: the service that makes it.
    pub(crate) fn service(
        context: Context<'t>,
        span: &'t Span<'t>,
        id: SpanId,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Self {
        let role = Role {
            id,
            parent_id: parent(span),
            is_segment: true,
            hidden: &OF_THE_CALL,
        };
        let mut document = Self::make(context, span, role, random_id);
        // What is about the call stands there, and is counted there.
        document.http = None;
        document.sql = None;
        document.events_dropped = 0;
        if let Some(aws) = &mut document.aws {
            aws.drop_call();
        }
        document.metadata.keep_resource();
        document
    }

    /// The call below [`Document::service`], whose id is `service`.
    pub(crate) fn call(
        context: Context<'t>,
        span: &'t Span<'t>,
        service: SpanId,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Self {
        let role = Role {
            id: span.span_id,
            parent_id: Some(service),
            is_segment: false,
            hidden: &[],
        };
        let mut document = Self::make(context, span, role, random_id);
        document.naming.namespace.get_or_insert(Namespace::Remote);
        // Links are of segments (X-Ray Developer Guide, "Linking traces").
        document.links = Links::default();
        document.links_dropped = 0;
        let attributes = Attributes::new(&span.attributes, &[]);
        if let Some(name) = clean(remote_service(&attributes).into()) {
            document.naming.name = name;
        }
        document
    }

    fn make(
        context: Context<'t>,
        span: &'t Span<'t>,
        role: Role,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Self {
        let facts = context.facts;
        let mut attributes = Attributes::new(&span.attributes, role.hidden);
        let in_progress = take_in_progress(&mut attributes);
        let naming = if role.is_segment {
            Naming::of_service(span, &attributes, facts.service_name)
        } else {
            Naming::new(span, &attributes)
        };
        let flags = Flags::new(span, &attributes);
        // Each of these may write attributes, and the last one stores what is left.
        let http = Http::new(span, &mut attributes);
        let cause = Cause::new(span, facts.language, &mut attributes, random_id);
        let aws = facts.aws.as_ref().map(|aws| Aws::new(aws, &mut attributes));
        let sql = Sql::new(&span.name, &mut attributes);
        let (resource, resource_attributes_dropped) = if role.is_segment {
            facts.attributes()
        } else {
            (&[][..], 0)
        };
        let input = Input {
            attributes: &mut attributes,
            cluster_name: facts.cluster_name,
            resource,
            // With `sql` the name stands there.
            span_name: if sql.is_none() && naming.name != span.name {
                &span.name
            } else {
                ""
            },
            events: &span.events,
        };
        let stored = store(input, context.indexed);
        let (links, links_dropped) = Links::new(&span.links);
        Self {
            id: role.id,
            trace_id: span.trace_id,
            parent_id: role.parent_id,
            naming,
            is_subsegment: !role.is_segment,
            start_nanos: span.start_time_unix_nano,
            // A span that never ended has 0 here: no time at all is nearer to the truth than fifty years backwards.
            end_nanos: (!in_progress).then(|| span.end_time_unix_nano.max(span.start_time_unix_nano)),
            flags,
            service_version: facts.service_version,
            origin: facts.origin,
            user: stored.user,
            links,
            http,
            cause,
            aws,
            sql,
            annotations: stored.annotations,
            metadata: stored.metadata,
            spilled: stored.spilled,
            links_dropped,
            events_dropped: stored.events_dropped,
            resource_attributes_dropped,
        }
    }

    /// Leaves what X-Ray needs and what places the span in its trace.
    pub(crate) fn keep_essentials(&mut self) -> bool {
        self.service_version = "";
        self.user = "";
        self.links = Links::default();
        self.http = None;
        self.cause = None;
        self.aws = None;
        self.sql = None;
        self.metadata = Metadata::empty();
        true
    }

    /// Writes the document.
    pub(crate) fn write(&self, json: &mut Json) {
        json.object(|json| {
            self.write_head(json);
            self.write_facets(json);
            if let Some(namespace) = self.naming.namespace {
                json.key("namespace").text(namespace.as_str());
            }
            if let Some(parent) = self.parent_id {
                json.key("parent_id").hex(&parent.0);
            }
            if self.is_subsegment {
                json.key("type").text("subsegment");
            }
            if let Some(sql) = &self.sql {
                sql.write(json.key("sql"));
            }
        });
    }

    fn write_head(&self, json: &mut Json) {
        json.key("name").text(&self.naming.name);
        json.key("id").hex(&self.id.0);
        json.key("start_time").seconds(self.start_nanos);
        if !self.service_version.is_empty() {
            json.key("service")
                .object(|json| json.text_member("version", self.service_version));
        }
        json.text_member("origin", self.origin.unwrap_or(""));
        json.text_member("user", self.user);
        if !self.links.is_empty() {
            self.links.write(json.key("links"));
        }
        json.key("trace_id").trace_id(&self.trace_id.0);
        match self.end_nanos {
            Some(nanos) => json.key("end_time").seconds(nanos),
            None => json.key("in_progress").bool(true),
        }
    }

    fn write_facets(&self, json: &mut Json) {
        if let Some(http) = &self.http {
            http.write(json.key("http"));
        }
        json.key("fault").bool(self.flags.fault);
        json.key("error").bool(self.flags.error);
        json.key("throttle").bool(self.flags.throttle);
        if let Some(cause) = &self.cause {
            cause.write(json.key("cause"));
        }
        if let Some(aws) = &self.aws {
            aws.write(json.key("aws"));
        }
        if !self.annotations.is_empty() {
            self.annotations.write(json.key("annotations"));
        }
        if !self.metadata.is_empty() {
            self.metadata.write(json.key("metadata"));
        }
    }
}

/// Only a truth value is the agent's mark; anything else is an attribute like others.
fn take_in_progress(attributes: &mut Attributes<'_>) -> bool {
    let Some(found) = attributes.find(IN_PROGRESS) else {
        return false;
    };
    match found.value {
        AnyValue::Bool(value) => {
            attributes.hide(found.index);
            *value
        }
        AnyValue::Empty
        | AnyValue::String(_)
        | AnyValue::Int(_)
        | AnyValue::Double(_)
        | AnyValue::Array(_)
        | AnyValue::Map(_)
        | AnyValue::Bytes(_) => false,
    }
}
