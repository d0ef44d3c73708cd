//! The SDK's client of X-Ray.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_xray::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_xray::config::{
    ConfigBag, IdentityCache, Intercept, RuntimeComponents, SharedCredentialsProvider,
};
use aws_sdk_xray::error::BoxError;
use aws_sdk_xray::primitives::{DateTime, DateTimeFormat};
use tracepipe_config::AwsXraySettings;

use crate::clock::Clock;
use crate::exporter::aws::codes::is_of_credentials;
use crate::exporter::aws::credentials::{EarlyCredentials, Keeper};
use crate::exporter::aws::network::{self, Variable};
use crate::exporter::aws::skew::AwsClock;

/// A connection to X-Ray must be there after this long.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Where X-Ray has FIPS endpoints (AWS, "AWS X-Ray endpoints and quotas"); the SDK makes up names for other regions.
const FIPS_REGIONS: [&str; 6] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "us-gov-east-1",
    "us-gov-west-1",
];

/// The session's name in the logs of the role's account.
const SESSION_NAME: &str = "tracepipe-collector";

/// Prepares the client; credentials are fetched when the first request is sent.
///
/// # Errors
/// When neither the configuration nor the environment names a region; when the environment asks for what cannot be: a
/// FIPS endpoint where AWS has none, a proxy that is none, authorities that cannot be read.
pub(super) async fn client(settings: &AwsXraySettings, clock: Clock) -> anyhow::Result<aws_sdk_xray::Client> {
    let variable = network::of_the_process;
    let region = settings
        .region
        .clone()
        .or_else(|| variable("AWS_REGION"))
        .or_else(|| variable("AWS_DEFAULT_REGION"))
        .context("exporters.awsxray.region: no region; write one or set AWS_REGION")?;
    let mut loader =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).region(aws_config::Region::new(region));
    if let Some(http_client) = network::http_client(settings.proxy_address.as_deref(), &variable)? {
        loader = loader.http_client(http_client);
    }
    let config = assemble(settings, &loader.load().await, clock, &variable).await?;
    Ok(aws_sdk_xray::Client::from_conf(config))
}

/// Makes the client's configuration of what is the same for all of AWS.
async fn assemble(
    settings: &AwsXraySettings,
    sdk: &SdkConfig,
    clock: Clock,
    variable: Variable<'_>,
) -> anyhow::Result<aws_sdk_xray::Config> {
    let aws = Arc::new(AwsClock::new(clock));
    let source = sdk.credentials_provider().context("no source of credentials")?;
    let mut credentials = EarlyCredentials::new(source, clock, Arc::clone(&aws));
    if let Some(role) = &settings.role {
        let mut assumed = AssumeRoleProvider::builder(&role.arn)
            .configure(sdk)
            .session_name(SESSION_NAME);
        if let Some(id) = &role.external_id {
            assumed = assumed.external_id(id);
        }
        let source = SharedCredentialsProvider::new(assumed.build_from_provider(credentials).await);
        credentials = EarlyCredentials::new(source, clock, Arc::clone(&aws));
    }
    let listener = Listener {
        keeper: credentials.keeper(),
        aws,
    };
    // On this client alone: the one that fetches credentials keeps the SDK's own retries.
    let mut config = aws_sdk_xray::config::Builder::from(sdk)
        .credentials_provider(credentials)
        // A second cache would keep what the first has replaced.
        .identity_cache(IdentityCache::no_cache())
        .interceptor(listener)
        // The exporter repeats requests itself: two layers would multiply the attempts.
        .retry_config(RetryConfig::disabled())
        // The timeout bounds an attempt however slowly it goes.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIME_MAX)
                .operation_attempt_timeout(settings.request_timeout)
                .build(),
        );
    let named = settings
        .endpoint
        .clone()
        .or_else(|| variable("AWS_ENDPOINT_URL_XRAY"))
        .or_else(|| variable("AWS_ENDPOINT_URL"));
    if let Some(endpoint) = named {
        // Whoever names the address names the kind: with both, the SDK would refuse every request.
        config = config
            .endpoint_url(endpoint)
            .use_fips(false)
            .use_dual_stack(false);
    } else if sdk.use_fips() == Some(true) {
        let region = sdk.region().map_or("", |region| region.as_ref());
        if !FIPS_REGIONS.contains(&region) {
            bail!(
                "AWS_USE_FIPS_ENDPOINT: X-Ray has no FIPS endpoint in {region}, only in {}; unset it, or name an \
                 address in exporters.awsxray.endpoint",
                FIPS_REGIONS.join(", ")
            );
        }
    }
    Ok(config.build())
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
pub(super) mod tests;
