//! `aws` and `origin`.

use serde_json::{Map, Value, json};
use tracepipe_otlp::view::AnyValue;

use super::input::{Attributes, Remaining, text};
use super::{or_null, put_text};

/// By the resource alone; empty for none.
pub(super) fn origin(resource: &Attributes<'_>) -> &'static str {
    if resource.get("cloud.provider").is_some_and(|it| text(it) != "aws") {
        return "";
    }
    match resource.text("cloud.platform") {
        "aws_app_runner" => "AWS::AppRunner::Service",
        "aws_eks" => "AWS::EKS::Container",
        "aws_elastic_beanstalk" => "AWS::ElasticBeanstalk::Environment",
        "aws_ec2" => "AWS::EC2::Instance",
        "aws_ecs" => match resource.text("aws.ecs.launchtype") {
            "ec2" => "AWS::ECS::EC2",
            "fargate" => "AWS::ECS::Fargate",
            _ => "AWS::ECS::Container",
        },
        _ => "",
    }
}

/// What the resource says: of two attributes with the same name, the last.
#[derive(Debug)]
struct Facts<'a> {
    texts: Remaining<'a>,
    container: &'a str,
    auto: &'a str,
}

impl<'a> Facts<'a> {
    fn new(resource: &Attributes<'a>) -> Self {
        let mut facts = Self {
            texts: resource.iter().collect(),
            container: "",
            auto: "",
        };
        for (key, value) in resource.iter() {
            match key {
                "container.name" if facts.container.is_empty() => facts.container = text(value),
                "telemetry.auto.version" | "telemetry.distro.version" => facts.auto = text(value),
                _ => {}
            }
        }
        facts
    }

    fn text(&self, name: &str) -> &'a str {
        self.texts.get(name).map_or("", |value| text(value))
    }
}

/// What the span says of the call.
#[derive(Debug, Default)]
struct Call<'a> {
    account: &'a str,
    operation: &'a str,
    region: &'a str,
    request_id: &'a str,
    queue_url: &'a str,
    table: &'a str,
    tables: Vec<&'a str>,
}

impl<'a> Call<'a> {
    fn take(account: &'a str, remaining: &mut Remaining<'a>) -> Self {
        let mut take = |names: &[&str]| {
            let found: Vec<_> = names.iter().filter_map(|name| remaining.remove(*name)).collect();
            found.first().copied()
        };
        let account = match take(&["aws.account_id"]) {
            None | Some(AnyValue::Empty) => account,
            Some(value) => text(value),
        };
        let operation = take(&["aws.operation", "rpc.method"]).map_or("", text);
        let region = take(&["aws.region"]).map_or("", text);
        let request_id = take(&["aws.request_id", "aws.requestId"]).map_or("", text);
        let queue_url = take(&["aws.queue_url", "aws.queue.url"]).map_or("", text);
        let table = take(&["aws.table_name", "aws.table.name"]).map_or("", text);
        let mut call = Self {
            account,
            operation,
            region,
            request_id,
            queue_url,
            table,
            tables: Vec::new(),
        };
        if let Some(url) = remaining.get("messaging.url") {
            call.queue_url = text(url);
        }
        match remaining.get("aws.dynamodb.table_names") {
            Some(AnyValue::Array(names)) => match names.as_slice() {
                [] => {}
                [name] => call.table = text(name),
                names => {
                    call.table = "";
                    call.tables = names.iter().map(text).collect();
                }
            },
            Some(AnyValue::String(name)) => call.table = name,
            _ => {}
        }
        call
    }
}

/// Nothing when the cloud is another's; the span's attributes are taken all the same.
pub(super) fn aws<'a>(
    resource: &Attributes<'a>,
    remaining: &mut Remaining<'a>,
    log_groups: &[String],
) -> Option<Value> {
    let facts = Facts::new(resource);
    let call = Call::take(facts.text("cloud.account.id"), remaining);
    if !matches!(facts.text("cloud.provider"), "" | "aws") {
        return None;
    }
    let mut aws = platform(&facts);
    let logs = logs(&facts, log_groups);
    if !logs.is_empty() {
        aws.insert("cloudwatch_logs".into(), logs.into());
    }
    aws.insert("xray".into(), sdk(&facts));
    put_text(&mut aws, "account_id", call.account);
    put_text(&mut aws, "operation", call.operation);
    put_text(&mut aws, "region", call.region);
    put_text(&mut aws, "request_id", call.request_id);
    put_text(&mut aws, "queue_url", call.queue_url);
    put_text(&mut aws, "table_name", call.table);
    if !call.tables.is_empty() {
        aws.insert("table_names".into(), call.tables.into());
    }
    Some(aws.into())
}

fn platform(facts: &Facts<'_>) -> Map<String, Value> {
    let mut aws = Map::new();
    let platform = facts.text("cloud.platform");
    let zone = facts.text("cloud.availability_zone");
    let host = facts.text("host.id");
    if platform == "aws_ec2" || !host.is_empty() {
        let ec2 = json!({
            "instance_id": or_null(host),
            "availability_zone": or_null(zone),
            "instance_size": or_null(facts.text("host.type")),
            "ami_id": or_null(facts.text("host.image.id")),
        });
        aws.insert("ec2".into(), ec2);
    }
    if platform == "aws_ecs" {
        let mut ecs = Map::new();
        put_text(&mut ecs, "container", facts.container);
        put_text(&mut ecs, "container_id", facts.text("container.id"));
        put_text(&mut ecs, "task_arn", facts.text("aws.ecs.task.arn"));
        put_text(&mut ecs, "task_family", facts.text("aws.ecs.task.family"));
        put_text(&mut ecs, "cluster_arn", facts.text("aws.ecs.cluster.arn"));
        put_text(&mut ecs, "container_arn", facts.text("aws.ecs.container.arn"));
        put_text(&mut ecs, "availability_zone", zone);
        put_text(&mut ecs, "launch_type", facts.text("aws.ecs.launchtype"));
        aws.insert("ecs".into(), ecs.into());
    }
    let deployment = facts.text("service.instance.id");
    if platform == "aws_elastic_beanstalk" && !deployment.is_empty() {
        let beanstalk = json!({
            "environment_name": or_null(facts.text("service.namespace")),
            "version_label": or_null(facts.text("service.version")),
            "deployment_id": deployment.parse::<i64>().unwrap_or(0),
        });
        aws.insert("elastic_beanstalk".into(), beanstalk);
    }
    let cluster = facts.text("k8s.cluster.name");
    if platform == "aws_eks" || !cluster.is_empty() {
        let eks = json!({
            "cluster_name": or_null(cluster),
            "pod": or_null(facts.text("k8s.pod.name")),
            "container_id": or_null(facts.text("container.id")),
        });
        aws.insert("eks".into(), eks);
    }
    aws
}

fn sdk(facts: &Facts<'_>) -> Value {
    let mut xray = Map::new();
    let name = facts.text("telemetry.sdk.name");
    let language = facts.text("telemetry.sdk.language");
    let is_named = !name.is_empty() && !language.is_empty();
    let sdk = if is_named {
        format!("{name} for {language}")
    } else {
        name.to_owned()
    };
    put_text(&mut xray, "sdk", &sdk);
    put_text(&mut xray, "sdk_version", facts.text("telemetry.sdk.version"));
    xray.insert("auto_instrumentation".into(), (!facts.auto.is_empty()).into());
    xray.into()
}

/// By ARN, by name, by configuration: the first that gives any.
fn logs(facts: &Facts<'_>, configured: &[String]) -> Vec<Value> {
    let of = |name: &str| -> Vec<&str> {
        match facts.texts.get(name) {
            Some(AnyValue::String(text)) => text.split('&').filter(|it| !it.is_empty()).collect(),
            Some(AnyValue::Array(items)) => items.iter().map(text).collect(),
            _ => Vec::new(),
        }
    };
    let arns = of("aws.log.group.arns");
    if !arns.is_empty() {
        let logs = arns.into_iter().map(|arn| {
            let mut log = Map::new();
            log.insert("log_group".into(), or_null(arn.split(':').nth(6).unwrap_or(arn)));
            put_text(&mut log, "arn", arn);
            log.into()
        });
        return logs.collect();
    }
    let mut names = of("aws.log.group.names");
    if names.is_empty() {
        names = configured.iter().map(String::as_str).collect();
    }
    names
        .into_iter()
        .map(|name| json!({ "log_group": or_null(name) }))
        .collect()
}
