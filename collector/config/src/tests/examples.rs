//! The files that users start from.

use std::path::Path;
use std::time::Duration;

use super::{SMALLEST, load_text};
use crate::*;

fn example(name: &str) -> String {
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

/// The second seed's configuration as it stands in the document.
const SEED2: &str = include_str!("../../testdata/errors/seed2.yaml");

#[test]
fn the_second_seed_is_refused_for_its_metrics_only() {
    let errors = load_text(SEED2).unwrap_err();
    let errors: Vec<String> = errors.errors().iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "collector.yaml:16:3: exporters.prometheus: `prometheus` is a component of the OpenTelemetry Collector that \
             tracepipe does not have; supported exporters: awsxray, otlp, otlp_grpc, debug, logging",
            "collector.yaml:26:5: service.pipelines.metrics: this version has no metrics pipeline; it has one `traces` \
             pipeline",
        ]
    );
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
