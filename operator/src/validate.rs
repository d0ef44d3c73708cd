//! Whether a pipeline's spec can become collectors. Pure: what is refused here has touched nothing.

use tracepipe_config::Config;
use tracepipe_crds::conditions::reasons;
use tracepipe_crds::values::Percentage;
use tracepipe_crds::{
    Identity, IdentityType, Mode, TracingPipeline, TracingPipelineSpec, TrafficPolicy, rules,
};

use crate::amp::{self, Target};
use crate::collector_config;
use crate::iam::{ACCOUNT_NEEDED, Rights};
use crate::managed_role::Role;
use crate::settings::{AwsAccount, Facts, Settings};

/// A spec that can become collectors, with everything found out that it left open.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accepted {
    /// The collector's configuration; [`Config::resolve`] has taken it.
    pub(crate) config: Config,
    /// Where traces go, and STS is asked; None when nothing goes to AWS.
    pub(crate) region: Option<String>,
    /// In percent.
    pub(crate) sampling_rate: Percentage,
    /// What the Service does in this cluster.
    pub(crate) traffic_policy: TrafficPolicy,
    /// Where metrics go; None when they go nowhere.
    pub(crate) amp: Option<Target>,
    /// Where the collectors' credentials come from.
    pub(crate) credentials: Credentials,
    /// Whether traces go to X-Ray.
    xray: bool,
}

/// How collectors get AWS credentials.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Credentials {
    /// The ServiceAccount's token is exchanged for this role (its ARN).
    Role(String),
    /// The ServiceAccount's token is exchanged for a role that the operator makes; None while the account or the
    /// cluster's issuer is not known.
    Managed(Option<Box<Role>>),
    /// The ServiceAccount's token is taken to the node's EKS Pod Identity Agent.
    PodIdentity {
        /// The agent is asked at its IPv6 address.
        ipv6: bool,
    },
    /// Whatever is there.
    Ambient,
    /// None: nothing goes to AWS.
    NotNeeded,
}

impl Credentials {
    /// The role that the ServiceAccount's token is exchanged for.
    pub(crate) fn role_arn(&self) -> Option<&str> {
        match self {
            Self::Role(arn) => Some(arn),
            Self::Managed(role) => Some(&role.as_ref()?.arn),
            Self::PodIdentity { .. } | Self::Ambient | Self::NotNeeded => None,
        }
    }

    /// The role that the operator shall make.
    pub(crate) fn managed(&self) -> Option<&Role> {
        match self {
            Self::Managed(role) => role.as_deref(),
            Self::Role(_) | Self::PodIdentity { .. } | Self::Ambient | Self::NotNeeded => None,
        }
    }
}

impl Accepted {
    /// What the collectors' role has to allow. A role that nothing is sent with may do what it is there for: write traces.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub(crate) fn rights(&self) -> Result<Rights, String> {
        rights(self.xray, self.amp.as_ref()).ok_or_else(|| ACCOUNT_NEEDED.to_owned())
    }
}

/// None while the account of the workspace is not known.
fn rights(xray: bool, amp: Option<&Target>) -> Option<Rights> {
    let workspaces = match amp {
        None => Vec::new(),
        Some(target) => vec![target.workspace.as_ref()?.to_string()],
    };
    let xray = xray || workspaces.is_empty();
    Some(Rights { xray, workspaces })
}

/// Why a spec cannot become collectors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// One of [`reasons`], of the condition ConfigAccepted.
    pub(crate) reason: &'static str,
    /// Every reason with its place and the way out, a line each.
    pub(crate) message: String,
}

/// Decides. What it accepts, the collector of the same release takes: it is asked by the same code.
pub(crate) fn validate(
    pipeline: &TracingPipeline,
    settings: &Settings,
    facts: &Facts,
) -> Result<Accepted, Refusal> {
    let broken = rules::violations(pipeline);
    if !broken.is_empty() {
        let lines = broken.iter().map(|one| format!("{}: {}", one.path, one.message));
        return Err(invalid(lines));
    }
    let spec = &pipeline.spec;
    let xray = spec.exporters.xray.mode == Mode::Enabled;
    let region = match region(pipeline, settings, facts) {
        None if sends_to_aws(spec) => {
            return Err(Refusal {
                reason: reasons::REGION_UNKNOWN,
                message: "no AWS region: set spec.region, or the chart's aws.region, or label the nodes with one topology.kubernetes.io/region"
                    .to_owned(),
            });
        }
        region => region,
    };
    let Some(sampling_rate) = Percentage::parse(&spec.sampling_rate_percentage) else {
        let line = format!("spec.samplingRatePercentage: {}", rules::message::PERCENTAGE);
        return Err(invalid([line]));
    };
    let amp = amp(spec, settings, region.as_deref(), facts)?;
    let config = collector_config::build(spec, settings, region.as_deref(), amp.as_ref()).map_err(invalid)?;
    if let Err(errors) = config.resolve() {
        let lines = errors.errors().iter();
        return Err(invalid(lines.map(|error| collector_config::in_spec(error, spec))));
    }
    let credentials = credentials(pipeline, settings, facts, rights(xray, amp.as_ref()))?;
    Ok(Accepted {
        config,
        region,
        sampling_rate,
        traffic_policy: traffic_policy(spec.service.traffic_policy, facts),
        amp,
        credentials,
        xray,
    })
}

/// Whether a role is needed that the operator would have to make.
pub(crate) fn wants_managed_role(pipeline: &TracingPipeline) -> bool {
    let Identity { kind, role_arn, .. } = &pipeline.spec.identity;
    *kind == IdentityType::Irsa && role_arn.is_none() && sends_to_aws(&pipeline.spec)
}

fn sends_to_aws(spec: &TracingPipelineSpec) -> bool {
    spec.exporters.xray.mode == Mode::Enabled || spec.amp_remote_write_endpoint.is_some()
}

/// The account of a workspace is that of the role, where the administrator does not name its ARN.
fn amp(
    spec: &TracingPipelineSpec,
    settings: &Settings,
    region: Option<&str>,
    facts: &Facts,
) -> Result<Option<Target>, Refusal> {
    let Some(endpoint) = &spec.amp_remote_write_endpoint else {
        return Ok(None);
    };
    let account = match &spec.identity.role_arn {
        Some(role) => AwsAccount::of_arn(role),
        None => facts.aws.clone(),
    };
    let target = amp::target(endpoint, region, account.as_ref(), &settings.amp);
    let refuse = |why| invalid([format!("spec.ampRemoteWriteEndpoint: {why}")]);
    target.map(Some).map_err(refuse)
}

fn credentials(
    pipeline: &TracingPipeline,
    settings: &Settings,
    facts: &Facts,
    rights: Option<Rights>,
) -> Result<Credentials, Refusal> {
    let identity = &pipeline.spec.identity;
    let managed = match (identity.kind, &identity.role_arn) {
        (IdentityType::Irsa, Some(role)) => return Ok(Credentials::Role(role.clone())),
        (IdentityType::PodIdentity, _) => return Ok(Credentials::PodIdentity { ipv6: facts.ipv6 }),
        (IdentityType::Ambient, _) => return Ok(Credentials::Ambient),
        (IdentityType::Irsa, None) if !sends_to_aws(&pipeline.spec) => return Ok(Credentials::NotNeeded),
        (IdentityType::Irsa, None) => settings.managed_roles.as_ref(),
    };
    let Some(managed) = managed else {
        return Err(Refusal {
            reason: reasons::MANAGED_ROLES_OFF,
            message: "spec.identity.roleArn: this operator makes no roles: set the chart's aws.clusterName so that it does, or roleArn to a role of yours, or type to PodIdentity or Ambient"
                .to_owned(),
        });
    };
    let (Some(aws), Some(issuer), Some(rights)) = (&facts.aws, &facts.issuer, rights) else {
        return Ok(Credentials::Managed(None));
    };
    let role = Role::new(pipeline, managed, aws, issuer, &rights).map_err(|wrong| invalid([wrong]))?;
    Ok(Credentials::Managed(Some(Box::new(role))))
}

fn invalid(lines: impl IntoIterator<Item = String>) -> Refusal {
    Refusal {
        reason: reasons::INVALID_CONFIG,
        message: lines.into_iter().collect::<Vec<_>>().join("\n"),
    }
}

/// The spec's, else the administrator's, else the nodes'.
fn region(pipeline: &TracingPipeline, settings: &Settings, facts: &Facts) -> Option<String> {
    let found = [&pipeline.spec.region, &settings.region, &facts.region_of_nodes];
    found.into_iter().flatten().next().cloned()
}

/// Older clusters have no `PreferSameNode`; there an application reaches its own node's collector or none.
fn traffic_policy(wanted: TrafficPolicy, facts: &Facts) -> TrafficPolicy {
    match wanted {
        TrafficPolicy::PreferSameNode if !facts.prefer_same_node => TrafficPolicy::Local,
        TrafficPolicy::PreferSameNode | TrafficPolicy::Local | TrafficPolicy::Cluster => wanted,
    }
}

#[cfg(test)]
mod tests;
