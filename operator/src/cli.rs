//! The command line. Each flag of `run` has an environment variable; the chart sets flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::controller::Scope;
use crate::iam::{Account, Issuer, Surroundings};
use crate::settings::{Facts, Settings};

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
    Validate(ValidateArguments),
    /// Print what the operator would make of a TracingPipeline.
    Render(RenderArguments),
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
    /// For --iam and identity type IRSA: the cluster's OpenID Connect issuer.
    #[arg(long, value_name = "URL", value_parser = Issuer::parse)]
    issuer: Option<Issuer>,
    /// For --iam and identity type PodIdentity: the AWS account of the cluster.
    #[arg(long, value_name = "ID", value_parser = Account::parse)]
    account: Option<Account>,
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
}

impl RunArguments {
    /// The administrator's part.
    ///
    /// # Errors
    /// When the file of certificate authorities cannot be read.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        self.administration.settings()
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
            issuer: self.issuer.clone(),
            account: self.account.clone(),
        }
    }

    /// As [`RunArguments::settings`].
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        self.administration.settings()
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
        })
    }
}

fn url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => Ok(text.to_owned()),
        _ => Err("write an http or https URL".to_owned()),
    }
}
