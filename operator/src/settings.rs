//! What the administrator decides: chart values, given as flags. Nothing here comes from a TracingPipeline.

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
}
