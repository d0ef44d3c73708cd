//! `prometheusremotewrite`: translated series to Prometheus remote write 1.0, with AWS's signature where that is asked
//! for.
//!
//! Every sample is followed to its end: it is written, or lost and counted under one reason. A series belongs to one
//! shard, and a shard has one request on its way: so the samples of a series stay in order whatever fails between.
//!
//! `queue.rs` and `shards.rs` hold what waits, `sender.rs` sends it, by the connection and the signature of
//! `transport.rs` and `aws/sign.rs`; `body.rs` encodes, `answer.rs` says what an answer means, `parts.rs` what becomes of
//! a request that is refused for what is in it, `refused.rs` which series are not sent for a while, `sizes.rs` how large
//! one may be, `gate.rs` how many go at a time, `reason.rs` and `account.rs` count.

mod account;
mod answer;
mod body;
mod gate;
mod parts;
mod queue;
mod reason;
mod refused;
mod sender;
mod shards;
mod sizes;
mod transport;

use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::task::JoinSet;
use tracepipe_config::{ClientTls, RemoteWriteSettings, SigV4Settings};

use self::sender::Sender;
use self::transport::Transport;
use super::aws::credentials::EarlyCredentials;
use super::aws::network::{self, Variable};
use super::aws::sign::{Scope, Signer};
use super::aws::skew::AwsClock;
use crate::clock::Clock;
use crate::limiter::MemoryLimiter;

pub use account::{Ended, LATENCY_BOUNDS, Latencies, RemoteWriteAccount};
pub(crate) use queue::SampleQueue;

/// The session's name in the logs of the role's account, where the settings name none.
const SESSION_NAME: &str = "tracepipe-collector";

/// The exporter, ready to run.
pub(crate) struct RemoteWriteExporter {
    sender: Sender,
}

// === impl RemoteWriteExporter ===

impl RemoteWriteExporter {
    /// Prepares the exporter; credentials are fetched and connections made when the first request goes. What waits may
    /// take `queue_bytes_max` bytes of memory.
    ///
    /// # Errors
    /// A region that nobody names; a file of authorities, a proxy or a header that cannot be used.
    pub(crate) async fn build(
        id: &str,
        settings: &RemoteWriteSettings,
        limiter: &MemoryLimiter,
        queue_bytes_max: u64,
    ) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let variable: Variable<'_> = &network::of_the_process;
        let ca_file = match &settings.tls {
            ClientTls::Insecure => None,
            ClientTls::Secure { ca_file } => ca_file.as_deref(),
        };
        let way = network::Way {
            setting: "exporters.prometheusremotewrite",
            proxy: settings.proxy_url.as_deref(),
            proxy_key: "proxy_url",
            ca_file,
            is_secure: settings.tls != ClientTls::Insecure,
            is_of_aws: settings.auth.is_some(),
        };
        let connector = network::connector(&way, variable)?;
        let signer = match &settings.auth {
            Some(auth) => Some(signer(auth, clock, variable).await?),
            None => None,
        };
        let transport = Transport::new(settings, connector, signer)?;
        let queue = SampleQueue::new(id, settings, limiter, queue_bytes_max, clock);
        Ok(Self {
            sender: Sender::new(settings, queue, transport, limiter.clone(), clock),
        })
    }

    /// The queue that the owner fills.
    pub(crate) fn queue(&self) -> SampleQueue {
        self.sender.queue.clone()
    }

    /// Starts to send, on the owner's set of local tasks. The tasks end when the queue is drained.
    pub(crate) fn spawn(self, tasks: &mut JoinSet<()>) {
        let sender = Rc::new(self.sender);
        for shard in 0..sender.queue.shards() {
            tasks.spawn_local(Rc::clone(&sender).run_shard(shard));
        }
        tasks.spawn_local(sender.run_metadata());
    }
}

/// Signs with what the environment gives, or with the role that is assumed with it.
///
/// # Errors
/// When neither the settings nor the environment name a region.
async fn signer(auth: &SigV4Settings, clock: Clock, variable: Variable<'_>) -> anyhow::Result<Signer> {
    let region = auth
        .region
        .clone()
        .or_else(|| variable("AWS_REGION"))
        .or_else(|| variable("AWS_DEFAULT_REGION"))
        .context("extensions.sigv4auth.region: no region; write one or set AWS_REGION")?;
    let mut loader =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).region(aws_config::Region::new(region.clone()));
    if let Some(http_client) = network::http_client(None, variable)? {
        loader = loader.http_client(http_client);
    }
    assemble(auth, region, &loader.load().await, clock).await
}

/// Makes the signer of what is the same for all of AWS.
async fn assemble(
    auth: &SigV4Settings,
    region: String,
    sdk: &SdkConfig,
    clock: Clock,
) -> anyhow::Result<Signer> {
    let aws = Arc::new(AwsClock::new(clock));
    let source = sdk.credentials_provider().context("no source of credentials")?;
    let mut credentials = EarlyCredentials::new(source, clock, Arc::clone(&aws));
    if let Some(role) = &auth.assume_role {
        let session_name = role.session_name.as_deref().unwrap_or(SESSION_NAME);
        let mut assumed = AssumeRoleProvider::builder(&role.arn)
            .configure(sdk)
            .session_name(session_name);
        if let Some(id) = &role.external_id {
            assumed = assumed.external_id(id);
        }
        if let Some(region) = &role.sts_region {
            assumed = assumed.region(aws_config::Region::new(region.clone()));
        }
        let source = SharedCredentialsProvider::new(assumed.build_from_provider(credentials).await);
        credentials = EarlyCredentials::new(source, clock, Arc::clone(&aws));
    }
    let scope = Scope {
        region,
        service: auth.service.clone(),
    };
    Ok(Signer::new(credentials, aws, scope))
}

#[cfg(test)]
mod tests;
