//! `aws` and `service`: where the service runs, and which AWS resource a call is about.

use std::borrow::Cow;

use crate::attributes::{Attributes, List, items, text};
use crate::json::Json;

/// What the resource says, made once for all of its spans.
#[derive(Debug)]
pub(crate) struct AwsResource<'t> {
    account_id: &'t str,
    blocks: Vec<Block<'t>>,
    beanstalk: Option<Beanstalk<'t>>,
    log_groups: Vec<LogGroup<'t>>,
    sdk: Cow<'t, str>,
    sdk_version: &'t str,
    auto_instrumentation: bool,
}

/// A block that has texts only, under its name in the document.
#[derive(Debug)]
struct Block<'t> {
    name: &'static str,
    members: Vec<(&'static str, &'t str)>,
}

#[derive(Debug)]
struct Beanstalk<'t> {
    environment_name: &'t str,
    version_label: &'t str,
    deployment_id: i64,
}

/// A log group of CloudWatch.
#[derive(Debug)]
struct LogGroup<'t> {
    name: &'t str,
    arn: &'t str,
}

impl<'t> AwsResource<'t> {
    /// None for another cloud; a resource that names no cloud may well be in AWS. `configured` are the log groups
    /// of a resource that names none.
    pub(crate) fn new(resource: List<'t>, configured: &'t [String]) -> Option<Self> {
        let of = |key| resource.text(key);
        if !matches!(of("cloud.provider"), "" | "aws") {
            return None;
        }
        let (name, language) = (of("telemetry.sdk.name"), of("telemetry.sdk.language"));
        let has_both = !name.is_empty() && !language.is_empty();
        Some(Self {
            account_id: of("cloud.account.id"),
            blocks: blocks(resource),
            beanstalk: Beanstalk::new(resource),
            log_groups: log_groups(resource, configured),
            sdk: if has_both {
                Cow::Owned(format!("{name} for {language}"))
            } else {
                Cow::Borrowed(name)
            },
            sdk_version: of("telemetry.sdk.version"),
            auto_instrumentation: !of("telemetry.auto.version").is_empty()
                || !of("telemetry.distro.version").is_empty(),
        })
    }
}

/// The `aws` block of one document.
#[derive(Debug)]
pub(crate) struct Aws<'t> {
    resource: &'t AwsResource<'t>,
    account_id: &'t str,
    operation: &'t str,
    region: &'t str,
    request_id: &'t str,
    queue_url: &'t str,
    table_name: &'t str,
    table_names: Vec<&'t str>,
}

impl<'t> Aws<'t> {
    /// Takes what the span says of a call.
    pub(crate) fn new(resource: &'t AwsResource<'t>, attributes: &mut Attributes<'t>) -> Self {
        let own_account = attributes.write_text(&["aws.account_id"]);
        let mut aws = Self {
            resource,
            account_id: if own_account.is_empty() {
                resource.account_id
            } else {
                own_account
            },
            operation: attributes.write_text(&["aws.operation", "rpc.method"]),
            region: attributes.write_text(&["aws.region"]),
            request_id: attributes.write_text(&["aws.request_id", "aws.requestId"]),
            queue_url: "",
            table_name: "",
            table_names: Vec::new(),
        };
        // The names of the semantic conventions win over the older ones, and stay as metadata, as upstream.
        aws.queue_url = match attributes.text("messaging.url") {
            "" => attributes.write_text(&["aws.queue_url", "aws.queue.url"]),
            url => url,
        };
        aws.take_tables(attributes);
        aws
    }

    /// Takes away what is about a call: the rest is about the service that makes it.
    pub(crate) fn drop_call(&mut self) {
        self.account_id = "";
        self.operation = "";
        self.region = "";
        self.request_id = "";
        self.queue_url = "";
        self.table_name = "";
        self.table_names.clear();
    }

    /// Writes the value of `aws`.
    pub(crate) fn write(&self, json: &mut Json) {
        json.object(|json| {
            json.text_member("account_id", self.account_id);
            self.resource.write_members(json);
            json.text_member("operation", self.operation);
            json.text_member("region", self.region);
            json.text_member("request_id", self.request_id);
            json.text_member("queue_url", self.queue_url);
            json.text_member("table_name", self.table_name);
            if !self.table_names.is_empty() {
                json.key("table_names")
                    .array(|json| self.table_names.iter().for_each(|name| json.text(name)));
            }
        });
    }

    fn take_tables(&mut self, attributes: &mut Attributes<'t>) {
        if let Some(found) = attributes.find("aws.dynamodb.table_names") {
            let mut names: Vec<_> = match items(found.value) {
                Some(names) => names.iter().map(text).filter(|name| !name.is_empty()).collect(),
                None => vec![text(found.value)],
            };
            match names.len() {
                0 => {}
                1 => self.table_name = names.remove(0),
                _ => self.table_names = names,
            }
        }
        if self.table_name.is_empty() && self.table_names.is_empty() {
            self.table_name = attributes.write_text(&["aws.table_name", "aws.table.name"]);
        }
    }
}

impl AwsResource<'_> {
    fn write_members(&self, json: &mut Json) {
        for block in &self.blocks {
            json.key(block.name).object(|json| {
                block
                    .members
                    .iter()
                    .for_each(|(key, value)| json.text_member(key, value));
            });
        }
        if let Some(beanstalk) = &self.beanstalk {
            json.key("elastic_beanstalk").object(|json| {
                json.text_member("environment_name", beanstalk.environment_name);
                json.text_member("version_label", beanstalk.version_label);
                json.key("deployment_id").int(beanstalk.deployment_id);
            });
        }
        if !self.log_groups.is_empty() {
            json.key("cloudwatch_logs").array(|json| {
                self.log_groups.iter().for_each(|group| group.write(json));
            });
        }
        json.key("xray").object(|json| {
            json.text_member("sdk", &self.sdk);
            json.text_member("sdk_version", self.sdk_version);
            json.key("auto_instrumentation").bool(self.auto_instrumentation);
        });
    }
}

impl<'t> Beanstalk<'t> {
    fn new(resource: List<'t>) -> Option<Self> {
        let of = |key| resource.text(key);
        let deployment = of("service.instance.id");
        let is_beanstalk = of("cloud.platform") == "aws_elastic_beanstalk" && !deployment.is_empty();
        is_beanstalk.then(|| Self {
            environment_name: of("service.namespace"),
            version_label: of("service.version"),
            deployment_id: deployment.parse().unwrap_or(0),
        })
    }
}

/// `ec2`, `ecs` and `eks`, without those of which nothing is known.
fn blocks<'t>(resource: List<'t>) -> Vec<Block<'t>> {
    let of = |key| resource.text(key);
    let zone = of("cloud.availability_zone");
    let mut blocks = Vec::new();
    let mut push = |name, members: &[(&'static str, &'t str)]| {
        if members.iter().any(|(_, value)| !value.is_empty()) {
            blocks.push(Block {
                name,
                members: members.to_vec(),
            });
        }
    };
    if of("cloud.platform") == "aws_ec2" || !of("host.id").is_empty() {
        let machine = [("instance_id", of("host.id")), ("availability_zone", zone)];
        let kind = [
            ("instance_size", of("host.type")),
            ("ami_id", of("host.image.id")),
        ];
        push("ec2", &[machine, kind].concat());
    }
    if of("cloud.platform") == "aws_ecs" {
        push(
            "ecs",
            &[
                ("container", of("container.name")),
                ("container_id", of("container.id")),
                ("task_arn", of("aws.ecs.task.arn")),
                ("task_family", of("aws.ecs.task.family")),
                ("cluster_arn", of("aws.ecs.cluster.arn")),
                ("container_arn", of("aws.ecs.container.arn")),
                ("availability_zone", zone),
                ("launch_type", of("aws.ecs.launchtype")),
            ],
        );
    }
    if of("cloud.platform") == "aws_eks" || !of("k8s.cluster.name").is_empty() {
        let cluster = of("k8s.cluster.name");
        let members = [
            ("cluster_name", cluster),
            ("pod", of("k8s.pod.name")),
            ("container_id", of("container.id")),
        ];
        push("eks", &members);
    }
    blocks
}

/// The first of these that names any: ARNs, names, the configuration.
fn log_groups<'t>(resource: List<'t>, configured: &'t [String]) -> Vec<LogGroup<'t>> {
    let arns = names(resource, "aws.log.group.arns");
    if !arns.is_empty() {
        return arns
            .into_iter()
            .map(|arn| LogGroup {
                name: arn.split(':').nth(6).unwrap_or(arn),
                arn,
            })
            .collect();
    }
    let named = names(resource, "aws.log.group.names");
    let names = if named.is_empty() {
        configured.iter().map(String::as_str).collect()
    } else {
        named
    };
    names.into_iter().map(|name| LogGroup { name, arn: "" }).collect()
}

/// The items of an array, or the parts of a text between `&`.
fn names<'t>(resource: List<'t>, key: &str) -> Vec<&'t str> {
    let Some(value) = resource.get(key) else {
        return Vec::new();
    };
    let names: Vec<_> = match items(value) {
        Some(names) => names.iter().map(text).collect(),
        None => text(value).split('&').collect(),
    };
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

impl LogGroup<'_> {
    fn write(&self, json: &mut Json) {
        json.object(|json| {
            json.text_member("log_group", self.name);
            json.text_member("arn", self.arn);
        });
    }
}

/// `service.version`: the version, or the image's tag.
pub(crate) fn service_version<'t>(resource: List<'t>) -> Option<&'t str> {
    let tag = || {
        resource
            .get("container.image.tags")
            .and_then(items)
            .and_then(|tags| tags.first())
    };
    let version = resource.get("service.version");
    version
        .or_else(tag)
        .or_else(|| resource.get("container.image.tag"))
        .map(text)
}
