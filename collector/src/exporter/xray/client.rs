//! The SDK's client of X-Ray.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_xray::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_xray::config::{ConfigBag, IdentityCache, Intercept, RuntimeComponents};
use aws_sdk_xray::error::BoxError;
use aws_sdk_xray::primitives::{DateTime, DateTimeFormat};
use tracepipe_config::AwsXraySettings;

use super::credentials::{EarlyCredentials, Keeper};
use super::failure::is_of_credentials;
use super::skew::AwsClock;
use crate::clock::Clock;

/// A connection to X-Ray must be there after this long.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Prepares the client; credentials are fetched when the first request is sent.
///
/// # Errors
/// When neither the configuration nor the environment names a region.
pub(super) async fn client(settings: &AwsXraySettings, clock: Clock) -> anyhow::Result<aws_sdk_xray::Client> {
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
    let config = assemble(settings, &loader.load().await, clock)?;
    Ok(aws_sdk_xray::Client::from_conf(config))
}

fn assemble(
    settings: &AwsXraySettings,
    sdk: &SdkConfig,
    clock: Clock,
) -> anyhow::Result<aws_sdk_xray::Config> {
    let aws = Arc::new(AwsClock::new(clock));
    let source = sdk.credentials_provider().context("no source of credentials")?;
    let credentials = EarlyCredentials::new(source, clock, Arc::clone(&aws));
    let listener = Listener {
        keeper: credentials.keeper(),
        aws,
    };
    // On this client alone: the one that fetches credentials keeps the SDK's own retries.
    let config = aws_sdk_xray::config::Builder::from(sdk)
        .credentials_provider(credentials)
        // A second cache would keep what the first has replaced.
        .identity_cache(IdentityCache::no_cache())
        .interceptor(listener)
        // The exporter repeats requests itself: two layers would multiply the attempts.
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIME_MAX)
                .operation_attempt_timeout(settings.request_timeout)
                .build(),
        )
        .build();
    Ok(config)
}

/// Hears what X-Ray's answers say beside the answer.
struct Listener {
    keeper: Arc<Keeper>,
    aws: Arc<AwsClock>,
}

impl Intercept for Listener {
    fn name(&self) -> &'static str {
        "Listener"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let date = headers
            .get("date")
            .and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok())
            .and_then(|date| SystemTime::try_from(date).ok());
        // One with an age comes out of a cache: its date is past.
        if let Some(date) = date
            && headers.get("age").is_none()
        {
            self.aws.hear(date);
        }
        // "ExpiredTokenException:http://internal.amazon.com/..."
        let code = headers.get("x-amzn-errortype").unwrap_or_default();
        if is_of_credentials(code.split(':').next().unwrap_or_default()) {
            self.keeper.refused();
        }
        Ok(())
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

#[cfg(test)]
mod tests;
