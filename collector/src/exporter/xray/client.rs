//! The SDK's client of X-Ray.

use std::time::Duration;

use anyhow::Context;
use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use tracepipe_config::AwsXraySettings;

/// A connection to X-Ray must be there after this long.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Prepares the client; credentials are fetched when the first request is sent.
///
/// # Errors
/// When neither the configuration nor the environment names a region.
pub(super) async fn client(settings: &AwsXraySettings) -> anyhow::Result<aws_sdk_xray::Client> {
    let from_environment = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
    let region = settings
        .region
        .clone()
        .or_else(|| from_environment("AWS_REGION"))
        .or_else(|| from_environment("AWS_DEFAULT_REGION"))
        .context("exporters.awsxray.region: no region; write one or set AWS_REGION")?;
    let mut loader =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).region(aws_config::Region::new(region));
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    // On this client alone: the one that fetches credentials keeps the SDK's own retries.
    let config = aws_sdk_xray::config::Builder::from(&loader.load().await)
        // The exporter repeats requests itself: two layers would multiply the attempts.
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIME_MAX)
                .operation_attempt_timeout(settings.request_timeout)
                .build(),
        )
        .build();
    Ok(aws_sdk_xray::Client::from_conf(config))
}
