//! What was written: the file as typed values, each with its place. [`Config::resolve`] turns it into
//! [`crate::Settings`].
//!
//! The operator builds the same values in a program ([`set`] and its neighbours make that short), resolves them with
//! the same code and writes them with [`Config::to_yaml`]. A value that was not written is None; no default stands
//! here.

mod build;
mod exporters;
mod metrics;
mod processors;
mod receivers;
mod sampling;
mod service;
mod sigv4;
mod translation;

pub use build::{set, set_list};
pub(crate) use exporters::is_header_name;
pub use exporters::{
    AwsXrayConfig, ClientTlsConfig, DebugConfig, ExporterConfig, LogLevelWord, OtlpExporterConfig,
    QueueConfig, RetryConfig, XrayTelemetryConfig,
};
pub use metrics::{HttpClientConfig, PrometheusExporterConfig, RemoteWriteConfig, RemoteWriteOwnConfig};
pub use processors::{
    BatchConfig, MemoryLimiterConfig, ProcessorConfig, ResourceActionConfig, ResourceConfig, ResourceVerb,
};
pub use receivers::{OtlpReceiverConfig, OtlpServerConfig, ReceiverConfig};
pub use sampling::{
    AndMemberConfig, CompositeConfig, CompositeMemberConfig, DecisionCacheConfig, NotConfig, Policies,
    PolicyConfig, PolicyKindConfig, RateAllocationConfig, SimplePolicyConfig, TailSamplingConfig,
};
pub use service::{
    ExtensionConfig, HealthCheckConfig, LogsConfig, MetricsConfig, MetricsLevel, PipelineConfig,
    PrometheusConfig, ServiceConfig, Signal, TelemetryConfig,
};
pub use sigv4::{AssumeRoleConfig, SigV4Config};
pub use translation::{LabelValue, ResourceLabelsConfig, TranslationConfig};

use std::fmt;

use crate::catalog::{self, Role};
use crate::decode::{Cursor, Fields};
use crate::error::{Diagnostics, Position};
use crate::tree::{self, Node};

/// A value and where it was written; None in a configuration that was built and not read.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Option<Position>,
}

impl<T> From<T> for Spanned<T> {
    fn from(value: T) -> Self {
        Self { value, at: None }
    }
}

/// A setting that may be left out.
pub type Field<T> = Option<Spanned<T>>;

/// `type` or `type/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ComponentId {
    /// The component's type, for example `otlp`.
    pub kind: String,
    /// What tells two components of one type apart.
    pub name: Option<String>,
}

impl ComponentId {
    /// Parses `type` or `type/name`.
    ///
    /// # Errors
    /// What is wrong with it, in words that fit behind a path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind.trim(), Some(name.trim())),
            None => (text.trim(), None),
        };
        if kind.is_empty() || name.is_some_and(str::is_empty) {
            return Err("write `type` or `type/name`, neither part empty".to_owned());
        }
        // 1024 as upstream (package `component`); it also keeps metric labels short.
        if text.len() > 1024 || text.chars().any(char::is_control) {
            return Err("a component's name has at most 1024 bytes and no control characters".to_owned());
        }
        Ok(Self {
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
        })
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        match &self.name {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

/// A component as the file defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct Component<T> {
    /// Its key in the file.
    pub id: Spanned<ComponentId>,
    /// What stands under the key.
    pub config: T,
}

/// A whole configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// `receivers`.
    pub receivers: Vec<Component<ReceiverConfig>>,
    /// `processors`.
    pub processors: Vec<Component<ProcessorConfig>>,
    /// `exporters`.
    pub exporters: Vec<Component<ExporterConfig>>,
    /// `extensions`.
    pub extensions: Vec<Component<ExtensionConfig>>,
    /// `service`.
    pub service: ServiceConfig,
    /// The names of the texts that positions refer to: the file's, then `--set KEY` of each override. Empty when
    /// the configuration was built.
    pub sources: Vec<String>,
}

impl Config {
    /// Decodes a tree. What is wrong is said in `diag` and left out.
    pub(crate) fn decode(root: &Node, sources: Vec<String>, diag: &mut Diagnostics) -> Self {
        let cursor = Cursor {
            node: root,
            path: String::new(),
        };
        let mut config = Self {
            sources,
            ..Self::default()
        };
        config.service.at = Some(root.at);
        if root.is_null() {
            diag.error(root.at, "", "the configuration is empty");
            return config;
        }
        let Some(mut fields) = Fields::new(&cursor, diag) else {
            return config;
        };
        config.receivers = components(&mut fields, Role::Receiver, diag, ReceiverConfig::decode);
        config.processors = components(&mut fields, Role::Processor, diag, ProcessorConfig::decode);
        config.exporters = components(&mut fields, Role::Exporter, diag, ExporterConfig::decode);
        config.extensions = components(&mut fields, Role::Extension, diag, ExtensionConfig::decode);
        let none = |_: &str, _: &Cursor<'_>, _: &mut Diagnostics| -> Option<()> { None };
        let _: Vec<Component<()>> = components(&mut fields, Role::Connector, diag, none);
        if let Some((at, cursor)) = fields.entry("service") {
            config.service = ServiceConfig::decode(&cursor, at, diag);
        }
        fields.finish(diag);
        config
    }
}

/// The components of one section.
fn components<T>(
    fields: &mut Fields<'_>,
    role: Role,
    diag: &mut Diagnostics,
    decode: impl Fn(&str, &Cursor<'_>, &mut Diagnostics) -> Option<T>,
) -> Vec<Component<T>> {
    let Some((_, cursor)) = fields.entry(role.section()) else {
        return Vec::new();
    };
    let Some(mut section) = Fields::new(&cursor, diag) else {
        return Vec::new();
    };
    let mut components: Vec<Component<T>> = Vec::new();
    for entry in section.rest() {
        let path = tree::join(&section.path, &entry.key);
        let id = match ComponentId::parse(&entry.key) {
            Ok(id) => id,
            Err(message) => {
                diag.error(entry.key_at, path, message);
                continue;
            }
        };
        if let Some(refusal) = role.refusal(&id.kind) {
            if let Some(meant) = catalog::closest(&id.kind, role.supported()) {
                diag.excuse(tree::join(&section.path, meant));
            }
            diag.error(entry.key_at, path, refusal);
            continue;
        }
        let cursor = Cursor {
            node: &entry.value,
            path: path.clone(),
        };
        if let Some(config) = decode(&id.kind, &cursor, diag) {
            let id = Spanned {
                value: id,
                at: Some(entry.key_at),
            };
            components.push(Component { id, config });
        }
    }
    components
}
