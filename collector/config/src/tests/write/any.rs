//! Any [`Config`]: every type, every field set or not, texts of every kind. Numbers lie mostly within bounds, so that
//! many configurations are accepted.

mod metrics;
mod sampling;

use std::time::Duration;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::config::*;
use crate::*;

/// Texts that YAML or expansion would read as something else, and any other.
fn text() -> BoxedStrategy<String> {
    #[rustfmt::skip]
    let traps = [
        "", " ", "a b", "~", "null", "True", "yes", "OFF", "1", "0x1f", "1e3", "-.inf", "<<", "=", "---",
        "- a", "...", "a: b", "a:", "a #b", "#", "${env:EVIL}", "$EVIL", "${EVIL}", "$$", "$",
        "a${env:EVIL}b", "$${env:EVIL}", "${${env:EVIL}}", "${env:MISSING:-x}", "'", "\"", "\\", "\\\"",
        "a\nb: c\n", "\r\n", "\t", "\0", "\u{7f}\u{85}\u{a0}\u{feff}", "\u{2028}", "\u{1f600}", "{a: b}",
        "[a]", "&a", "*a", "!!str a", "|", ">", "%YAML 1.2", "@", "`", "2026-11-21", "12:30:45", "?", ": ",
        ",",
    ];
    prop_oneof![
        3 => "[a-z_./-]{1,12}",
        3 => select(traps.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[-a:\\[\\]{},&*!|>'\"%@`#? \n\t<~0-9.$}\\\\env]{0,40}",
        1 => "\\PC{0,20}",
    ]
    .boxed()
}

fn field<T: std::fmt::Debug + Clone + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Field<T>> {
    of(value.prop_map(Spanned::from)).boxed()
}

fn list<T: std::fmt::Debug + Clone + 'static>(
    item: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Field<Vec<Spanned<T>>>> {
    let items = vec(item.prop_map(Spanned::from), 1..4);
    prop_oneof![30 => items.prop_map(|items| Some(items.into())), 1 => Just(Some(Vec::new().into())), 1 => Just(None)].boxed()
}

fn required<T: std::fmt::Debug + Clone + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Field<T>> {
    prop_oneof![30 => value.prop_map(|value| Some(value.into())), 1 => Just(None)].boxed()
}

fn duration() -> BoxedStrategy<GoDuration> {
    prop_oneof![
        20 => (1..60_000_u64).prop_map(|millis| Duration::from_millis(millis).into()),
        10 => (1..60_u64).prop_map(|seconds| Duration::from_secs(seconds).into()),
        1 => any::<i64>().prop_map(GoDuration),
    ]
    .boxed()
}

fn number() -> BoxedStrategy<u64> {
    prop_oneof![30 => 1..200_u64, 1 => Just(0), 1 => any::<u64>()].boxed()
}

fn endpoint() -> BoxedStrategy<String> {
    prop_oneof![
        30 => (1024..u16::MAX).prop_map(|port| format!("0.0.0.0:{port}")),
        9 => Just("[::]:4317".to_owned()),
        1 => text(),
    ]
    .boxed()
}

/// The type's own word, with a name or without; seldom another's.
fn component<T: std::fmt::Debug + Clone + 'static>(
    kinds: &'static [&'static str],
    config: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Component<T>> {
    (id(kinds), config)
        .prop_map(|(id, config)| Component { id, config })
        .boxed()
}

fn id(kinds: &'static [&'static str]) -> BoxedStrategy<Spanned<ComponentId>> {
    let kind = prop_oneof![30 => select(kinds).prop_map(str::to_owned), 1 => text()];
    let name =
        prop_oneof![9 => " ?[a-z$:{}\"#]{1,9}\\PC?".prop_map(|name| name.trim().to_owned()), 1 => text()];
    (kind, of(name))
        .prop_map(|(kind, name)| ComponentId { kind, name }.into())
        .boxed()
}

fn receiver() -> BoxedStrategy<Component<ReceiverConfig>> {
    let server = |is_grpc: bool| {
        (
            endpoint().prop_map(Spanned::from),
            field(number()),
            field(number()),
            (
                field(prop_oneof![30 => "/?v1/t[a-z$]{1,9}", 1 => text()]),
                field(prop_oneof![30 => "/?v1/m[a-z$]{1,9}", 1 => text()]),
            ),
        )
            .prop_map(move |(endpoint, mib, bytes, (path, other))| {
                let mut server = OtlpServerConfig {
                    endpoint: Some(endpoint),
                    ..OtlpServerConfig::default()
                };
                if is_grpc {
                    server.max_recv_msg_size_mib = mib;
                } else {
                    server.max_request_body_size = bytes;
                    server.traces_url_path = path;
                    server.metrics_url_path = other;
                }
                server
            })
    };
    let both = (field(server(true)), field(server(false)), any::<[bool; 5]>());
    let otlp = both.prop_map(|(mut grpc, http, rare)| {
        if grpc.is_none() && http.is_none() {
            grpc = set(OtlpServerConfig::default());
        }
        if rare == [true; 5] {
            grpc.clone_from(&http);
        }
        ReceiverConfig::Otlp(OtlpReceiverConfig {
            grpc,
            http,
            protocols_at: None,
        })
    });
    component(&["otlp"], otlp).boxed()
}

fn action() -> BoxedStrategy<ResourceActionConfig> {
    let double = any::<f64>().prop_filter("NaN equals nothing", |value| !value.is_nan());
    let value = prop_oneof![
        4 => text().prop_map(AttributeValue::String),
        1 => any::<bool>().prop_map(AttributeValue::Bool),
        1 => any::<i64>().prop_map(AttributeValue::Int),
        1 => double.prop_map(AttributeValue::Double),
        1 => (-9..9_i32).prop_map(|whole| AttributeValue::Double(f64::from(whole))),
    ];
    let verbs = [
        ResourceVerb::Insert,
        ResourceVerb::Update,
        ResourceVerb::Upsert,
        ResourceVerb::Delete,
    ];
    (
        required(text()),
        required(value),
        required(select(verbs.to_vec())),
    )
        .prop_map(|(key, value, action)| {
            let is_delete = action
                .as_ref()
                .is_some_and(|action| action.value == ResourceVerb::Delete);
            ResourceActionConfig {
                key,
                value: value.filter(|_| !is_delete),
                value_from_env: None,
                action,
            }
        })
        .boxed()
}

fn processors() -> BoxedStrategy<Vec<Component<ProcessorConfig>>> {
    let limiter = (required(duration()), required(200..900_u64), field(number())).prop_map(
        |(check_interval, limit_mib, spike_limit_mib)| {
            ProcessorConfig::MemoryLimiter(MemoryLimiterConfig {
                check_interval,
                limit_mib,
                spike_limit_mib,
            })
        },
    );
    let sampling =
        sampling::tail_sampling().prop_map(|config| ProcessorConfig::TailSampling(Box::new(config)));
    let batch = (field(duration()), field(number()), field(9000..9999_u64)).prop_map(
        |(timeout, send_batch_size, send_batch_max_size)| {
            ProcessorConfig::Batch(BatchConfig {
                timeout,
                send_batch_size,
                send_batch_max_size,
            })
        },
    );
    let resource =
        list(action()).prop_map(|attributes| ProcessorConfig::Resource(ResourceConfig { attributes }));
    (
        of(component(&["memory_limiter"], limiter)),
        of(component(&["tail_sampling"], sampling)),
        of(component(&["batch"], batch)),
        of(component(&["resource"], resource)),
    )
        .prop_map(|(a, b, c, d)| [a, b, c, d].into_iter().flatten().collect())
        .boxed()
}

fn awsxray() -> BoxedStrategy<ExporterConfig> {
    let url =
        prop_oneof![19 => Just("https://xray.eu-west-1.amazonaws.com/${env:EVIL}".to_owned()), 1 => text()];
    let texts = (
        field("[a-z0-9-]{0,12}|[a-z0-9-]{3,12}|[a-z]{1,12}|.{0,3}"),
        field(url),
        list(text()),
        list(text()),
        role(),
    );
    let rest = (
        xray_telemetry(),
        field(text()),
        field(any::<bool>()),
        field(any::<bool>()),
        field(number()),
        field(number()),
        field(duration()),
    );
    (texts, rest)
        .prop_map(
            |((region, endpoint, indexed_attributes, aws_log_groups, role), rest)| {
                let (proxy_address, role_arn, external_id) = role;
                let (
                    telemetry,
                    resource_arn,
                    local_mode,
                    index_all_attributes,
                    num_workers,
                    request_timeout_seconds,
                    max_elapsed_time,
                ) = rest;
                ExporterConfig::AwsXray(AwsXrayConfig {
                    region,
                    endpoint,
                    proxy_address,
                    role_arn,
                    external_id,
                    index_all_attributes,
                    indexed_attributes,
                    aws_log_groups,
                    num_workers,
                    request_timeout_seconds,
                    telemetry,
                    resource_arn,
                    local_mode,
                    max_elapsed_time,
                })
            },
        )
        .boxed()
}

fn xray_telemetry() -> BoxedStrategy<XrayTelemetryConfig> {
    let flags = (field(any::<bool>()), field(any::<bool>()));
    let id = prop_oneof![19 => "i-[0-9a-f]{17}", 1 => text()];
    (flags, field(text()), field(id), field(text()))
        .prop_map(
            |((enabled, include_metadata), hostname, instance_id, resource_arn)| XrayTelemetryConfig {
                enabled,
                include_metadata,
                hostname,
                instance_id,
                resource_arn,
            },
        )
        .boxed()
}

/// A proxy, a role and its external id.
fn role() -> BoxedStrategy<(Field<String>, Field<String>, Field<String>)> {
    let proxy = prop_oneof![19 => Just("http://proxy.example:3128".to_owned()), 1 => text()];
    let arn = prop_oneof![
        19 => "arn:aws(-cn)?:iam::[0-9]{12}:role/[a-zA-Z/_]{1,9}[${}]{0,2}",
        1 => text(),
    ];
    let id = prop_oneof![19 => "[a-zA-Z0-9_+=,.@:/-]{2,9}", 1 => text()];
    let both = prop_oneof![
        9 => (arn, of(id)).prop_map(|(arn, id)| (Some(arn), id)),
        9 => Just((None, None)),
        1 => of(text()).prop_map(|id| (None, id)),
    ];
    (field(proxy), both)
        .prop_map(|(proxy, (arn, id))| (proxy, arn.map(Spanned::from), id.map(Spanned::from)))
        .boxed()
}

fn otlp() -> BoxedStrategy<ExporterConfig> {
    let compression = select(vec![Compression::Gzip, Compression::Zstd, Compression::None]);
    let header = (
        prop_oneof![19 => "[a-zA-Z0-9_.-]{1,9}|on|1", 1 => text()],
        prop_oneof![9 => "[ -~]{0,20}", 1 => text()],
    );
    let header = header.prop_map(|(name, value)| Spanned::from((name, Secret::new(value))));
    let name = prop_oneof![9 => "[a-z]{1,9}:[1-9][0-9]{0,3}", 1 => text()];
    let client = (
        required(name),
        of(text()),
        field(compression),
        vec(header, 0..3),
        field(duration()),
    );
    let factor = || prop_oneof![9 => 1.0..=100.0_f64, 1 => Just(1.0), 1 => Just(1e300)];
    let retry = (
        field(duration()),
        field(duration()),
        field(duration()),
        field(factor()),
        field(0.0..=1.0_f64),
    );
    (
        client,
        retry,
        field(any::<bool>()),
        field(number()),
        field(number()),
    )
        .prop_map(|(client, retry, enabled, num_consumers, queue_size)| {
            let (endpoint, ca_file, compression, headers, timeout) = client;
            let (initial_interval, max_interval, max_elapsed_time, multiplier, randomization_factor) = retry;
            ExporterConfig::Otlp(OtlpExporterConfig {
                endpoint,
                tls: ClientTlsConfig {
                    insecure: ca_file.is_none().then(|| true.into()),
                    ca_file: ca_file.map(Spanned::from),
                },
                compression,
                headers,
                timeout,
                sending_queue: QueueConfig {
                    enabled: enabled.as_ref().map(|_| true.into()),
                    num_consumers,
                    queue_size,
                },
                retry_on_failure: RetryConfig {
                    enabled,
                    initial_interval,
                    max_interval,
                    max_elapsed_time,
                    multiplier,
                    randomization_factor,
                },
            })
        })
        .boxed()
}

fn debug() -> BoxedStrategy<DebugConfig> {
    let verbosity = select(vec![Verbosity::Basic, Verbosity::Normal, Verbosity::Detailed]);
    let words = [
        LogLevelWord::Debug,
        LogLevelWord::Info,
        LogLevelWord::Warn,
        LogLevelWord::Error,
    ];
    (
        field(verbosity),
        field(select(words.to_vec())),
        field(number()),
        field(number()),
    )
        .prop_map(|(verbosity, loglevel, sampling_initial, sampling_thereafter)| {
            let loglevel = loglevel.filter(|_| verbosity.is_none());
            DebugConfig {
                verbosity,
                loglevel,
                sampling_initial,
                sampling_thereafter,
            }
        })
        .boxed()
}

fn exporter() -> BoxedStrategy<Component<ExporterConfig>> {
    prop_oneof![
        9 => component(&["awsxray"], awsxray()),
        9 => component(&["otlp", "otlp_grpc"], otlp()),
        9 => component(&["logging"], debug().prop_map(ExporterConfig::Logging)),
        9 => component(
            &["debug"],
            debug().prop_map(|debug| ExporterConfig::Debug(DebugConfig {
                loglevel: None,
                ..debug
            }))
        ),
        // Here `loglevel` may stand, and is refused.
        1 => component(&["debug"], debug().prop_map(ExporterConfig::Debug)),
    ]
    .boxed()
}

fn telemetry() -> BoxedStrategy<TelemetryConfig> {
    let levels = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    let encodings = [LogEncoding::Console, LogEncoding::Json];
    let metrics = [
        MetricsLevel::None,
        MetricsLevel::Basic,
        MetricsLevel::Normal,
        MetricsLevel::Detailed,
    ];
    let host = prop_oneof![19 => Just("0.0.0.0".to_owned()), 1 => text()];
    let reader = (field(host), field(1..999_u64)).prop_map(|(host, port)| PrometheusConfig { host, port });
    let readers = field(vec(reader.prop_map(Spanned::from), 0..2));
    (
        field(select(levels.to_vec())),
        field(select(encodings.to_vec())),
        field(select(metrics.to_vec())),
        readers,
    )
        .prop_map(|(level, encoding, metrics, readers)| TelemetryConfig {
            logs: LogsConfig { level, encoding },
            metrics: MetricsConfig {
                level: metrics,
                readers,
            },
        })
        .boxed()
}

pub(super) fn config() -> BoxedStrategy<Config> {
    let check =
        field(endpoint()).prop_map(|endpoint| ExtensionConfig::HealthCheck(HealthCheckConfig { endpoint }));
    let parts = (
        vec(receiver(), 1..2),
        processors(),
        vec(exporter(), 1..3),
        (vec(component(&["health_check"], check), 0..2), metrics::signers()),
        telemetry(),
        // What the pipeline forgets, and another pipeline.
        (
            any::<[bool; 4]>(),
            of(id(&["traces"])),
            vec(metrics::exporter(), 0..2),
        ),
    );
    parts
        .prop_map(
            |(receivers, processors, exporters, (checks, signers), telemetry, (rare, other, of_metrics))| {
                let config = Config {
                    receivers,
                    processors,
                    exporters,
                    extensions: checks.into_iter().chain(signers).collect(),
                    ..Config::default()
                };
                let mut config = config.with_traces_pipeline();
                if !of_metrics.is_empty() {
                    config = config.with_metrics_pipeline(of_metrics);
                }
                config.service.telemetry = telemetry;
                if rare == [true; 4] {
                    config.service.pipelines[0].processors.pop();
                    config.service.extensions.clear();
                }
                if let (Some(id), [_, true, true, _]) = (other, rare) {
                    config.service.pipelines[0].id = id;
                }
                config
            },
        )
        .boxed()
}
