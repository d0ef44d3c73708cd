//! A two-node Kubernetes cluster on this machine: see `tracepipe_e2e::cluster`.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracepipe_e2e::cluster::front::{self, KubeletAction, Wanted};
use tracepipe_e2e::cluster::network::Node;
use tracepipe_e2e::cluster::supervisor::{self, Options};

/// A real two-node Kubernetes cluster on this machine, one at a time. Needs root; TRACEPIPE_CLUSTER_BIN names the
/// programs, which e2e/tools/cluster/build.sh makes.
#[derive(Debug, Parser)]
#[command(name = "tracepipe-cluster", version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Start a cluster, run a command with KUBECONFIG set, remove the cluster
    Run {
        #[command(flatten)]
        wanted: Wanted,
        /// The command
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Start a cluster that stays, and print how to use and remove it
    Up {
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Remove the cluster, or what is left of one
    Down,
    /// Load image archives on both nodes of the running cluster
    Load {
        #[arg(required = true, value_name = "TAR")]
        images: Vec<PathBuf>,
    },
    /// Pause or resume a node's kubelet
    Kubelet { action: KubeletAction, node: Node },
    /// Run a command inside control-plane, node1 or node2
    Exec {
        machine: String,
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Hold a cluster: what run and up start
    #[command(hide = true)]
    Supervise {
        #[command(flatten)]
        wanted: Wanted,
        #[arg(long)]
        purpose: String,
        #[arg(long)]
        until_stdin_ends: bool,
    },
}

// One thread: the programs of a cluster end with the thread that started them (PR_SET_PDEATHSIG).
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match act(Arguments::parse().what).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn act(what: What) -> anyhow::Result<u8> {
    match what {
        What::Run { wanted, command } => return front::run(&wanted, &command).await,
        What::Exec { machine, command } => return front::exec(&machine, &command).await,
        What::Up { wanted } => front::up(&wanted).await?,
        What::Down => front::down().await?,
        What::Load { images } => front::load(&images).await?,
        What::Kubelet { action, node } => front::kubelet(action, node).await?,
        What::Supervise {
            wanted,
            purpose,
            until_stdin_ends,
        } => {
            let options = Options {
                purpose,
                images: wanted.image,
                fake_aws: wanted.fake_aws,
                keep_logs: wanted.keep_logs,
                until_stdin_ends,
            };
            return Ok(u8::from(!supervisor::supervise(options).await));
        }
    }
    Ok(0)
}
