//! What speaks to X-Ray, by the settings and the environment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_xray::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_xray::config::{IdentityCache, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use tracepipe_config::AwsXraySettings;

use super::call::Calls;
use crate::clock::Clock;
use crate::exporter::aws::credentials::EarlyCredentials;
use crate::exporter::aws::network::{self, Variable};
use crate::exporter::aws::sign::{Scope, Signer};
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

/// What speaks to X-Ray.
pub(super) struct Clients {
    /// Sends documents.
    pub(super) calls: Calls,
    /// For everything else, which is little.
    pub(super) sdk: aws_sdk_xray::Config,
}

/// Prepares the clients; credentials are fetched when the first request is sent.
///
/// # Errors
/// When neither the configuration nor the environment names a region; when the environment asks for what cannot be: a
/// FIPS endpoint where AWS has none, a proxy that is none, authorities that cannot be read.
pub(super) async fn clients(settings: &AwsXraySettings, clock: Clock) -> anyhow::Result<Clients> {
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
    let way = network::Way {
        setting: "exporters.awsxray",
        proxy: settings.proxy_address.as_deref(),
        proxy_key: "proxy_address",
        ca_file: None,
        is_secure: true,
        is_of_aws: true,
    };
    let connector = network::connector(&way, &variable)?;
    assemble(settings, &loader.load().await, connector, clock, &variable).await
}

/// Makes the clients of what is the same for all of AWS.
async fn assemble(
    settings: &AwsXraySettings,
    sdk: &SdkConfig,
    connector: SharedHttpConnector,
    clock: Clock,
    variable: Variable<'_>,
) -> anyhow::Result<Clients> {
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
    let scope = Scope {
        region: sdk.region().map(ToString::to_string).unwrap_or_default(),
        service: "xray".to_owned(),
    };
    let signer = Signer::new(credentials, aws, scope);
    // On this client alone: the one that fetches credentials keeps the SDK's own retries.
    let config = aws_sdk_xray::config::Builder::from(sdk)
        .credentials_provider(signer.credentials())
        // A second cache would keep what the first has replaced.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIME_MAX)
                .operation_attempt_timeout(settings.request_timeout)
                .build(),
        );
    let (config, endpoint) = endpoint(settings, sdk, config, variable).await?;
    Ok(Clients {
        calls: Calls::new(connector, &endpoint, signer, settings.request_timeout)?,
        sdk: config.build(),
    })
}

/// Where X-Ray is: as the user says, or the SDK.
async fn endpoint(
    settings: &AwsXraySettings,
    sdk: &SdkConfig,
    config: aws_sdk_xray::config::Builder,
    variable: Variable<'_>,
) -> anyhow::Result<(aws_sdk_xray::config::Builder, String)> {
    let named = settings
        .endpoint
        .clone()
        .or_else(|| variable("AWS_ENDPOINT_URL_XRAY"))
        .or_else(|| variable("AWS_ENDPOINT_URL"));
    if let Some(endpoint) = named {
        // Whoever names the address names the kind: with both, the SDK would refuse every request.
        let config = config
            .endpoint_url(&endpoint)
            .use_fips(false)
            .use_dual_stack(false);
        return Ok((config, endpoint));
    }
    let region = sdk.region().map_or("", |region| region.as_ref());
    let is_fips = sdk.use_fips().unwrap_or_default();
    if is_fips && !FIPS_REGIONS.contains(&region) {
        bail!(
            "AWS_USE_FIPS_ENDPOINT: X-Ray has no FIPS endpoint in {region}, only in {}; unset it, or name an \
             address in exporters.awsxray.endpoint",
            FIPS_REGIONS.join(", ")
        );
    }
    let params = Params::builder()
        .region(region)
        .use_fips(is_fips)
        .use_dual_stack(sdk.use_dual_stack().unwrap_or_default())
        .build()
        .context("exporters.awsxray.region")?;
    let found = DefaultResolver::new().resolve_endpoint(&params).await;
    let found = found.map_err(|error| anyhow::anyhow!("exporters.awsxray.region: {error}"))?;
    Ok((config, found.url().to_owned()))
}

#[cfg(test)]
pub(super) mod tests;
