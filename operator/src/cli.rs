//! The command line. Each flag of `run` has an environment variable; the chart sets flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use tracepipe_crds::values::WorkspaceUrl;

use crate::amp::WorkspaceArn;
use crate::controller::Scope;
use crate::exporting::PATIENCE;
use crate::iam::{Account, Issuer, Surroundings};
use crate::settings::{Amp, AwsAccount, Facts, ManagedRoles, Settings, Workspaces};

/// Turns TracingPipelines into trace collectors, one on every node.
#[derive(Debug, Parser)]
#[command(name = "tracepipe-operator", version)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look after the TracingPipelines of a cluster.
    Run(Box<RunArguments>),
    /// Print the CustomResourceDefinition.
    Crd,
    /// Check TracingPipelines as the API server and the operator would; exit status 2 when one is refused.
    Validate(Box<ValidateArguments>),
    /// Print what the operator would make of a TracingPipeline.
    Render(Box<RenderArguments>),
    /// Print the IAM policy of the operator's own role: what it needs to make the roles of TracingPipelines.
    IamPolicy(IamPolicyArguments),
    /// Delete the IAM roles that the operator has made, before it is uninstalled; the TracingPipelines stay.
    Cleanup(Box<CleanupArguments>),
}

/// Of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Namespaces whose TracingPipelines are looked after, separated by commas; `*` for all.
    #[arg(long, env = "TRACEPIPE_NAMESPACES", value_parser = Scope::parse)]
    pub(crate) namespaces: Scope,
    /// Where /livez and /readyz are answered.
    #[arg(long, env = "TRACEPIPE_HEALTH_ADDRESS", default_value = "0.0.0.0:8081")]
    pub(crate) health_address: SocketAddr,
    /// Where /metrics is answered.
    #[arg(long, env = "TRACEPIPE_METRICS_ADDRESS", default_value = "0.0.0.0:8080")]
    pub(crate) metrics_address: SocketAddr,
    /// Form of the log.
    #[arg(long, env = "TRACEPIPE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub(crate) log_format: LogFormat,
    /// Least severe lines of the log: error, warn, info or debug.
    #[arg(long, env = "TRACEPIPE_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: tracing_subscriber::filter::LevelFilter,
    /// Seconds that a backend has to take nothing before Exporting is False; for tests.
    #[arg(long, hide = true, default_value_t = 180, value_parser = clap::value_parser!(u16).range(3..=3600))]
    exporting_patience: u16,
    #[command(flatten)]
    administration: Administration,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What the administrator decides, in every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Administration {
    /// Image of the collectors.
    #[arg(long, env = "TRACEPIPE_COLLECTOR_IMAGE", default_value = concat!("tracepipe.dev/collector:", env!("CARGO_PKG_VERSION")))]
    collector_image: String,
    /// When nodes pull it.
    #[arg(long, env = "TRACEPIPE_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"], default_value = "IfNotPresent")]
    image_pull_policy: String,
    /// Secrets to pull it with, separated by commas.
    #[arg(long, env = "TRACEPIPE_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    image_pull_secrets: Vec<String>,
    /// PriorityClass of the collectors.
    #[arg(long, env = "TRACEPIPE_PRIORITY_CLASS")]
    priority_class: Option<String>,
    /// AWS region of TracingPipelines that name none.
    #[arg(long, env = "TRACEPIPE_REGION")]
    region: Option<String>,
    /// X-Ray endpoint instead of the region's public one, for example of a VPC endpoint.
    #[arg(long, env = "TRACEPIPE_XRAY_ENDPOINT", value_parser = url)]
    xray_endpoint: Option<String>,
    /// STS endpoint instead of the region's public one.
    #[arg(long, env = "TRACEPIPE_STS_ENDPOINT", value_parser = url)]
    sts_endpoint: Option<String>,
    /// Name of the EKS cluster. With it the operator makes the IAM roles of TracingPipelines that name none.
    #[arg(long, env = "TRACEPIPE_CLUSTER_NAME", value_parser = cluster_name)]
    cluster_name: Option<String>,
    /// Start of the path of the roles that the operator makes; the cluster's name comes behind it.
    #[arg(long, env = "TRACEPIPE_ROLE_PATH_PREFIX", default_value = "/tracing-pipeline/", value_parser = path_prefix)]
    role_path_prefix: String,
    /// ARN of the policy that bounds every role that the operator makes.
    #[arg(long, env = "TRACEPIPE_PERMISSIONS_BOUNDARY", value_parser = policy_arn)]
    permissions_boundary: Option<String>,
    /// ARNs of the AMP workspaces that a TracingPipeline may write metrics to, separated by commas; `*` for every one of the
    /// account. Default: none.
    #[arg(long, env = "TRACEPIPE_AMP_WORKSPACES", value_parser = workspaces, default_value = "")]
    amp_workspaces: Workspaces,
    /// Scheme, host and port of AMP endpoints that are not AWS's own, for example of a proxy, separated by commas.
    #[arg(long, env = "TRACEPIPE_AMP_ENDPOINTS", value_parser = origin, value_delimiter = ',')]
    amp_endpoints: Vec<String>,
    /// The cluster's OpenID Connect issuer. Default, where the operator runs: as its own token names it.
    #[arg(long, value_name = "URL", env = "TRACEPIPE_ISSUER", value_parser = Issuer::parse)]
    issuer: Option<Issuer>,
    /// Certificate authorities (PEM) that collectors trust besides the public ones.
    #[arg(long, env = "TRACEPIPE_EXTRA_CA_FILE")]
    extra_ca_file: Option<PathBuf>,
}

/// Of `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    /// YAML with one or more documents; `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    #[command(flatten)]
    administration: Administration,
}

/// Of `render`.
#[derive(Debug, Args)]
pub(crate) struct RenderArguments {
    /// YAML with one or more documents; `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Output::Manifests)]
    output: Output,
    /// The same as --output iam.
    #[arg(long, conflicts_with = "output")]
    iam: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    #[command(flatten)]
    administration: Administration,
}

/// What `render` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// The objects, without what only a cluster gives (UIDs).
    Manifests,
    /// The collector's configuration.
    CollectorConfig,
    /// The policies of the collectors' IAM role as JSON: AssumeRolePolicyDocument (who may be it) and PolicyDocument
    /// (what it may do), as the IAM API calls them.
    Iam,
}

/// What `run` finds out by itself.
#[derive(Debug, Args)]
pub(crate) struct ClusterArguments {
    /// Version of the cluster, for example 1.34.
    #[arg(long, default_value = "1.34")]
    kubernetes_version: String,
    /// Region that the nodes name in topology.kubernetes.io/region.
    #[arg(long)]
    node_region: Option<String>,
    /// The cluster's pods have IPv6 addresses.
    #[arg(long)]
    ipv6: bool,
    /// The AWS account of the cluster: for roles that the operator makes, and for --iam with identity type PodIdentity.
    #[arg(long, value_name = "ID", value_parser = Account::parse)]
    account: Option<Account>,
    /// The AWS partition of the cluster.
    #[arg(long, default_value = "aws", value_parser = partition)]
    partition: String,
}

/// Of `cleanup`.
#[derive(Debug, Args)]
pub(crate) struct CleanupArguments {
    /// As for run.
    #[arg(long, env = "TRACEPIPE_NAMESPACES", value_parser = Scope::parse)]
    pub(crate) namespaces: Scope,
    /// The operator's own Deployment, as NAMESPACE/NAME: it is scaled to zero first, or it would make the roles again.
    #[arg(long, value_parser = namespaced_name)]
    pub(crate) deployment: (String, String),
    /// What is not done after this many seconds is left, and the command fails.
    #[arg(long, default_value_t = 240)]
    pub(crate) timeout: u64,
    /// Form of the log.
    #[arg(long, env = "TRACEPIPE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub(crate) log_format: LogFormat,
    #[command(flatten)]
    administration: Administration,
}

/// Of `iam-policy`.
#[derive(Debug, Args)]
pub(crate) struct IamPolicyArguments {
    /// The AWS account of the roles.
    #[arg(long, value_name = "ID", value_parser = Account::parse)]
    pub(crate) account: Account,
    /// Name of the EKS cluster, as in the chart's aws.clusterName.
    #[arg(long, value_parser = cluster_name)]
    cluster_name: String,
    /// As in the chart's aws.rolePathPrefix.
    #[arg(long, default_value = "/tracing-pipeline/", value_parser = path_prefix)]
    role_path_prefix: String,
    /// ARN of the policy that bounds every role, as in the chart's aws.permissionsBoundary.
    #[arg(long, value_parser = policy_arn)]
    permissions_boundary: Option<String>,
    /// The AWS partition of the account.
    #[arg(long, default_value = "aws", value_parser = partition)]
    pub(crate) partition: String,
    /// Print the permissions boundary instead: the most that any role of a TracingPipeline may do.
    #[arg(long)]
    pub(crate) boundary: bool,
    /// As in the chart's aws.amp.workspaces, for --boundary: ARNs separated by commas, or `*`.
    #[arg(long, value_parser = workspaces, default_value = "")]
    pub(crate) amp_workspaces: Workspaces,
}

impl RunArguments {
    /// The administrator's part.
    ///
    /// # Errors
    /// When the file of certificate authorities cannot be read.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings {
            exporting_patience: SignedDuration::from_secs(self.exporting_patience.into()),
            ..self.administration.settings()?
        })
    }
}

impl ValidateArguments {
    /// As [`RunArguments::settings`].
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        self.administration.settings()
    }
}

impl RenderArguments {
    /// What to print.
    pub(crate) fn output(&self) -> Output {
        if self.iam { Output::Iam } else { self.output }
    }

    /// What the policies of a role need besides the pipeline.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            issuer: self.administration.issuer.clone(),
            account: self.cluster.account.clone(),
        }
    }

    /// As [`RunArguments::settings`].
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        self.administration.settings()
    }

    /// As if found out.
    pub(crate) fn facts(&self) -> Facts {
        Facts {
            issuer: self.administration.issuer.clone(),
            ..self.cluster.facts()
        }
    }
}

impl CleanupArguments {
    /// As [`Settings::issuer`].
    pub(crate) fn issuer(&self) -> Option<Issuer> {
        self.administration.issuer.clone()
    }

    /// As [`RunArguments::settings`].
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        self.administration.settings()
    }
}

impl IamPolicyArguments {
    /// Where the roles are.
    pub(crate) fn aws(&self) -> AwsAccount {
        AwsAccount {
            partition: self.partition.clone(),
            id: self.account.clone(),
        }
    }

    /// Of the roles that the operator shall be allowed to make.
    pub(crate) fn managed_roles(&self) -> ManagedRoles {
        ManagedRoles {
            cluster: self.cluster_name.clone(),
            path_prefix: self.role_path_prefix.clone(),
            boundary: self.permissions_boundary.clone(),
        }
    }
}

impl ClusterArguments {
    /// As if found out.
    pub(crate) fn facts(&self) -> Facts {
        let (major, minor) = self
            .kubernetes_version
            .split_once('.')
            .unwrap_or((&self.kubernetes_version, "0"));
        Facts {
            prefer_same_node: crate::controller::knows_prefer_same_node(major.trim_start_matches('v'), minor),
            ipv6: self.ipv6,
            region_of_nodes: self.node_region.clone(),
            aws: self.account.clone().map(|id| AwsAccount {
                partition: self.partition.clone(),
                id,
            }),
            issuer: None,
        }
    }
}

impl Administration {
    fn settings(&self) -> anyhow::Result<Settings> {
        let extra_ca = match &self.extra_ca_file {
            None => None,
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
                anyhow::ensure!(
                    text.contains("-----BEGIN CERTIFICATE-----"),
                    "{} holds no certificate in PEM",
                    file.display()
                );
                Some(text)
            }
        };
        Ok(Settings {
            collector_image: self.collector_image.clone(),
            image_pull_policy: self.image_pull_policy.clone(),
            image_pull_secrets: self.image_pull_secrets.clone(),
            priority_class: self.priority_class.clone(),
            region: self.region.clone(),
            xray_endpoint: self.xray_endpoint.clone(),
            sts_endpoint: self.sts_endpoint.clone(),
            extra_ca,
            amp: Amp {
                workspaces: self.amp_workspaces.clone(),
                endpoints: self.amp_endpoints.clone(),
            },
            issuer: self.issuer.clone(),
            exporting_patience: PATIENCE,
            managed_roles: self.cluster_name.clone().map(|cluster| ManagedRoles {
                cluster,
                path_prefix: self.role_path_prefix.clone(),
                boundary: self.permissions_boundary.clone(),
            }),
        })
    }
}

/// As EKS names clusters. <https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html>
fn cluster_name(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let starts = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts && text.len() <= 100 && text.bytes().all(inner) {
        return Ok(text.to_owned());
    }
    Err("write letters, digits, hyphens and underscores, at most 100, a letter or digit first".to_owned())
}

/// A path has at most 512 characters, the cluster's name and two slashes among them.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>
fn path_prefix(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.');
    let is_whole = text.starts_with('/') && text.ends_with('/') && !text.contains("//");
    if is_whole && text.len() <= 400 && text.bytes().all(inner) {
        return Ok(text.to_owned());
    }
    Err(
        "write a path such as /tracing-pipeline/, with letters, digits, hyphens, underscores and dots"
            .to_owned(),
    )
}

fn policy_arn(text: &str) -> Result<String, String> {
    let path = text
        .split_once(":policy/")
        .map(|(_, path)| path)
        .unwrap_or_default();
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&byte);
    let is_iam = text.split(':').nth(2) == Some("iam") && text.split(':').count() == 6;
    // AWS's own policies are of the account `aws`.
    if is_iam && text.starts_with("arn:aws") && !path.is_empty() && path.bytes().all(inner) {
        return Ok(text.to_owned());
    }
    Err("write the ARN of a policy: arn:aws:iam::ACCOUNT:policy/NAME".to_owned())
}

fn partition(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    if text.starts_with("aws") && text.bytes().all(inner) {
        return Ok(text.to_owned());
    }
    Err("write aws, aws-cn, aws-us-gov or another that AWS has".to_owned())
}

fn namespaced_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("write NAMESPACE/NAME".to_owned()),
    }
}

fn workspaces(text: &str) -> Result<Workspaces, String> {
    match text {
        "*" => Ok(Workspaces::Any),
        "" => Ok(Workspaces::default()),
        arns => {
            let arns = arns.split(',').map(WorkspaceArn::parse);
            arns.collect::<Result<_, _>>().map(Workspaces::Listed)
        }
    }
}

/// What stands before the path of an `ampRemoteWriteEndpoint`.
fn origin(text: &str) -> Result<String, String> {
    let url = format!("{text}/workspaces/ws-0/api/v1/remote_write");
    match WorkspaceUrl::parse(&url) {
        Some(found) if found.origin == text => Ok(text.to_owned()),
        Some(_) | None => {
            Err("write scheme, host and port, without a path: https://amp.internal:8443".to_owned())
        }
    }
}

fn url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => Ok(text.to_owned()),
        _ => Err("write an http or https URL".to_owned()),
    }
}
