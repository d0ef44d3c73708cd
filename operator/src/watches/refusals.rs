//! Watches that the API server does not let the operator have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use kube::runtime::watcher::{Error, Event};
use tokio::sync::watch as channel;
use tokio::time::Instant;

use crate::clock::instant;
use crate::metrics::Metrics;

/// An API server that has just started refuses what it allows a moment later.
const PERSISTS: Duration = Duration::from_secs(5);
/// A refused watch is tried again within 60 s (30 s of kube's backoff, and as much jitter), and what is not refused any more
/// may have nothing to say: silence for longer means that it goes on.
const HOLDS: Duration = Duration::from_secs(65);

/// What is refused, by kind.
#[derive(Debug, Clone)]
pub(crate) struct Refusals {
    kinds: Arc<Mutex<BTreeMap<&'static str, Refusal>>>,
    metrics: Arc<Metrics>,
    turns: channel::Sender<u64>,
}

#[derive(Debug, Clone)]
struct Refusal {
    words: String,
    first: Instant,
    last: Instant,
}

impl Refusal {
    /// Worth telling.
    fn stands(&self, now: Instant) -> bool {
        self.last.duration_since(self.first) >= PERSISTS && self.is_fresh(now)
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.last) < HOLDS
    }
}

impl Refusals {
    /// None yet.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            kinds: Arc::default(),
            metrics,
            turns: channel::Sender::new(0),
        }
    }

    /// Takes in what a watch of `kind` says; answers it, unless it is an error.
    pub(crate) fn hear<K>(&self, kind: &'static str, event: Result<Event<K>, Error>) -> Option<Event<K>> {
        match event {
            Ok(event) => {
                match &event {
                    // Before the answer.
                    Event::Init => {}
                    Event::InitApply(_) | Event::InitDone | Event::Apply(_) | Event::Delete(_) => {
                        self.is_allowed(kind, instant());
                    }
                }
                Some(event)
            }
            Err(error) => {
                tracing::warn!(%error, "watching {kind}; trying again");
                if let Some(words) = refusal(&error) {
                    self.metrics.forbidden(&words);
                    self.is_refused(kind, words, instant());
                }
                None
            }
        }
    }

    /// What is said of `kind`.
    pub(crate) fn of(&self, kind: &str) -> Option<String> {
        let now = instant();
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kinds.get(kind).filter(|refusal| refusal.stands(now));
        found.map(|refusal| refusal.words.clone())
    }

    /// What is said of all kinds but this one.
    pub(crate) fn but(&self, kind: &str) -> Vec<String> {
        let now = instant();
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let others = kinds
            .iter()
            .filter(|(other, refusal)| **other != kind && refusal.stands(now));
        others.map(|(_, refusal)| refusal.words.clone()).collect()
    }

    /// Says that something began or ceased to stand.
    pub(crate) fn turns(&self) -> impl Stream<Item = ()> + Send + 'static {
        super::changes(&self.turns)
    }

    fn is_refused(&self, kind: &'static str, words: String, now: Instant) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kinds.get(kind).filter(|refusal| refusal.is_fresh(now));
        let stood = before.is_some_and(|refusal| refusal.stands(now));
        let refusal = Refusal {
            words,
            first: before.map_or(now, |refusal| refusal.first),
            last: now,
        };
        let stands = refusal.stands(now);
        kinds.insert(kind, refusal);
        if stands && !stood {
            self.turns.send_modify(|turn| *turn += 1);
        }
    }

    fn is_allowed(&self, kind: &'static str, now: Instant) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.remove(kind).is_some_and(|refusal| refusal.stands(now)) {
            self.turns.send_modify(|turn| *turn += 1);
        }
    }
}

/// Its words, when the answer is that something is not allowed.
fn refusal(error: &Error) -> Option<String> {
    match error {
        Error::InitialListFailed(kube::Error::Api(answer))
        | Error::WatchStartFailed(kube::Error::Api(answer))
            if answer.code == 403 =>
        {
            Some(answer.message.clone())
        }
        Error::WatchError(answer) if answer.code == 403 => Some(answer.message.clone()),
        Error::InitialListFailed(_)
        | Error::WatchStartFailed(_)
        | Error::WatchError(_)
        | Error::WatchFailed(_)
        | Error::NoResourceVersion => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &str) -> Result<Event<()>, Error> {
        let answer = kube::core::Status::failure(words, "Forbidden").with_code(403);
        Err(Error::WatchStartFailed(kube::Error::Api(answer.boxed())))
    }

    fn refusals() -> Refusals {
        Refusals::new(Arc::default())
    }

    async fn refused_for(refusals: &Refusals, kind: &'static str, time: Duration) {
        let end = instant() + time;
        while instant() < end {
            assert!(refusals.hear(kind, refused("no")).is_none());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_when_it_lasts_and_not_at_once() {
        let refusals = refusals();
        refused_for(&refusals, "pods", Duration::from_secs(3)).await;
        assert_eq!(refusals.of("pods"), None);
        refused_for(&refusals, "pods", Duration::from_secs(3)).await;
        assert_eq!(refusals.of("pods").as_deref(), Some("no"));
        assert_eq!(refusals.of("services"), None);
        assert!(refusals.but("pods").is_empty());
        assert_eq!(refusals.but("services"), ["no"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_or_an_event_ends_it() {
        for event in [Event::InitDone, Event::Apply(()), Event::Delete(())] {
            let refusals = refusals();
            refused_for(&refusals, "pods", Duration::from_secs(10)).await;
            // Each list begins with it, a refused one as well.
            refusals.hear("pods", Ok(Event::<()>::Init));
            assert!(refusals.of("pods").is_some());
            refusals.hear("pods", Ok(event));
            assert_eq!(refusals.of("pods"), None);
        }
    }

    /// A watch that is let through says nothing until something changes.
    #[tokio::test(start_paused = true)]
    async fn silence_for_longer_than_the_longest_pause_ends_it() {
        let refusals = refusals();
        refused_for(&refusals, "pods", Duration::from_secs(10)).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(refusals.of("pods").is_some());
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(refusals.of("pods"), None);
        // What comes much later is not the same.
        refusals.hear("pods", refused("no"));
        assert_eq!(refusals.of("pods"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn passes_are_asked_for_when_it_turns_and_not_each_time() {
        let refusals = refusals();
        let mut turns = refusals.turns.subscribe();
        refused_for(&refusals, "pods", Duration::from_secs(60)).await;
        refusals.hear("pods", Ok(Event::<()>::InitDone));
        assert_eq!(*turns.borrow_and_update(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_not_there_refuses_nothing() {
        let refusals = refusals();
        for _ in 0..10 {
            refusals.hear::<()>("pods", Err(Error::NoResourceVersion));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(refusals.of("pods"), None);
    }
}
