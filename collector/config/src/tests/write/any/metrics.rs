//! The exporters of metrics, and what signs their requests.

use super::*;

/// A name that is allowed as a rule, and no more than once in a map.
fn labels() -> BoxedStrategy<Vec<Spanned<(String, LabelValue)>>> {
    let name = prop_oneof![199 => "[a-z_]{1,3}[a-z][a-z0-9]{0,3}", 1 => text()];
    let label = (name, text()).prop_map(|(name, value)| Spanned::from((name, LabelValue::Text(value))));
    vec(label, 0..3).boxed()
}

fn patterns() -> BoxedStrategy<ResourceLabelsConfig> {
    let flags =
        (field(any::<bool>()), field(any::<bool>())).prop_map(|(enabled, exclude)| ResourceLabelsConfig {
            enabled,
            exclude_service_attributes: exclude,
            ..ResourceLabelsConfig::default()
        });
    let lists = (list("[a-z*?.$]{1,9}"), list("[a-z*?.$]{1,9}")).prop_map(|(included, excluded)| {
        ResourceLabelsConfig {
            included,
            excluded,
            ..ResourceLabelsConfig::default()
        }
    });
    prop_oneof![flags, lists].boxed()
}

fn translation() -> BoxedStrategy<TranslationConfig> {
    let strategies = [
        TranslationStrategy::UnderscoreEscapingWithSuffixes,
        TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
    ];
    let underscores = [LabelUnderscores::Collapse, LabelUnderscores::Preserve];
    (
        field(prop_oneof![199 => "[a-z_:]{0,9}", 1 => text()]),
        field(select(strategies.to_vec())),
        field(any::<bool>()),
        patterns(),
        (patterns(), any::<[bool; 6]>()),
        field(any::<bool>()),
        field(select(underscores.to_vec())),
    )
        .prop_map(
            |(namespace, strategy, suffixes, older, (newer, both), no_scope_info, underscores)| {
                let newer = if both == [true; 6] {
                    newer
                } else {
                    ResourceLabelsConfig::default()
                };
                TranslationConfig {
                    namespace,
                    translation_strategy: strategy,
                    add_metric_suffixes: suffixes,
                    resource_to_telemetry_conversion: older,
                    resource_constant_labels: newer,
                    no_scope_info,
                    label_underscores: underscores,
                }
            },
        )
        .boxed()
}

fn client() -> BoxedStrategy<HttpClientConfig> {
    let url = prop_oneof![
        9 => "https?://aps-workspaces[.][a-z]{2}-west-1[.]amazonaws[.]com/[a-z0-9/$&{}?=-]{0,20}",
        9 => "http://[a-z]{1,9}:[1-9][0-9]{3}/",
        1 => text(),
    ];
    let header = (
        prop_oneof![199 => "[a-zA-Z0-9_.]{3,9}", 1 => text()],
        prop_oneof![199 => "[ -~]{0,20}", 1 => text()],
    );
    let header = header.prop_map(|(name, value)| Spanned::from((name, Secret::new(value))));
    let proxy = prop_oneof![199 => Just("http://proxy.example:3128".to_owned()), 1 => text()];
    let authenticator =
        prop_oneof![9 => Just(ComponentId::of("sigv4auth")), 1 => id(&["sigv4auth"]).prop_map(|id| id.value)];
    (
        required(url),
        field(proxy),
        of(text()),
        vec(header, 0..3),
        field(authenticator),
    )
        .prop_map(|(endpoint, proxy_url, ca_file, headers, authenticator)| {
            let is_https = endpoint
                .as_ref()
                .is_some_and(|url| url.value.starts_with("https"));
            HttpClientConfig {
                endpoint,
                proxy_url,
                tls: ClientTlsConfig {
                    insecure: None,
                    ca_file: ca_file.filter(|_| is_https).map(Spanned::from),
                },
                headers,
                authenticator,
            }
        })
        .boxed()
}

fn own() -> BoxedStrategy<RemoteWriteOwnConfig> {
    let seconds = || field((60..240_u64).prop_map(|seconds| GoDuration::from(Duration::from_secs(seconds))));
    let times = (
        seconds(),
        seconds(),
        field(duration()),
        seconds(),
        seconds(),
        seconds(),
    );
    let numbers = (field(number()), field(number()), field(10..200_u64));
    (times, numbers, field(any::<bool>()), field(any::<bool>()))
        .prop_map(|(times, numbers, bisect, inject_zero)| RemoteWriteOwnConfig {
            target_info_interval: times.0,
            metadata_interval: times.1,
            max_samples_per_send: numbers.0,
            batch_send_deadline: times.2,
            bisect,
            inject_zero,
            sample_age_limit: times.3,
            out_of_order_window: times.4,
            max_streams: numbers.1,
            max_stale: times.5,
            max_native_buckets: numbers.2,
        })
        .boxed()
}

fn remote_write() -> BoxedStrategy<ExporterConfig> {
    let shards = || prop_oneof![30 => 1..64_u64, 1 => any::<u64>()];
    let bytes = prop_oneof![30 => 10_000..9_000_000_u64, 3 => Just(0), 1 => any::<u64>()];
    let queue = (any::<bool>(), field(number()), field(shards())).prop_map(|(enabled, size, consumers)| {
        QueueConfig {
            enabled: enabled.then(|| true.into()),
            queue_size: size,
            num_consumers: consumers,
        }
    });
    let retry = (field(any::<bool>()), field(duration()), field(1.0..=9.0_f64));
    let first = (
        client(),
        any::<bool>(),
        field(duration()),
        translation(),
        labels(),
    );
    let second = (
        field(any::<bool>()),
        field(any::<bool>()),
        queue,
        field(bytes),
        field(shards()),
    );
    (first, second, retry, own())
        .prop_map(|(first, second, (enabled, initial_interval, multiplier), own)| {
            ExporterConfig::RemoteWrite(Box::new(RemoteWriteConfig {
                client: first.0,
                client_under_http: first.1,
                timeout: first.2,
                translation: first.3,
                external_labels: first.4,
                target_info: second.0,
                send_metadata: second.1,
                remote_write_queue: second.2,
                max_batch_size_bytes: second.3,
                max_batch_request_parallelism: second.4,
                retry_on_failure: RetryConfig {
                    enabled,
                    initial_interval,
                    multiplier,
                    ..RetryConfig::default()
                },
                own,
            }))
        })
        .boxed()
}

fn prometheus() -> BoxedStrategy<ExporterConfig> {
    let page = prop_oneof![30 => "0[.]0[.]0[.]0:[1-5][0-9]{4}", 1 => endpoint()];
    (
        required(page),
        translation(),
        labels(),
        field(any::<bool>()),
        field(duration()),
        field(any::<bool>()),
        field(number()),
    )
        .prop_map(
            |(endpoint, translation, const_labels, stamps, expiration, open, series)| {
                ExporterConfig::Prometheus(Box::new(PrometheusExporterConfig {
                    endpoint,
                    translation,
                    const_labels,
                    send_timestamps: stamps,
                    metric_expiration: expiration,
                    enable_open_metrics: open,
                    max_series: series,
                }))
            },
        )
        .boxed()
}

pub(super) fn exporter() -> BoxedStrategy<Component<ExporterConfig>> {
    prop_oneof![
        component(
            &["prometheusremotewrite", "prometheus_remote_write"],
            remote_write()
        ),
        component(&["prometheus"], prometheus()),
    ]
    .boxed()
}

/// One that the exporters name, and perhaps another.
pub(super) fn signers() -> BoxedStrategy<Vec<Component<ExtensionConfig>>> {
    let arn = prop_oneof![199 => "arn:aws(-cn)?:iam::[0-9]{12}:role/[a-zA-Z/_]{1,9}[${}]{0,2}", 1 => text()];
    let word = || field(prop_oneof![199 => "[a-z0-9-]{0,12}", 1 => text()]);
    let role = (
        required(arn),
        field("[a-z0-9:]{2,9}"),
        field("[a-z0-9@]{2,9}"),
        word(),
    )
        .prop_map(|(arn, external_id, session_name, sts_region)| AssumeRoleConfig {
            arn,
            external_id,
            session_name,
            sts_region,
        });
    let signer = || {
        let role = prop_oneof![Just(AssumeRoleConfig::default()), role.clone()];
        (word(), word(), role).prop_map(|(region, service, assume_role)| {
            ExtensionConfig::SigV4(SigV4Config {
                region,
                service,
                assume_role,
            })
        })
    };
    (signer(), of(component(&["sigv4auth"], signer())))
        .prop_map(|(first, other)| {
            let mut signers = vec![Component::from(first)];
            signers.extend(other.map(|other| match other.id.value.name {
                Some(_) => other,
                None => other.named("other"),
            }));
            signers
        })
        .boxed()
}
