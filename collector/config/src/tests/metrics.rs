//! The metrics pipeline, its exporters and what signs their requests.

use std::time::Duration;

use super::examples::example;
use super::{load_text, source};
use crate::*;

/// The smallest configuration, a metrics pipeline with these exporters beside it.
fn with_metrics(exporters: &str, named: &str, rest: &str) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{grpc: , http: }}}}}}\nexporters:\n  debug:\n{exporters}{rest}\nservice:\n  extensions: \
         [{}]\n  pipelines:\n    traces: {{receivers: [otlp], exporters: [debug]}}\n    metrics: {{receivers: [otlp], exporters: \
         [{named}]}}\n",
        if rest.contains("sigv4auth") {
            "sigv4auth"
        } else {
            ""
        },
    )
}

fn metrics(text: &str) -> MetricsSettings {
    let loaded = load_text(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    loaded.settings.metrics.unwrap()
}

/// Of one `prometheusremotewrite` with these keys.
fn remote_write(keys: &str, rest: &str) -> RemoteWriteSettings {
    let keys = format!("  prometheusremotewrite: {{{keys}}}\n");
    let settings = metrics(&with_metrics(&keys, "prometheusremotewrite", rest));
    let MetricsExporterKind::RemoteWrite(settings) = &settings.exporters[0].kind else {
        panic!("not remote write")
    };
    (**settings).clone()
}

/// Of one `prometheus` with these keys.
fn prometheus(keys: &str) -> PrometheusSettings {
    let keys = format!("  prometheus: {{endpoint: \"localhost:8889\", {keys}}}\n");
    let settings = metrics(&with_metrics(&keys, "prometheus", ""));
    let MetricsExporterKind::Prometheus(settings) = &settings.exporters[0].kind else {
        panic!("not a page")
    };
    settings.clone()
}

const WORKSPACE: &str = "workspaces/ws-b226cc2a-a446-46a9-933a-ac50479a5568/api/v1/remote_write";

fn defaults(endpoint: &str) -> RemoteWriteSettings {
    RemoteWriteSettings {
        endpoint: endpoint.to_owned(),
        auth: None,
        headers: vec![],
        tls: ClientTls::Secure { ca_file: None },
        proxy_url: None,
        translation: TranslationSettings {
            namespace: None,
            strategy: TranslationStrategy::UnderscoreEscapingWithSuffixes,
            label_underscores: LabelUnderscores::Collapse,
            promote: ResourcePromotion::None,
            scope_info: true,
        },
        external_labels: vec![],
        target_info: true,
        target_info_interval: Duration::from_secs(60),
        send_metadata: true,
        metadata_interval: Duration::from_secs(60),
        timeout: Duration::from_secs(30),
        shards: 5,
        queue_size: 10_000,
        max_batch_size_bytes: 3_000_000,
        max_samples_per_send: 2000,
        batch_send_deadline: Duration::from_secs(5),
        retry: RetrySettings {
            enabled: true,
            initial_interval: Duration::from_millis(50),
            max_interval: Duration::from_secs(5),
            max_elapsed_time: Duration::ZERO,
            multiplier: 1.5,
            randomization_factor: 1.0,
        },
        bisect: true,
        inject_zero: false,
        sample_age_limit: Duration::from_secs(3600),
        out_of_order_window: Duration::from_secs(60),
        max_streams: 100_000,
        max_stale: Duration::from_secs(300),
        max_native_buckets: 160,
    }
}

#[test]
fn the_first_seed_with_its_fragment_for_metrics_runs() {
    let endpoint = format!("https://aps-workspaces.eu-west-1.amazonaws.com/{WORKSPACE}");
    let fragment = format!(
        "  prometheusremotewrite:\n    endpoint: \"{endpoint}\"\n    auth:\n      authenticator: sigv4auth\n    \
         resource_to_telemetry_conversion:\n      enabled: true\nextensions:\n  sigv4auth:\nservice:\n  extensions: [sigv4auth]\n"
    );
    let metrics_line = "    metrics:\n      receivers: [otlp]\n      processors: [memory_limiter, batch, resource]\n      exporters: \
                        [prometheusremotewrite]\n";
    let text = example("seed1.yaml").replace("service:\n", &fragment) + "\n" + metrics_line;
    let loaded = load_text(&text).unwrap();
    assert_eq!(loaded.warnings, []);
    let alone = load_text(&example("seed1.yaml")).unwrap().settings;
    let mut expected = defaults(&endpoint);
    expected.auth = Some(SigV4Settings {
        region: Some("eu-west-1".to_owned()),
        service: "aps".to_owned(),
        assume_role: None,
    });
    expected.translation.promote = ResourcePromotion::All {
        exclude_service_attributes: false,
    };
    let metrics = MetricsSettings {
        batch: alone.batch.clone(),
        resource: alone.resource.clone(),
        exporters: vec![MetricsExporterSettings {
            id: "prometheusremotewrite".to_owned(),
            kind: MetricsExporterKind::RemoteWrite(Box::new(expected)),
        }],
    };
    // The traces are as they were without it.
    let expected = Settings {
        metrics: Some(metrics),
        ..alone
    };
    assert_eq!(loaded.settings, expected);
}

#[test]
fn without_a_metrics_pipeline_there_are_no_metrics() {
    let loaded = load_text(&example("seed1.yaml")).unwrap();
    assert_eq!(loaded.settings.metrics, None);
    let text = "exporters: {debug: , prometheus: {endpoint: \"0.0.0.0:8889\"}}\nreceivers: {otlp: {protocols: {http: \
                {metrics_url_path: /m}}}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n";
    let loaded = load_text(text).unwrap();
    assert_eq!(loaded.settings.metrics, None);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "collector.yaml:1:22: exporters.prometheus: is defined and not used by a pipeline",
            "collector.yaml:2:57: receivers.otlp.protocols.http.metrics_url_path: has no effect: there is no metrics pipeline",
        ]
    );
}

#[test]
fn a_metrics_pipeline_alone_is_enough() {
    let text = "exporters: {prometheus: {endpoint: \"0.0.0.0:8889\"}}\nprocessors: {memory_limiter: {limit_mib: 123, \
                check_interval: 1s}}\nreceivers: {otlp: {protocols: {http: {traces_url_path: /t, endpoint: \"0.0.0.0:4\"}}}}\n\
                service: {pipelines: {metrics/x: {receivers: [otlp], processors: [memory_limiter], exporters: \
                [prometheus]}}}\n";
    let loaded = load_text(text).unwrap();
    let settings = loaded.settings;
    assert!(!settings.takes_traces());
    assert_eq!(
        (settings.tail_sampling, settings.batch, settings.exporters),
        (None, None, Vec::new())
    );
    assert_eq!(settings.memory_limiter.limit_bytes, 123 * MIB);
    assert_eq!(settings.otlp.http.unwrap().endpoint.port(), 4);
    assert_eq!(settings.metrics.unwrap().exporters.len(), 1);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "collector.yaml:3:56: receivers.otlp.protocols.http.traces_url_path: has no effect: there is no traces pipeline"
        ]
    );
}

#[test]
fn the_exporter_has_the_name_of_either_version_of_upstream() {
    for word in [
        "prometheusremotewrite",
        "prometheus_remote_write",
        "prometheus_remote_write/amp",
    ] {
        let text = with_metrics(&format!("  {word}: {{endpoint: \"http://host\"}}\n"), word, "");
        assert_eq!(metrics(&text).exporters[0].id, word);
    }
}

#[test]
fn every_setting_of_the_exporter_has_its_effect() {
    let keys = "endpoint: \"https://host:9090/api/v1/write?tenant=1\", namespace: app, timeout: 7s, headers: {X-Tenant: a}, \
                proxy_url: http://proxy:3128, tls: {ca_file: /ca.pem}, compression: snappy, external_labels: {zone: a, \
                __replica__: r-0}, target_info: {enabled: false}, disable_scope_info: true, send_metadata: false, \
                add_metric_suffixes: false, max_batch_size_bytes: 1000000, remote_write_queue: {enabled: true, queue_size: 7, \
                num_consumers: 9}, retry_on_failure: {enabled: true, initial_interval: 1s, max_interval: 2s, max_elapsed_time: \
                3s, multiplier: 2, randomization_factor: 0}, resource_constant_labels: {included: [\"k8s.*\"], excluded: \
                [\"k8s.pod.*\"]}, protobuf_message: prometheus.WriteRequest, wal: , tracepipe: {label_underscores: preserve, \
                target_info_interval: 30s, metadata_interval: 2m, max_samples_per_send: 500, batch_send_deadline: 1s, bisect: \
                false, inject_zero: true, sample_age_limit: 10m, out_of_order_window: 0s, max_streams: 10, max_stale: 1m, \
                max_native_buckets: 20}";
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = RemoteWriteSettings {
        endpoint: "https://host:9090/api/v1/write?tenant=1".to_owned(),
        auth: None,
        headers: vec![("X-Tenant".to_owned(), Secret::new("a"))],
        tls: ClientTls::Secure {
            ca_file: Some("/ca.pem".into()),
        },
        proxy_url: Some("http://proxy:3128".to_owned()),
        translation: TranslationSettings {
            namespace: Some("app".to_owned()),
            strategy: TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
            label_underscores: LabelUnderscores::Preserve,
            promote: ResourcePromotion::Matching {
                included: vec!["k8s.*".to_owned()],
                excluded: vec!["k8s.pod.*".to_owned()],
            },
            scope_info: false,
        },
        external_labels: vec![pair("__replica__", "r-0"), pair("zone", "a")],
        target_info: false,
        target_info_interval: Duration::from_secs(30),
        send_metadata: false,
        metadata_interval: Duration::from_secs(120),
        timeout: Duration::from_secs(7),
        shards: 9,
        queue_size: 7,
        max_batch_size_bytes: 1_000_000,
        max_samples_per_send: 500,
        batch_send_deadline: Duration::from_secs(1),
        retry: RetrySettings {
            enabled: true,
            initial_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(2),
            max_elapsed_time: Duration::from_secs(3),
            multiplier: 2.0,
            randomization_factor: 0.0,
        },
        bisect: false,
        inject_zero: true,
        sample_age_limit: Duration::from_secs(600),
        out_of_order_window: Duration::ZERO,
        max_streams: 10,
        max_stale: Duration::from_secs(60),
        max_native_buckets: 20,
    };
    assert_eq!(remote_write(keys, ""), expected);
}

#[test]
fn the_client_may_stand_under_http_as_in_newer_files() {
    let rest = "extensions: {sigv4auth: {region: eu-west-1}}";
    let inner = "endpoint: \"http://host\", headers: {a: b}, auth: {authenticator: sigv4auth}";
    let beside = remote_write(&format!("timeout: 3s, {inner}"), rest);
    assert_eq!(
        remote_write(&format!("http: {{timeout: 3s, {inner}}}"), rest),
        beside
    );
    assert_eq!(
        remote_write(&format!("timeout: 3s, http: {{{inner}}}"), rest),
        beside
    );
    assert_eq!(
        remote_write(&format!("timeout: 3s, {inner}, http: "), rest),
        beside
    );
}

#[test]
fn parallel_requests_are_counted_by_the_newer_key() {
    let shards = |keys: &str| remote_write(&format!("endpoint: \"http://host\", {keys}"), "").shards;
    assert_eq!(shards("remote_write_queue: {num_consumers: 3}"), 3);
    assert_eq!(
        shards("remote_write_queue: {num_consumers: 3}, max_batch_request_parallelism: 4"),
        4
    );
    assert_eq!(shards("max_batch_size_bytes: 0"), 5);
}

#[test]
fn the_region_comes_from_the_key_or_the_host() {
    let signed = |key: &str, host: &str| {
        let keys = format!("endpoint: \"https://{host}/{WORKSPACE}\", auth: {{authenticator: sigv4auth}}");
        let rest = format!("extensions: {{sigv4auth: {{{key}}}}}");
        remote_write(&keys, &rest).auth.unwrap().region
    };
    for (host, region) in [
        ("aps-workspaces.us-east-1.amazonaws.com", Some("us-east-1")),
        (
            "aps-workspaces-fips.us-gov-west-1.amazonaws.com:443",
            Some("us-gov-west-1"),
        ),
        ("aps-workspaces.eu-west-1.api.aws", Some("eu-west-1")),
        ("aps-workspaces.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
        (
            "vpce-0a1-b2.aps-workspaces.eu-west-1.vpce.amazonaws.com",
            Some("eu-west-1"),
        ),
        ("aps-workspaces.example", None),
        ("prometheus.eu-west-1.amazonaws.com", None),
        ("aps-workspaces-evil.eu-west-1.amazonaws.com", None),
        ("127.0.0.1:9090", None),
    ] {
        assert_eq!(signed("", host).as_deref(), region, "{host}");
        assert_eq!(
            signed("region: ap-south-1", host).as_deref(),
            Some("ap-south-1"),
            "{host}"
        );
    }
}

#[test]
fn a_region_that_is_not_the_hosts_is_warned_of() {
    let keys = format!(
        "  prometheusremotewrite: {{endpoint: \"https://aps-workspaces.us-east-1.amazonaws.com/{WORKSPACE}\", auth: \
         {{authenticator: sigv4auth}}}}\n"
    );
    let text = with_metrics(
        &keys,
        "prometheusremotewrite",
        "extensions: {sigv4auth: {region: us-west-2}}",
    );
    let loaded = load_text(&text).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    let warning = loaded.warnings[0].to_string();
    assert!(
        warning.contains("extensions.sigv4auth.region: the endpoint's host is one of us-east-1"),
        "{warning}"
    );
}

#[test]
fn a_role_is_assumed_for_the_requests() {
    let role = |keys: &str| {
        let rest = format!("extensions: {{sigv4auth: {{{keys}}}}}");
        let auth = "endpoint: \"http://host\", auth: {authenticator: sigv4auth}";
        remote_write(auth, &rest).auth.unwrap()
    };
    let arn = "arn:aws:iam::111122223333:role/r";
    let written = role(&format!(
        "region: eu-west-1, service: aps, assume_role: {{arn: \"{arn}\", session_name: tp, sts_region: us-east-1, \
         external_id: xyz}}"
    ));
    let text = |text: &str| Some(text.to_owned());
    let expected = AssumedRole {
        arn: arn.to_owned(),
        external_id: text("xyz"),
        session_name: text("tp"),
        sts_region: text("us-east-1"),
    };
    assert_eq!(written.assume_role, Some(expected));
    // As upstream: STS of the region that is written.
    let short = role(&format!("region: eu-west-1, assume_role: {{arn: \"{arn}\"}}"));
    assert_eq!(short.assume_role.unwrap().sts_region, text("eu-west-1"));
    assert_eq!(role("assume_role: {arn: ''}").assume_role, None);
    assert_eq!(role("service: es").service, "es");
}

#[test]
fn an_environment_variable_names_the_node() {
    let keys = "  prometheusremotewrite: {endpoint: \"http://host\", external_labels: {k8s_node_name: \
                \"${env:K8S_NODE_NAME}\"}}\n";
    let text = with_metrics(keys, "prometheusremotewrite", "");
    let of_node = |name: Option<&str>| load(&source(&text), &[], &|_| name.map(str::to_owned));
    let settings = of_node(Some("0123")).unwrap().settings.metrics.unwrap();
    let MetricsExporterKind::RemoteWrite(settings) = &settings.exporters[0].kind else {
        panic!("not remote write")
    };
    let label = ("k8s_node_name".to_owned(), "0123".to_owned());
    assert_eq!(settings.external_labels, [label]);
    // A label that is not there would let two nodes write one series.
    let message = of_node(None).unwrap_err().to_string();
    assert!(
        message.contains("external_labels.k8s_node_name: is empty"),
        "{message}"
    );
}

#[test]
fn resource_attributes_become_labels_by_either_key() {
    let promote = |keys: &str| prometheus(keys).translation.promote;
    let all = |exclude_service_attributes| ResourcePromotion::All {
        exclude_service_attributes,
    };
    let matching = |included: &[&str], excluded: &[&str]| ResourcePromotion::Matching {
        included: included.iter().map(|&text| text.to_owned()).collect(),
        excluded: excluded.iter().map(|&text| text.to_owned()).collect(),
    };
    assert_eq!(
        promote("resource_to_telemetry_conversion: {enabled: true}"),
        all(false)
    );
    assert_eq!(
        promote("resource_to_telemetry_conversion: {enabled: true, exclude_service_attributes: true}"),
        all(true)
    );
    assert_eq!(
        promote("resource_to_telemetry_conversion: {exclude_service_attributes: true}"),
        ResourcePromotion::None
    );
    assert_eq!(
        promote("resource_to_telemetry_conversion: {included: [a]}"),
        matching(&["a"], &[])
    );
    assert_eq!(
        promote("resource_constant_labels: {excluded: [b]}"),
        matching(&[], &["b"])
    );
    assert_eq!(
        promote("resource_constant_labels: {enabled: false, included: []}"),
        ResourcePromotion::None
    );
}

#[test]
fn every_setting_of_the_page_has_its_effect() {
    let keys = "namespace: \"a:b\", const_labels: {b: \"2\", a: \"1\"}, send_timestamps: true, metric_expiration: 180m, \
                enable_open_metrics: true, without_scope_info: true, translation_strategy: UnderscoreEscapingWithoutSuffixes, \
                tracepipe: {max_series: 5, label_underscores: preserve}";
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = PrometheusSettings {
        endpoint: "127.0.0.1:8889".parse().unwrap(),
        translation: TranslationSettings {
            namespace: Some("a:b".to_owned()),
            strategy: TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
            label_underscores: LabelUnderscores::Preserve,
            promote: ResourcePromotion::None,
            scope_info: false,
        },
        const_labels: vec![pair("a", "1"), pair("b", "2")],
        send_timestamps: true,
        metric_expiration: Duration::from_secs(3 * 3600),
        enable_open_metrics: true,
        max_series: 5,
    };
    assert_eq!(prometheus(keys), expected);
}

#[test]
fn the_newer_key_for_suffixes_wins_and_the_older_is_warned_of() {
    let keys = "  prometheus: {endpoint: \"localhost:8889\", add_metric_suffixes: false, translation_strategy: \
                UnderscoreEscapingWithSuffixes}\n";
    let loaded = load_text(&with_metrics(keys, "prometheus", "")).unwrap();
    let paths: Vec<&str> = loaded
        .warnings
        .iter()
        .map(|warning| warning.path.as_str())
        .collect();
    assert_eq!(paths, ["exporters.prometheus.add_metric_suffixes"]);
    let MetricsExporterKind::Prometheus(page) = &loaded.settings.metrics.unwrap().exporters[0].kind else {
        panic!("not a page")
    };
    let suffixes = TranslationStrategy::UnderscoreEscapingWithSuffixes;
    assert_eq!(page.translation.strategy, suffixes);
    let older = prometheus("add_metric_suffixes: true").translation.strategy;
    assert_eq!(older, suffixes);
}

#[test]
fn either_pipeline_may_name_the_memory_limit() {
    let text = |traces: &str, metrics: &str| {
        format!(
            "receivers: {{otlp: {{protocols: {{grpc: }}}}}}\nexporters: {{debug: , otlp: {{endpoint: \"b:1\"}}}}\nprocessors: \
             {{memory_limiter: {{check_interval: 1s, limit_mib: 123}}, memory_limiter/2: {{check_interval: 1s, limit_mib: \
             123}}}}\nservice: {{pipelines: {{traces: {{receivers: [otlp], processors: [{traces}], exporters: [debug, otlp]}}, \
             metrics: {{receivers: [otlp], processors: [{metrics}], exporters: [otlp, debug]}}}}}}\n"
        )
    };
    for (traces, metrics) in [
        ("memory_limiter", "memory_limiter"),
        ("memory_limiter", ""),
        ("", "memory_limiter"),
        ("memory_limiter", "memory_limiter/2"),
    ] {
        let settings = load_text(&text(traces, metrics)).unwrap().settings;
        assert_eq!(
            settings.memory_limiter.limit_bytes,
            123 * MIB,
            "{traces} {metrics}"
        );
        // Each pipeline has its own of an exporter that both name.
        let ids: Vec<&str> = settings
            .exporters
            .iter()
            .map(|exporter| exporter.id.as_str())
            .collect();
        assert_eq!(ids, ["debug", "otlp"]);
        let of_metrics = settings.metrics.unwrap().exporters;
        let ids: Vec<&str> = of_metrics.iter().map(|exporter| exporter.id.as_str()).collect();
        assert_eq!(ids, ["otlp", "debug"]);
    }
}

#[test]
fn the_paths_of_the_http_receiver_can_be_moved() {
    let text = "exporters: {debug: }\nreceivers: {otlp: {protocols: {http: {traces_url_path: t, metrics_url_path: \
                m}}}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}, metrics: {receivers: [otlp], \
                exporters: [debug]}}}\n";
    let http = load_text(text).unwrap().settings.otlp.http.unwrap();
    assert_eq!(
        (http.traces_url_path.as_str(), http.metrics_url_path.as_str()),
        ("/t", "/m")
    );
}

#[test]
fn secrets_of_the_exporter_stay_out_of_messages() {
    for keys in [
        "endpoint: \"https://u:s3cr3t@host/\"",
        "endpoint: \"http://host\", proxy_url: \"http://u:s3cr3t@proxy\"",
        "endpoint: \"http://host\", headers: {a: \"s3cr3t\\n\"}",
        "endpoint: \"http://host\", headers: {a:s3cr3t}",
    ] {
        let keys = format!("  prometheusremotewrite: {{{keys}}}\n");
        let text = with_metrics(&keys, "prometheusremotewrite", "");
        let message = load_text(&text).unwrap_err().to_string();
        assert!(!message.contains("s3cr3t"), "{message}");
    }
}
