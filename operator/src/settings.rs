//! What the administrator decides: chart values, given as flags. Nothing here comes from a TracingPipeline.

use jiff::SignedDuration;

use crate::amp::WorkspaceArn;
use crate::iam::{Account, Issuer};

/// The administrator's part of every plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The collector's image.
    pub(crate) collector_image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub(crate) image_pull_policy: String,
    /// Names of Secrets in the pipeline's namespace.
    pub(crate) image_pull_secrets: Vec<String>,
    /// None: no priority.
    pub(crate) priority_class: Option<String>,
    /// For pipelines that name no region.
    pub(crate) region: Option<String>,
    /// Instead of the region's public X-Ray endpoint.
    pub(crate) xray_endpoint: Option<String>,
    /// Instead of the region's public STS endpoint.
    pub(crate) sts_endpoint: Option<String>,
    /// Certificate authorities in PEM that collectors trust besides the public ones.
    pub(crate) extra_ca: Option<String>,
    /// None: the operator makes no roles.
    pub(crate) managed_roles: Option<ManagedRoles>,
    /// Where metrics may go.
    pub(crate) amp: Amp,
    /// Who signs the cluster's tokens, if the operator's own token is not to say it.
    pub(crate) issuer: Option<Issuer>,
    /// A backend has to take nothing for this long before it is said.
    pub(crate) exporting_patience: SignedDuration,
}

/// Which `ampRemoteWriteEndpoint` a pipeline may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amp {
    /// What may be written to.
    pub(crate) workspaces: Workspaces,
    /// Scheme, host and port of endpoints that are not AWS's own.
    pub(crate) endpoints: Vec<String>,
}

/// Workspaces of Amazon Managed Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Workspaces {
    /// These; there may be none.
    Listed(Vec<WorkspaceArn>),
    /// Every one of the account.
    Any,
}

/// Of the roles that the operator makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagedRoles {
    /// Name of the EKS cluster, for the path and the tag on which the operator's own rights rest. A pipeline's
    /// `clusterName` is its author's and has no part in this.
    pub(crate) cluster: String,
    /// `/`, or `/.../`.
    pub(crate) path_prefix: String,
    /// ARN of the policy that bounds every role.
    pub(crate) boundary: Option<String>,
}

impl Default for Workspaces {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl ManagedRoles {
    /// The path of every role: `/.../CLUSTER/`.
    pub(crate) fn path(&self) -> String {
        format!("{}{}/", self.path_prefix, self.cluster)
    }
}

/// What was found out about the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The API server has `trafficDistribution: PreferSameNode` (beta and on in 1.34, KEP-3015).
    pub(crate) prefer_same_node: bool,
    /// Pods have IPv6 addresses and no others: an EKS cluster has one family.
    pub(crate) ipv6: bool,
    /// The region that all nodes name in `topology.kubernetes.io/region`; None when they name none or several.
    pub(crate) region_of_nodes: Option<String>,
    /// The AWS account that the operator works in; None: not known yet, or not needed.
    pub(crate) aws: Option<AwsAccount>,
    /// Who signs the cluster's tokens; None: the operator's own token names nobody whom AWS could trust.
    pub(crate) issuer: Option<Issuer>,
}

/// Where roles are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AwsAccount {
    /// `aws`, `aws-cn`, `aws-us-gov` or another.
    pub(crate) partition: String,
    /// Twelve digits.
    pub(crate) id: Account,
}

impl AwsAccount {
    /// Takes them out of any ARN that names an account.
    pub(crate) fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':');
        let (Some("arn"), Some(partition), Some(account)) = (parts.next(), parts.next(), parts.nth(2)) else {
            return None;
        };
        Some(Self {
            partition: partition.to_owned(),
            id: Account::parse(account).ok()?,
        })
    }
}
