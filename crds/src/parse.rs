//! Reads YAML as an API server would take it, and says everything that it would say, with the line.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use crate::schema::{self, Problem, complete, join, similar};
use crate::{TracingPipeline, generate, rules};

pub(crate) mod lines;

use lines::Lines;

const API_VERSION: &str = "tracepipe.dev/v1alpha1";
const KIND: &str = "TracingPipeline";

/// What a text holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed {
    /// The TracingPipelines in order, with defaults, as an API server would store them.
    pub pipelines: Vec<TracingPipeline>,
    /// Documents of other kinds, which were not looked at, for example `apps/v1 Deployment web`.
    pub skipped: Vec<String>,
}

/// Why a document is no TracingPipeline that an API server would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Which of the text's documents, from 1; empty documents are not counted.
    pub document: usize,
    /// The line of the text, from 1, where the field stands, or the nearest that is written.
    pub line: Option<usize>,
    /// Where, for example `spec.sampling.policies[1]`; empty for the document as a whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ParseError {
    /// `line 12: spec.region: unknown field`, so that a file's name can stand in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: ")?,
            None => write!(f, "document {}: ", self.document)?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

/// Reads one YAML document or many, and lists as `kubectl get -o yaml` prints them. A field that nobody knows, a value
/// of a wrong type or out of bounds and a broken rule ([`rules::violations`]) are errors, as they are for
/// `kubectl apply`; `status` is not looked at, because an API server takes it from the operator alone.
///
/// # Errors
/// Everything that is wrong in any document, in the order of the text.
pub fn parse(yaml: &str) -> Result<Parsed, Vec<ParseError>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|error| vec![broken(&error)])?;
    let lines = Lines::of_documents(yaml);
    let mut reader = Reader {
        schema: generate::schema(None),
        parsed: Parsed::default(),
        errors: Vec::new(),
    };
    let documents = documents.into_iter().filter(|document| !document.is_null());
    for (index, document) in documents.enumerate() {
        let lines = lines.get(index);
        let known = reader.errors.len();
        reader.document(document, "");
        let errors = reader.errors.get_mut(known..).unwrap_or_default();
        for error in errors.iter_mut() {
            error.document = index + 1;
            error.line = lines.and_then(|lines| lines.nearest(&error.path));
        }
        errors.sort_by_key(|error| error.line);
    }
    if reader.errors.is_empty() {
        Ok(reader.parsed)
    } else {
        Err(reader.errors)
    }
}

/// A text that is no YAML. Its line is told apart from the message.
fn broken(error: &serde_saphyr::Error) -> ParseError {
    let location = error.location();
    let message = error.without_snippet().to_string();
    let suffix = location
        .map(|at| format!(" at line {}, column {}", at.line(), at.column()))
        .unwrap_or_default();
    ParseError {
        document: 1,
        line: location.and_then(|at| at.line().try_into().ok()),
        path: String::new(),
        message: message.strip_suffix(&suffix).unwrap_or(&message).to_owned(),
    }
}

struct Reader {
    schema: Value,
    parsed: Parsed,
    errors: Vec<ParseError>,
}

impl Reader {
    fn wrong(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(ParseError {
            document: 0,
            line: None,
            path: path.into(),
            message: message.into(),
        });
    }

    /// A document, or at `path` an item of a list.
    fn document(&mut self, document: Value, path: &str) {
        let Value::Object(members) = document else {
            self.wrong(path, "no Kubernetes resource: it has no apiVersion and no kind");
            return;
        };
        let word = |name: &str| {
            members
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (version, kind) = (word("apiVersion"), word("kind"));
        match (version.as_str(), kind.as_str()) {
            ("", _) => self.wrong(join(path, "apiVersion"), "is required"),
            (_, "") => self.wrong(join(path, "kind"), "is required"),
            (API_VERSION, KIND) => self.pipeline(members, path),
            ("v1", "List") | (API_VERSION, "TracingPipelineList") => self.list(members, path),
            (_, KIND) => self.wrong(
                join(path, "apiVersion"),
                format!("must be {API_VERSION}, not {version}"),
            ),
            (API_VERSION, _) => self.wrong(join(path, "kind"), format!("must be {KIND}, not {kind}")),
            _ => {
                let name = members.get("metadata").and_then(|metadata| metadata.get("name"));
                let name = name.and_then(Value::as_str).unwrap_or_default();
                self.parsed
                    .skipped
                    .push(format!("{version} {kind} {name}").trim_end().to_owned());
            }
        }
    }

    fn list(&mut self, mut members: Map<String, Value>, path: &str) {
        let path = join(path, "items");
        match members.remove("items") {
            Some(Value::Array(items)) => {
                for (index, item) in items.into_iter().enumerate() {
                    self.document(item, &format!("{path}[{index}]"));
                }
            }
            Some(Value::Null) | None => {}
            Some(_) => self.wrong(path, "must be a list"),
        }
    }

    fn pipeline(&mut self, mut members: Map<String, Value>, path: &str) {
        members.remove("status");
        let known = self.errors.len();
        let metadata = members.remove("metadata").unwrap_or_default();
        self.metadata(&metadata, &join(path, "metadata"));
        let mut value = Value::Object(members);
        complete(&mut value, &self.schema);
        let mut problems = Vec::new();
        schema::check(&value, &self.schema, path, &mut problems);
        for Problem { path, mut message } in problems {
            if message == schema::UNKNOWN {
                let name = path.rsplit('.').next().unwrap_or_default();
                if let [place] = schema::places(&self.schema, name).as_slice() {
                    message = format!("{message}; did you mean {place}?");
                }
            }
            self.wrong(path, message);
        }
        value["metadata"] = metadata;
        // What serde refuses has been said above, in better words.
        match serde_json::from_value::<TracingPipeline>(value) {
            Ok(pipeline) => {
                for violation in rules::violations(&pipeline) {
                    let path = join(path, &violation.path);
                    if self.errors.iter().skip(known).all(|error| error.path != path) {
                        self.wrong(path, violation.message);
                    }
                }
                self.parsed.pipelines.push(pipeline);
            }
            Err(error) if self.errors.len() == known => self.wrong(path, error.to_string()),
            Err(_) => {}
        }
    }

    fn metadata(&mut self, written: &Value, path: &str) {
        let name = written.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            self.wrong(join(path, "name"), "is required");
        }
        if written.is_null() {
            return;
        }
        match serde_json::from_value::<ObjectMeta>(written.clone()) {
            Ok(_) => {
                let members = written.as_object().into_iter().flat_map(Map::keys);
                for member in members.filter(|member| !METADATA.contains(&member.as_str())) {
                    let message = match similar(member, METADATA.iter().copied()) {
                        Some(meant) => format!("unknown field; did you mean {meant}?"),
                        None => schema::UNKNOWN.to_owned(),
                    };
                    self.wrong(join(path, member), message);
                }
            }
            Err(error) => self.wrong(path, error.to_string()),
        }
    }
}

/// The members of `metadata`:
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>
const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
