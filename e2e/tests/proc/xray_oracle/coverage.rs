//! That the generator reaches every rule: what of documents was seen at least once.

use std::collections::BTreeSet;

use serde_json::Value;
use tracepipe_otlp::view::SpanKind;

/// Members of documents (`[]` for those of a list), and values of members that are few.
const WANTED: [&str; 91] = [
    "annotations",
    "aws.account_id",
    "aws.cloudwatch_logs[].arn",
    "aws.cloudwatch_logs[].log_group",
    "aws.ec2.ami_id",
    "aws.ec2.availability_zone",
    "aws.ec2.instance_id",
    "aws.ec2.instance_size",
    "aws.ecs.availability_zone",
    "aws.ecs.cluster_arn",
    "aws.ecs.container",
    "aws.ecs.container_arn",
    "aws.ecs.container_id",
    "aws.ecs.launch_type",
    "aws.ecs.task_arn",
    "aws.ecs.task_family",
    "aws.eks.cluster_name",
    "aws.eks.container_id",
    "aws.eks.pod",
    "aws.elastic_beanstalk.deployment_id",
    "aws.elastic_beanstalk.environment_name",
    "aws.elastic_beanstalk.version_label",
    "aws.operation",
    "aws.queue_url",
    "aws.region",
    "aws.request_id",
    "aws.table_name",
    "aws.table_names[]",
    "aws.xray.auto_instrumentation",
    "aws.xray.sdk",
    "aws.xray.sdk_version",
    "cause.exceptions[].cause",
    "cause.exceptions[].message",
    "cause.exceptions[].remote",
    "cause.exceptions[].stack[].label",
    "cause.exceptions[].stack[].line",
    "cause.exceptions[].stack[].path",
    "cause.exceptions[].type",
    "end_time",
    "error",
    "fault",
    "http.request.client_ip",
    "http.request.method",
    "http.request.url",
    "http.request.user_agent",
    "http.request.x_forwarded_for",
    "http.response.content_length",
    "http.response.status",
    "id",
    "links[].attributes",
    "links[].id",
    "links[].trace_id",
    "metadata.",
    "metadata.default",
    "metadata.http",
    "metadata.null",
    "name",
    "namespace",
    "origin",
    "parent_id",
    "service.version",
    "sql.connection_string",
    "sql.database_type",
    "sql.sanitized_query",
    "sql.url",
    "sql.user",
    "start_time",
    "throttle",
    "trace_id",
    "type",
    "user",
    "namespace=aws",
    "namespace=remote",
    "origin=AWS::AppRunner::Service",
    "origin=AWS::EC2::Instance",
    "origin=AWS::ECS::Container",
    "origin=AWS::ECS::EC2",
    "origin=AWS::ECS::Fargate",
    "origin=AWS::EKS::Container",
    "origin=AWS::ElasticBeanstalk::Environment",
    "throttle=true",
    "error=true",
    "fault=true",
    "id=null",
    "name=null",
    "nothing",
    "two of Client",
    "two of Consumer",
    "two of Producer",
    "two of Unspecified",
    "no aws",
];

/// Maps whose members are the senders' own.
const OPEN: [&str; 3] = ["annotations", "links[].attributes", "metadata."];

#[derive(Debug, Default)]
pub(crate) struct Coverage(BTreeSet<String>);

impl Coverage {
    /// The documents of one span.
    pub(crate) fn look(&mut self, kind: SpanKind, documents: &[Value]) {
        match documents {
            [] => self.see("nothing".into()),
            [_] => {}
            _ => self.see(format!("two of {kind:?}")),
        }
        for document in documents {
            if document.get("aws").is_none() {
                self.see("no aws".into());
            }
            for name in ["namespace", "origin", "throttle", "error", "fault", "id", "name"] {
                match document.get(name) {
                    Some(Value::String(text)) if name != "id" && name != "name" => {
                        self.see(format!("{name}={text}"))
                    }
                    Some(Value::String(_)) | None => {}
                    Some(other) => self.see(format!("{name}={other}")),
                }
            }
            self.walk("", document);
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What should have been seen and was not.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        WANTED.into_iter().filter(|it| !self.0.contains(*it)).collect()
    }

    fn see(&mut self, what: String) {
        self.0.insert(what);
    }

    fn walk(&mut self, path: &str, value: &Value) {
        let is_open = OPEN.contains(&path) || (path.starts_with("metadata.") && !path.is_empty());
        match value {
            Value::Object(object) if !is_open => {
                for (key, value) in object {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    self.walk(&path, value);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.walk(&format!("{path}[]"), item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                self.see(path.to_owned());
            }
        }
    }
}
