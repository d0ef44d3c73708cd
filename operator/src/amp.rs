//! Which workspace of Amazon Managed Prometheus a pipeline may write to. Pure.
//!
//! Whoever writes a TracingPipeline names the endpoint; what follows from it (a right of the role, a host that signed
//! requests go to) is bounded by what the administrator allows.

use std::fmt::{self, Display};

use tracepipe_crds::TracingPipeline;
use tracepipe_crds::values::WorkspaceUrl;

use crate::iam::Account;
use crate::settings::{Amp, AwsAccount, Workspaces};

/// Hosts of the data plane begin with one of these.
/// <https://docs.aws.amazon.com/general/latest/gr/prometheus-service.html>
const SERVICES: [&str; 2] = ["aps-workspaces", "aps-workspaces-fips"];

/// Regions of partitions whose hosts have other names begin so.
const CHINA: &str = "cn-";
const EUROPEAN_SOVEREIGN_CLOUD: &str = "eusc-";

/// The ARN of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkspaceArn {
    partition: String,
    region: String,
    account: Account,
    id: String,
}

/// Where a pipeline's metrics go, allowed by the administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As written.
    pub(crate) url: String,
    /// Requests are signed for it.
    pub(crate) region: String,
    /// What a role has to be allowed to write to; None while the account is not known.
    pub(crate) workspace: Option<WorkspaceArn>,
}

/// Decides on an endpoint. `region` is the pipeline's own, for hosts that name none; `account` that of the role.
///
/// # Errors
/// What is not allowed, and what the administrator would have to say.
pub(crate) fn target(
    endpoint: &str,
    region: Option<&str>,
    account: Option<&AwsAccount>,
    allowed: &Amp,
) -> Result<Target, String> {
    let Some(url) = WorkspaceUrl::parse(endpoint) else {
        return Err(tracepipe_crds::rules::message::AMP_ENDPOINT.to_owned());
    };
    let region = match region_of(&url) {
        Some(found) => found.to_owned(),
        None if allowed.endpoints.iter().any(|origin| origin == url.origin) => region
            .ok_or("the host names no AWS region: set spec.region, or the chart's aws.region")?
            .to_owned(),
        None => {
            return Err(format!(
                "{} is no endpoint of Amazon Managed Prometheus (https://aps-workspaces.REGION.amazonaws.com, its FIPS, dual-stack and VPC forms); the administrator may add it to the chart's aws.amp.endpoints",
                url.origin
            ));
        }
    };
    let workspace = workspace(&url, &region, account, &allowed.workspaces)?;
    Ok(Target {
        url: endpoint.to_owned(),
        region,
        workspace,
    })
}

/// True where the host of a pipeline's endpoint does not say the region.
pub(crate) fn needs_region(pipeline: &TracingPipeline) -> bool {
    let endpoint = pipeline.spec.amp_remote_write_endpoint.as_deref();
    let url = endpoint.and_then(WorkspaceUrl::parse);
    url.is_some_and(|url| region_of(&url).is_none())
}

fn workspace(
    url: &WorkspaceUrl<'_>,
    region: &str,
    account: Option<&AwsAccount>,
    allowed: &Workspaces,
) -> Result<Option<WorkspaceArn>, String> {
    match allowed {
        Workspaces::Any => Ok(account.map(|account| WorkspaceArn {
            partition: account.partition.clone(),
            region: region.to_owned(),
            account: account.id.clone(),
            id: url.workspace.to_owned(),
        })),
        Workspaces::Listed(arns) => {
            let found = arns
                .iter()
                .find(|arn| arn.region == region && arn.id == url.workspace);
            found.cloned().map(Some).ok_or_else(|| {
                format!(
                    "the administrator does not allow the workspace {} in {region}: its ARN has to be in the chart's aws.amp.workspaces (now {})",
                    url.workspace,
                    if arns.is_empty() { "empty" } else { "without it" },
                )
            })
        }
    }
}

/// The region in one of Amazon's hosts: exact forms, because a host that only looks like one would be sent requests that
/// are signed with the role's credentials.
fn region_of<'u>(url: &WorkspaceUrl<'u>) -> Option<&'u str> {
    if !url.is_https || url.port.is_some_and(|port| port != "443") {
        return None;
    }
    let mut labels = url.host.splitn(3, '.');
    let (first, second, rest) = (labels.next()?, labels.next()?, labels.next()?);
    if let Some(interface) = first.strip_prefix("vpce-") {
        let (region, suffix) = rest.split_once(".vpce.")?;
        let is_aws = !interface.is_empty() && SERVICES.contains(&second) && is_region(region);
        return (is_aws && suffix == suffix_of(region)).then_some(region);
    }
    let is_aws = SERVICES.contains(&first) && is_region(second);
    let is_suffix = rest == suffix_of(second) || dual_stack_suffix_of(second) == Some(rest);
    (is_aws && is_suffix).then_some(second)
}

/// `dnsSuffix` of the region's partition, by the partitions that AWS's SDKs know.
fn suffix_of(region: &str) -> &'static str {
    if region.starts_with(CHINA) {
        "amazonaws.com.cn"
    } else if region.starts_with(EUROPEAN_SOVEREIGN_CLOUD) {
        "amazonaws.eu"
    } else {
        "amazonaws.com"
    }
}

/// `dualStackDnsSuffix`. China's dual-stack names are under another domain, and AWS documents none of this service.
fn dual_stack_suffix_of(region: &str) -> Option<&'static str> {
    if region.starts_with(CHINA) {
        None
    } else if region.starts_with(EUROPEAN_SOVEREIGN_CLOUD) {
        Some("api.amazonwebservices.eu")
    } else {
        Some("api.aws")
    }
}

/// As `spec.region` is written: `eu-west-1`, `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let (first, last) = (
        parts.next().unwrap_or_default(),
        parts.next_back().unwrap_or_default(),
    );
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let between: Vec<&str> = parts.collect();
    (2..=4).contains(&first.len())
        && is_word(first)
        && !between.is_empty()
        && between.into_iter().all(is_word)
        && last.len() == 1
        && last.bytes().all(|byte| byte.is_ascii_digit())
}

// === impl WorkspaceArn ===

impl WorkspaceArn {
    /// Reads `arn:PARTITION:aps:REGION:ACCOUNT:workspace/ws-ID`. Nothing in it can be a wildcard or a variable of a policy.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write the ARN of a workspace: arn:aws:aps:REGION:ACCOUNT:workspace/ws-ID, or * for every one"
                .to_owned()
        };
        let parts: Vec<&str> = text.split(':').collect();
        let &["arn", partition, "aps", region, account, resource] = parts.as_slice() else {
            return Err(wrong());
        };
        let is_partition = partition.starts_with("aws")
            && partition
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let id = resource.strip_prefix("workspace/").ok_or_else(wrong)?;
        let is_id = id.strip_prefix("ws-").is_some_and(|rest| {
            (1..=61).contains(&rest.len())
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        if !is_partition || !is_region(region) || !is_id {
            return Err(wrong());
        }
        Ok(Self {
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: Account::parse(account).map_err(|_| wrong())?,
            id: id.to_owned(),
        })
    }
}

impl Display for WorkspaceArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            region,
            account,
            id,
        } = self;
        write!(f, "arn:{partition}:aps:{region}:{account}:workspace/{id}")
    }
}

// === impl Workspaces ===

impl Workspaces {
    /// What a policy that bounds every role allows; empty: nothing.
    pub(crate) fn resources(&self, account: &AwsAccount) -> Vec<String> {
        let AwsAccount { partition, id } = account;
        match self {
            Self::Any => vec![format!("arn:{partition}:aps:*:{id}:workspace/*")],
            Self::Listed(arns) => arns.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
