//! `prometheusremotewrite`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::client::{ATTEMPT_MAX, MILLISECOND, QUEUE_MAX, RetryDefaults, Scheme, retry, tls};
use super::exporters::not_empty;
use super::{Scope, or, sigv4, translation, url};
use crate::config::{Config, HttpClientConfig, RemoteWriteConfig};
use crate::error::Diagnostics;
use crate::settings::{RemoteWriteSettings, Secret};

/// Each holds a request, of 3 MB by default.
const SHARDS_MAX: u64 = 64;
/// Upstream's.
const SHARDS: u64 = 5;
/// Upstream's.
const QUEUE_SIZE: u64 = 10_000;
/// Upstream's, in bytes.
const BATCH_BYTES: u64 = 3_000_000;
/// A few series with long labels fit into the least; a request is held whole, which bounds the most.
const BATCH_BYTES_RANGE: std::ops::RangeInclusive<u64> = 10_000..=64_000_000;
/// Prometheus' `max_samples_per_send`.
const SAMPLES: u64 = 2000;
const SAMPLES_MAX: u64 = 1_000_000;
/// Streams take a few hundred bytes each.
const STREAMS: u64 = 100_000;
const STREAMS_MAX: u64 = 10_000_000;
/// `MaxSize` of the OpenTelemetry SDKs' exponential histogram.
const NATIVE_BUCKETS: u64 = 160;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Prometheus looks back five minutes: a series that is written more seldom has gaps.
const TARGET_INFO_MAX: Duration = Duration::from_secs(4 * 60);
/// Remote write 1.0 ("Protocol"): what the sender itself says. The rest is HTTP's (RFC 9110, 7.6.1 and 10.1.1), and the
/// signature's.
const RESERVED_HEADERS: [&str; 17] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amz-date",
    "x-prometheus-remote-write-version",
];
/// AWS wants all of these in the signature, and refuses requests that have others.
const SIGNED_PREFIX: &str = "x-amz-";

pub(super) fn resolve(
    scope: &Scope,
    written: &RemoteWriteConfig,
    config: &Config,
    diag: &mut Diagnostics,
) -> Option<RemoteWriteSettings> {
    let client = &written.client;
    let client_scope = match written.client_under_http {
        true => scope.below("http"),
        false => scope.clone(),
    };
    let endpoint = endpoint(&client_scope, client, diag);
    let url = endpoint.as_deref().and_then(|endpoint| url::parse(endpoint).ok());
    let scheme = match &url {
        Some(url) if url.is_https => Scheme::Https,
        Some(_) => Scheme::Http,
        None => Scheme::None,
    };
    let auth = sigv4::authenticator(config, (&client_scope, &client.authenticator), url.as_ref(), diag);
    let queue = &written.remote_write_queue;
    let queue_scope = scope.below("remote_write_queue");
    if let Some(enabled) = queue.enabled.as_ref().filter(|enabled| !enabled.value) {
        let message =
            "this version cannot do without the queue: samples wait in it while a request is under way";
        diag.error(enabled.at, queue_scope.path("enabled"), message);
    }
    let consumers = queue_scope.within(
        &queue.num_consumers,
        "num_consumers",
        (1..=SHARDS_MAX, SHARDS),
        diag,
    );
    let key = "max_batch_request_parallelism";
    let shards = scope.within(
        &written.max_batch_request_parallelism,
        key,
        (1..=SHARDS_MAX, consumers),
        diag,
    );
    let own = &written.own;
    let own_scope = scope.below("tracepipe");
    let translation = translation::resolve(scope, &written.translation, diag);
    let settings = RemoteWriteSettings {
        auth,
        headers: headers(&client_scope, client, diag),
        tls: tls(&client_scope, &client.tls, scheme, diag),
        proxy_url: proxy(&client_scope, client, diag),
        translation,
        external_labels: translation::labels((scope, "external_labels"), &written.external_labels, diag),
        target_info: or(&written.target_info, true),
        target_info_interval: own_scope.duration(
            &own.target_info_interval,
            "target_info_interval",
            (SECOND..=TARGET_INFO_MAX, MINUTE),
            diag,
        ),
        send_metadata: or(&written.send_metadata, true),
        metadata_interval: own_scope.duration(
            &own.metadata_interval,
            "metadata_interval",
            (SECOND..=DAY, MINUTE),
            diag,
        ),
        timeout: scope.duration(
            &written.timeout,
            "timeout",
            (MILLISECOND..=ATTEMPT_MAX, Duration::from_secs(30)),
            diag,
        ),
        shards,
        queue_size: queue_scope.within(&queue.queue_size, "queue_size", (1..=QUEUE_MAX, QUEUE_SIZE), diag),
        max_batch_size_bytes: batch_bytes(scope, written, diag),
        max_samples_per_send: own_scope.within(
            &own.max_samples_per_send,
            "max_samples_per_send",
            (1..=SAMPLES_MAX, SAMPLES),
            diag,
        ),
        batch_send_deadline: own_scope.duration(
            &own.batch_send_deadline,
            "batch_send_deadline",
            (MILLISECOND..=MINUTE, Duration::from_secs(5)),
            diag,
        ),
        retry: retry(
            scope,
            &written.retry_on_failure,
            RetryDefaults::REMOTE_WRITE,
            diag,
        ),
        bisect: or(&own.bisect, true),
        inject_zero: or(&own.inject_zero, false),
        sample_age_limit: own_scope.duration(
            &own.sample_age_limit,
            "sample_age_limit",
            (MINUTE..=DAY, HOUR),
            diag,
        ),
        out_of_order_window: own_scope.duration(
            &own.out_of_order_window,
            "out_of_order_window",
            (Duration::ZERO..=DAY, MINUTE),
            diag,
        ),
        max_streams: own_scope.within(&own.max_streams, "max_streams", (1..=STREAMS_MAX, STREAMS), diag),
        max_stale: own_scope.duration(&own.max_stale, "max_stale", (SECOND..=DAY, 5 * MINUTE), diag),
        max_native_buckets: own_scope.within(
            &own.max_native_buckets,
            "max_native_buckets",
            (10..=10_000, NATIVE_BUCKETS),
            diag,
        ),
        endpoint: endpoint.clone().unwrap_or_default(),
    };
    endpoint.map(|_| settings)
}

fn endpoint(scope: &Scope, client: &HttpClientConfig, diag: &mut Diagnostics) -> Option<String> {
    let example = (
        "endpoint",
        "endpoint: https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-ID/api/v1/remote_write",
    );
    let endpoint = scope.required(&client.endpoint, example, diag)?;
    match url::parse(&endpoint) {
        Ok(_) => Some(endpoint),
        Err(message) => {
            let at = scope.place(&client.endpoint);
            diag.error(at, scope.path("endpoint"), message);
            None
        }
    }
}

fn proxy(scope: &Scope, client: &HttpClientConfig, diag: &mut Diagnostics) -> Option<String> {
    let proxy = not_empty(&client.proxy_url)?;
    let at = scope.place(&client.proxy_url);
    let path = scope.path("proxy_url");
    // No message shows it: it may hold a password.
    if proxy.contains('@') {
        let message = "credentials do not belong into this file; set HTTPS_PROXY in the environment";
        diag.error(at, path, message);
    } else if let Err(message) = url::parse(&proxy) {
        diag.error(at, path, message);
    }
    Some(proxy)
}

fn headers(scope: &Scope, client: &HttpClientConfig, diag: &mut Diagnostics) -> Vec<(String, Secret)> {
    let mut seen = BTreeSet::new();
    let is_signed = client.authenticator.is_some();
    for header in &client.headers {
        let (name, value) = &header.value;
        let path = scope.path("headers");
        let lower = name.to_ascii_lowercase();
        // Without a signature the application may bring its own.
        let is_reserved = (RESERVED_HEADERS.contains(&lower.as_str())
            && (is_signed || lower != "authorization"))
            || (is_signed && lower.starts_with(SIGNED_PREFIX));
        if !crate::config::is_header_name(name) {
            diag.error(
                header.at,
                path,
                "a header's name has letters, digits, `-`, `_` and `.`",
            );
        } else if is_reserved {
            let message = "is said by the exporter itself; take it away";
            diag.error(header.at, format!("{path}.{name}"), message);
        } else if !seen.insert(lower) {
            let message = format!("`{name}` stands here twice (case does not count)");
            diag.error(header.at, path, message);
        } else if !value.expose().bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let message =
                "the value has characters that a header cannot carry; is there a line break at its end?";
            diag.error(header.at, format!("{path}.{name}"), message);
        }
    }
    client.headers.iter().map(|header| header.value.clone()).collect()
}

/// 0 is the default, as upstream.
fn batch_bytes(scope: &Scope, written: &RemoteWriteConfig, diag: &mut Diagnostics) -> u64 {
    let field = written
        .max_batch_size_bytes
        .clone()
        .filter(|bytes| bytes.value != 0);
    scope.within(
        &field,
        "max_batch_size_bytes",
        (BATCH_BYTES_RANGE, BATCH_BYTES),
        diag,
    )
}
