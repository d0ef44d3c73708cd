//! Asks collectors what their exporters do: over the pod network, as anybody there could.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::net::TcpStream;
use tracepipe_crds::TracingPipeline;
use tracepipe_crds::conditions::types;

use super::answer::{Exporter, Unasked, read};
use super::{Asked, Times, Verdict};
use crate::clock::Clock;
use crate::names::HEALTH_PORT;
use crate::watches::{Pods, Watched};

/// Collectors asked at once, in one scope.
const AT_ONCE: usize = 32;
/// For a connection, a request and its answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// An answer has hundreds of bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How often is looked who is due.
const TICK: Duration = Duration::from_secs(5);

/// Namespace and name of a pipeline.
type Key = (String, String);

/// What is known of the collectors of one scope.
#[derive(Debug, Clone)]
pub(crate) struct Exporters {
    times: Times,
    asker: Asker,
    asked: Arc<Mutex<BTreeMap<Key, Asked>>>,
}

/// Asks one collector.
#[derive(Debug, Clone)]
pub(crate) enum Asker {
    /// Over the network.
    Http,
    /// A test's.
    #[cfg(test)]
    Fake(crate::testing::collectors::Collectors),
}

// === impl Exporters ===

impl Exporters {
    /// Nothing is known yet.
    pub(crate) fn new(times: Times, asker: Asker) -> Self {
        Self {
            times,
            asker,
            asked: Arc::default(),
        }
    }

    /// Asks collectors for ever, whenever they are due; says of which pipeline there is something new.
    pub(crate) fn follow(
        &self,
        pods: Pods,
        clock: Clock,
    ) -> impl Stream<Item = ObjectRef<Watched>> + Send + 'static {
        let tick = TICK.min(Duration::try_from(self.times.interval()).unwrap_or(TICK));
        stream::unfold(
            (self.clone(), pods, clock),
            move |(this, pods, clock)| async move {
                tokio::time::sleep(tick).await;
                let changed = this.round(&pods, &clock).await;
                Some((stream::iter(changed), (this, pods, clock)))
            },
        )
        .flatten()
        .map(|(namespace, name)| ObjectRef::new(&name).within(&namespace))
    }

    /// One round over all pipelines that are due, one after the other: so no more than [`AT_ONCE`] requests are open, however
    /// many there are. Answers those of which there is something new.
    pub(crate) async fn round(&self, pods: &Pods, clock: &Clock) -> Vec<Key> {
        let mut working = pods.working();
        for key in lock(&self.asked).keys() {
            working.entry(key.clone()).or_default();
        }
        let mut changed = Vec::new();
        for (key, working) in working {
            let now = clock.now();
            let round = {
                let mut asked = lock(&self.asked);
                let one = asked
                    .entry(key.clone())
                    .or_insert_with(|| Asked::new(self.times, now));
                one.next_round(&working, now)
            };
            let answers: Vec<_> = stream::iter(round)
                .map(|(name, at)| async move { (name, self.asker.ask(at).await) })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            let now = clock.now();
            let mut asked = lock(&self.asked);
            // It may have gone meanwhile.
            let Some(one) = asked.get_mut(&key) else { continue };
            for (name, answer) in answers {
                one.hear(name, answer, now);
            }
            if one.conclude(&working, now) {
                changed.push(key.clone());
            }
        }
        changed
    }

    /// What the condition of a pipeline says; None: what it said before.
    /// `started`: since when the operator runs.
    pub(crate) fn verdict(
        &self,
        pipeline: &TracingPipeline,
        started: Timestamp,
        now: Timestamp,
    ) -> Option<Verdict> {
        let conditions = pipeline
            .status
            .as_ref()
            .map(|status| status.conditions.as_slice());
        let old = conditions
            .unwrap_or_default()
            .iter()
            .find(|one| one.type_ == types::EXPORTING);
        let key = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
        let asked = lock(&self.asked);
        match asked.get(&key) {
            Some(one) => one.verdict(old.map(|old| old.reason.as_str()), now),
            None => Asked::new(self.times, started).verdict(None, now),
        }
    }

    /// Forgets a pipeline.
    pub(crate) fn forget(&self, namespace: &str, name: &str) {
        lock(&self.asked).remove(&(namespace.to_owned(), name.to_owned()));
    }
}

fn lock(asked: &Mutex<BTreeMap<Key, Asked>>) -> MutexGuard<'_, BTreeMap<Key, Asked>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Asker ===

impl Asker {
    async fn ask(&self, at: IpAddr) -> Result<Vec<Exporter>, Unasked> {
        match self {
            Self::Http => {
                let answer =
                    tokio::time::timeout(ANSWER_LIMIT, exchange(SocketAddr::new(at, HEALTH_PORT))).await;
                let body = answer.unwrap_or(Err(Unasked::NoAnswer))?;
                read(&body)
            }
            #[cfg(test)]
            Self::Fake(collectors) => read(&collectors.answer(at)?),
        }
    }
}

/// The body of a good answer.
async fn exchange(at: SocketAddr) -> Result<Bytes, Unasked> {
    let stream = TcpStream::connect(at).await.map_err(|_| Unasked::NoAnswer)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Unasked::NoAnswer)?;
    let request = Request::get("/exporters")
        .header(header::HOST, at.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|_| Unasked::OddAnswer)?;
    let mut exchange = std::pin::pin!(async move {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|_| Unasked::NoAnswer)?;
        match answer.status() {
            StatusCode::OK => {}
            // Going down, or stuck.
            StatusCode::SERVICE_UNAVAILABLE => return Err(Unasked::NoAnswer),
            _ => return Err(Unasked::OddAnswer),
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        body.map(|body| body.to_bytes()).map_err(|_| Unasked::OddAnswer)
    });
    tokio::select! {
        answer = &mut exchange => answer,
        // What it has brought is still to be read.
        _ended = connection => exchange.await,
    }
}

#[cfg(test)]
mod tests;
