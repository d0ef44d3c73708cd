//! YAML, `${env:NAME}`, `--set`, and what is accepted with a warning.

use super::{SMALLEST, load_text, load_with};
use crate::*;

fn xray(loaded: &Loaded) -> &AwsXraySettings {
    match &loaded.settings.exporters[0].kind {
        ExporterKind::AwsXray(settings) => settings,
        ExporterKind::Otlp(_) | ExporterKind::Debug(_) => panic!("not awsxray"),
    }
}

fn message(result: Result<Loaded, ConfigErrors>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn an_override_changes_one_setting() {
    let loaded = load_with(&["receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0"], &[]).unwrap();
    assert_eq!(
        loaded.settings.otlp.grpc.unwrap().endpoint,
        "127.0.0.1:0".parse().unwrap()
    );
}

#[test]
fn an_override_takes_the_separator_of_upstream() {
    let loaded = load_with(&["exporters::awsxray::region=eu-west-1"], &[]).unwrap();
    assert_eq!(xray(&loaded).region.as_deref(), Some("eu-west-1"));
}

#[test]
fn the_last_override_wins_and_a_list_is_replaced() {
    let overrides = [
        "exporters.awsxray.indexed_attributes=[a, b]",
        "exporters.awsxray={indexed_attributes: [c], region: eu-west-1}",
        "exporters.awsxray.region=us-west-2",
    ];
    let loaded = load_with(&overrides, &[]).unwrap();
    assert_eq!(xray(&loaded).indexed_attributes, ["c"]);
    assert_eq!(xray(&loaded).region.as_deref(), Some("us-west-2"));
}

#[test]
fn an_error_in_an_override_names_the_override() {
    let result = load_with(&["exporters.awsxray.num_workers=many"], &[]);
    assert_eq!(
        message(result),
        "--set exporters.awsxray.num_workers: exporters.awsxray.num_workers: a whole number is wanted, this is text"
    );
}

#[test]
fn an_override_that_cannot_be_read_is_refused_at_once() {
    for text in ["no value", "a..b=1", "=1", "a=[", "a={b: 1, b: 2}"] {
        assert!(Override::parse(text).is_err(), "{text}");
    }
    let into_a_list = load_with(&["service.pipelines.traces.exporters.0=debug"], &[]);
    assert!(message(into_a_list).contains("can only be replaced as a whole"));
}

#[test]
fn a_variable_keeps_its_type_and_its_text() {
    let env = [("N", "4"), ("ACCOUNT", "0123"), ("LIST", "[a, b]"), ("NAME", "x")];
    let overrides = [
        "exporters.awsxray.num_workers=${env:N}",
        "exporters.awsxray.region=${ACCOUNT}",
        "exporters.awsxray.indexed_attributes=${env:LIST}",
        "exporters.awsxray.aws_log_groups=['a-${env:NAME}-${N}', '${env:MISSING:-d}', '$${env:NAME}', '$$1']",
    ];
    let loaded = load_with(&overrides, &env).unwrap();
    assert_eq!(xray(&loaded).num_workers, 4);
    assert_eq!(xray(&loaded).region.as_deref(), Some("0123"));
    assert_eq!(xray(&loaded).indexed_attributes, ["a", "b"]);
    assert_eq!(xray(&loaded).aws_log_groups, ["a-x-4", "d", "${env:NAME}", "$1"]);
}

#[test]
fn a_variable_within_text_never_becomes_structure() {
    let overrides = ["exporters.awsxray.indexed_attributes=['a${env:EVIL}']"];
    let loaded = load_with(&overrides, &[("EVIL", "\n- b\n}: {x: y")]).unwrap();
    assert_eq!(xray(&loaded).indexed_attributes, ["a\n- b\n}: {x: y"]);
}

#[test]
fn a_variable_that_is_not_set_is_empty_and_warned_of() {
    let loaded = load_with(&["exporters.awsxray.region=${env:MISSING}"], &[]).unwrap();
    assert_eq!(xray(&loaded).region, None);
    let warning = loaded.warnings[0].to_string();
    assert!(
        warning.contains("exporters.awsxray.region: the environment variable MISSING is not set"),
        "{warning}"
    );
    let loaded = load_with(&["exporters.awsxray.region=${env:MISSING:-}"], &[]).unwrap();
    assert_eq!(xray(&loaded).region, None);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn variables_that_name_each_other_end_at_a_limit() {
    for value in ["${env:A}", "x${env:A}${env:A}", "['${env:A}', '${env:A}']"] {
        let result = load_with(&["exporters.awsxray.region=${env:A}"], &[("A", value)]);
        assert!(message(result).contains("expan"), "{value}");
    }
}

#[test]
fn secrets_stay_out_of_errors() {
    let secret = "s3cr3t";
    let otlp = |key: &str, value: &str| {
        let overrides = [
            "exporters.otlp.endpoint=b:1",
            &format!("exporters.otlp.{key}={value}"),
            "service.pipelines.traces.exporters=[otlp]",
        ];
        load_with(&overrides, &[("TOKEN", secret), ("LINES", "s3cr3t\n")])
    };
    let cases = [
        ("headers", "{Authorization:s3cr3t}"),
        ("headers", "Authorization:s3cr3t"),
        ("headers", "{a: [s3cr3t]}"),
        ("headers", "{a: \"s3cr3t\\n\"}"),
        ("headers", "{a: '${env:LINES}'}"),
        ("headers", "[{name: a, value:s3cr3t}]"),
        ("compression", "${env:TOKEN}"),
        ("timeout", "${env:TOKEN}"),
        ("endpoint", "${env:TOKEN}"),
    ];
    for (key, value) in cases {
        let message = message(otlp(key, value));
        assert!(!message.contains(secret), "{key} {value}: {message}");
    }
    let loaded = otlp("headers", "{Authorization: 'Bearer ${env:TOKEN}'}").unwrap();
    assert!(!format!("{loaded:?}").contains(secret));
    let ExporterKind::Otlp(settings) = &loaded.settings.exporters[0].kind else {
        panic!("not otlp")
    };
    assert_eq!(settings.headers[0].1.expose(), "Bearer s3cr3t");
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = SMALLEST.replace(
        "  awsxray:\n",
        "  awsxray: &base {region: us-east-1, num_workers: 3}\n  awsxray/two:\n    <<: *base\n    num_workers: 5\n",
    );
    let loaded = load_text(&text.replace("exporters: [awsxray]", "exporters: [awsxray/two]")).unwrap();
    assert_eq!(
        (xray(&loaded).region.as_deref(), xray(&loaded).num_workers),
        (Some("us-east-1"), 5)
    );
    assert_eq!(loaded.settings.exporters[0].id, "awsxray/two");
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            alias.trim_end_matches(", ")
        ));
    }
    assert!(message(load_text(&text)).contains("more than 20000 values"));
}

#[test]
fn depth_is_limited() {
    for text in [
        "[".repeat(100_000),
        "a: ".to_owned() + &"{a: ".repeat(1000),
        "- ".repeat(1000),
    ] {
        assert!(load_text(&text).is_err());
    }
    // Each level lies in the last one's anchor: deep without any deep text.
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..200 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(message(load_text(&text)).contains("nested deeper than 64"));
}

#[test]
fn without_a_limiter_a_limit_holds_all_the_same() {
    let loaded = load_text(SMALLEST).unwrap();
    assert_eq!(loaded.settings.memory_limiter.limit_bytes, 400 * MIB);
    assert_eq!(loaded.settings.tail_sampling, None);
    assert_eq!(loaded.settings.otlp.http, None);
    assert_eq!(
        loaded.settings.otlp.grpc.unwrap().endpoint,
        "127.0.0.1:4317".parse().unwrap()
    );
}

#[test]
fn batch_and_resource_may_change_places() {
    let overrides = [
        "processors.batch=",
        "processors.resource.attributes=[{key: a, value: 1, action: insert}, {key: b, action: delete}]",
        "service.pipelines.traces.processors=[resource, batch]",
    ];
    let loaded = load_with(&overrides, &[]).unwrap();
    assert!(loaded.settings.batch.is_some());
    let insert = ResourceOp::Insert(AttributeValue::Int(1));
    assert_eq!(
        loaded.settings.resource[0],
        ResourceAction {
            key: "a".to_owned(),
            op: insert
        }
    );
    assert_eq!(loaded.settings.resource[1].op, ResourceOp::Delete);
}

#[test]
fn what_has_no_effect_is_warned_of() {
    let overrides = [
        "exporters.awsxray.max_retries=5",
        "exporters.debug=",
        "extensions.health_check.endpoint=0.0.0.0:13133",
        "receivers.otlp.protocols.grpc.read_buffer_size=1024",
        "exporters.awsxray.no_verify_ssl=false",
        "exporters.awsxray.role_arn=''",
    ];
    let loaded = load_with(&overrides, &[]).unwrap();
    let warnings: Vec<&str> = loaded
        .warnings
        .iter()
        .map(|warning| warning.path.as_str())
        .collect();
    assert_eq!(
        warnings,
        [
            "exporters.awsxray.max_retries",
            "exporters.debug",
            "extensions.health_check",
            "receivers.otlp.protocols.grpc.read_buffer_size"
        ]
    );
    // Not started, so its address does not count.
    assert_eq!(
        loaded.settings.telemetry.health,
        "127.0.0.1:13133".parse().unwrap()
    );
}

#[test]
fn the_collectors_own_servers_can_be_moved() {
    let overrides = [
        "extensions.health_check.endpoint=0.0.0.0:1",
        "service.extensions=[health_check]",
        "service.telemetry.metrics.readers=[{pull: {exporter: {prometheus: {host: 0.0.0.0, port: 2}}}}]",
        "service.telemetry.logs={level: DEBUG, encoding: json}",
    ];
    let telemetry = load_with(&overrides, &[]).unwrap().settings.telemetry;
    assert_eq!(telemetry.health, "0.0.0.0:1".parse().unwrap());
    assert_eq!(telemetry.metrics, Some("0.0.0.0:2".parse().unwrap()));
    assert_eq!(
        telemetry.logs,
        LogSettings {
            level: LogLevel::Debug,
            encoding: LogEncoding::Json
        }
    );
    let off = load_with(&["service.telemetry.metrics.level=none"], &[]).unwrap();
    assert_eq!(off.settings.telemetry.metrics, None);
}

#[test]
fn an_otlp_endpoint_says_how_it_is_secured() {
    let tls = |endpoint: &str, insecure: &str| {
        let overrides = [
            &format!("exporters.otlp_grpc.endpoint={endpoint}"),
            &format!("exporters.otlp_grpc.tls.insecure={insecure}"),
            "service.pipelines.traces.exporters=[otlp_grpc]",
        ];
        let loaded = load_with(&overrides, &[]).unwrap();
        let ExporterKind::Otlp(settings) = &loaded.settings.exporters[0].kind else {
            panic!("not otlp")
        };
        (settings.authority.clone(), settings.tls.clone())
    };
    let secure = ClientTls::Secure { ca_file: None };
    assert_eq!(tls("b:1", ""), ("b:1".to_owned(), secure.clone()));
    assert_eq!(tls("b:1", "on"), ("b:1".to_owned(), ClientTls::Insecure));
    assert_eq!(tls("http://b:1", ""), ("b:1".to_owned(), ClientTls::Insecure));
    assert_eq!(tls("https://[::1]:1/", "false"), ("[::1]:1".to_owned(), secure));
}

#[test]
fn loglevel_becomes_verbosity() {
    for (level, verbosity) in [
        ("debug", Verbosity::Detailed),
        ("info", Verbosity::Basic),
        ("warn", Verbosity::Basic),
        ("error", Verbosity::Basic),
    ] {
        let level = format!("exporters.logging.loglevel={level}");
        let loaded = load_with(&[&level, "service.pipelines.traces.exporters=[logging]"], &[]).unwrap();
        let ExporterKind::Debug(settings) = &loaded.settings.exporters[0].kind else {
            panic!("not debug")
        };
        assert_eq!(settings.verbosity, verbosity, "{level}");
    }
}

#[test]
fn a_spike_that_is_not_written_is_a_fifth_of_the_limit() {
    let overrides = [
        "processors.memory_limiter={check_interval: 100ms, limit_mib: 500}",
        "service.pipelines.traces.processors=[memory_limiter]",
    ];
    let limiter = load_with(&overrides, &[]).unwrap().settings.memory_limiter;
    assert_eq!((limiter.limit_bytes, limiter.spike_bytes), (500 * MIB, 100 * MIB));
}
