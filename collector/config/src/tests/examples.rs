//! The files that users start from.

use std::path::Path;
use std::time::Duration;

use super::{SMALLEST, load_text};
use crate::*;

pub(super) fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn policy(name: &str, policy: SimplePolicy) -> PolicySettings {
    PolicySettings {
        name: name.to_owned(),
        kind: PolicyKind::Simple(policy),
    }
}

fn server(endpoint: &str) -> Option<OtlpServerSettings> {
    Some(OtlpServerSettings {
        endpoint: endpoint.parse().unwrap(),
        max_request_bytes: 64 * MIB,
        traces_url_path: "/v1/traces".to_owned(),
        metrics_url_path: "/v1/metrics".to_owned(),
    })
}

fn seed1() -> Settings {
    Settings {
        otlp: OtlpReceiverSettings {
            grpc: server("0.0.0.0:4317"),
            http: server("0.0.0.0:4318"),
        },
        memory_limiter: MemoryLimiterSettings {
            check_interval: Duration::from_secs(1),
            limit_bytes: 400 * MIB,
            spike_bytes: 100 * MIB,
        },
        tail_sampling: Some(TailSamplingSettings {
            decision_wait: Duration::from_secs(10),
            decision_wait_after_root_received: None,
            num_traces: 100_000,
            block_on_overflow: false,
            expected_new_traces_per_sec: 1000,
            maximum_trace_size_bytes: None,
            sample_on_first_match: false,
            record_policy: true,
            decision_cache: DecisionCacheSettings {
                sampled_cache_size: 100_000,
                non_sampled_cache_size: 100_000,
                directory: None,
            },
            policies: vec![
                policy(
                    "always-sample-errors",
                    SimplePolicy::StatusCode {
                        status_codes: vec![StatusCode::Error],
                    },
                ),
                policy(
                    "always-sample-slow",
                    SimplePolicy::Latency {
                        threshold_ms: 500,
                        upper_threshold_ms: None,
                    },
                ),
                policy(
                    "probabilistic",
                    SimplePolicy::Probabilistic {
                        hash_salt: "default-hash-seed".to_owned(),
                        sampling_percentage: 10.0,
                    },
                ),
            ],
        }),
        batch: Some(BatchSettings {
            timeout: Duration::from_millis(200),
            send_batch_size: 8192,
            send_batch_max_size: 0,
        }),
        resource: vec![ResourceAction {
            key: "cluster_name".to_owned(),
            op: ResourceOp::Upsert(AttributeValue::String("prod-eu".to_owned())),
        }],
        exporters: vec![
            ExporterSettings {
                id: "awsxray".to_owned(),
                kind: ExporterKind::AwsXray(AwsXraySettings {
                    region: Some("us-east-1".to_owned()),
                    endpoint: None,
                    proxy_address: None,
                    role: None,
                    index_all_attributes: true,
                    indexed_attributes: vec![],
                    aws_log_groups: vec![],
                    num_workers: 8,
                    request_timeout: Duration::from_secs(30),
                    telemetry: None,
                    max_elapsed_time: Duration::ZERO,
                }),
            },
            ExporterSettings {
                id: "logging".to_owned(),
                kind: ExporterKind::Debug(DebugSettings {
                    verbosity: Verbosity::Basic,
                    sampling_initial: 2,
                    sampling_thereafter: 1,
                }),
            },
        ],
        metrics: None,
        telemetry: TelemetrySettings {
            metrics: Some("127.0.0.1:8888".parse().unwrap()),
            health: "127.0.0.1:13133".parse().unwrap(),
            logs: LogSettings {
                level: LogLevel::Info,
                encoding: LogEncoding::Console,
            },
        },
    }
}

#[test]
fn the_first_seed_runs_as_it_is() {
    let loaded = load_text(&example("seed1.yaml")).unwrap();
    assert_eq!(loaded.settings, seed1());
    assert_eq!(loaded.warnings, []);
}

#[test]
fn the_otlp_example_differs_from_the_first_seed_in_its_exporter_only() {
    let loaded = load_text(&example("otlp-out.yaml")).unwrap();
    let exporters = vec![ExporterSettings {
        id: "otlp".to_owned(),
        kind: ExporterKind::Otlp(OtlpExporterSettings {
            authority: "127.0.0.1:4327".to_owned(),
            tls: ClientTls::Insecure,
            compression: Compression::None,
            headers: vec![],
            timeout: Duration::from_secs(5),
            queue: QueueSettings {
                num_consumers: 10,
                queue_size: 1000,
            },
            retry: RetrySettings {
                enabled: true,
                initial_interval: Duration::from_secs(5),
                max_interval: Duration::from_secs(30),
                max_elapsed_time: Duration::from_secs(300),
                multiplier: 1.5,
                randomization_factor: 0.5,
            },
        }),
    }];
    assert_eq!(loaded.settings, Settings { exporters, ..seed1() });
    assert_eq!(loaded.warnings, []);
}

#[test]
fn the_second_seed_runs_as_it_is() {
    let loaded = load_text(&example("seed2.yaml")).unwrap();
    assert_eq!(loaded.warnings, []);
    let detailed = DebugSettings {
        verbosity: Verbosity::Detailed,
        sampling_initial: 2,
        sampling_thereafter: 1,
    };
    let batch = Some(BatchSettings {
        timeout: Duration::from_secs(1),
        send_batch_size: 1024,
        send_batch_max_size: 0,
    });
    let xray = AwsXraySettings {
        region: Some("us-east-1".to_owned()),
        ..AwsXraySettings::default()
    };
    let exporter = |id: &str, kind| ExporterSettings {
        id: id.to_owned(),
        kind,
    };
    let of_metrics = |id: &str, kind| MetricsExporterSettings {
        id: id.to_owned(),
        kind,
    };
    let page = PrometheusSettings {
        endpoint: "0.0.0.0:8889".parse().unwrap(),
        translation: TranslationSettings {
            namespace: None,
            strategy: TranslationStrategy::UnderscoreEscapingWithSuffixes,
            label_underscores: LabelUnderscores::Collapse,
            promote: ResourcePromotion::None,
            scope_info: true,
        },
        const_labels: vec![],
        send_timestamps: false,
        metric_expiration: Duration::from_secs(300),
        enable_open_metrics: false,
        max_series: 100_000,
    };
    let expected = Settings {
        tail_sampling: None,
        batch: batch.clone(),
        resource: vec![],
        exporters: vec![
            exporter("awsxray", ExporterKind::AwsXray(xray)),
            exporter("logging", ExporterKind::Debug(detailed.clone())),
        ],
        metrics: Some(MetricsSettings {
            batch,
            resource: vec![],
            exporters: vec![
                of_metrics("prometheus", MetricsExporterKind::Prometheus(page)),
                of_metrics("logging", MetricsExporterKind::Debug(detailed)),
            ],
        }),
        ..seed1()
    };
    assert_eq!(loaded.settings, expected);
}

#[test]
fn a_program_can_build_what_a_file_says() {
    use crate::config::{
        AwsXrayConfig, Component, ComponentId, Config, ExporterConfig, OtlpReceiverConfig, OtlpServerConfig,
        PipelineConfig, ReceiverConfig, ServiceConfig, Spanned,
    };
    let id = |text: &str| Spanned::from(ComponentId::parse(text).unwrap());
    let otlp = OtlpReceiverConfig {
        grpc: Some(OtlpServerConfig::default().into()),
        ..Default::default()
    };
    let built = Config {
        receivers: vec![Component {
            id: id("otlp"),
            config: ReceiverConfig::Otlp(otlp),
        }],
        exporters: vec![Component {
            id: id("awsxray"),
            config: ExporterConfig::AwsXray(AwsXrayConfig::default()),
        }],
        service: ServiceConfig {
            pipelines: vec![PipelineConfig {
                id: id("traces"),
                receivers: vec![id("otlp")],
                processors: vec![],
                exporters: vec![id("awsxray")],
            }],
            ..ServiceConfig::default()
        },
        ..Config::default()
    };
    assert_eq!(built.resolve().unwrap(), load_text(SMALLEST).unwrap());

    let broken = Config {
        exporters: vec![],
        ..built
    };
    let message =
        "configuration: service.pipelines.traces.exporters[0]: `awsxray` is not defined under `exporters`";
    assert_eq!(broken.resolve().unwrap_err().to_string(), message);
}
