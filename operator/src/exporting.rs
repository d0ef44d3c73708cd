//! Whether the collectors' backends take what is sent to them, from what the collectors say when they are asked. Pure: time is
//! a parameter, and what is said changes only when it has to, so that at rest nothing is written.
//!
//! Collectors have no rights in Kubernetes, so they tell nobody: the operator asks them over the pod network
//! ([`asking`]), and makes of the answers the condition `Exporting`.

mod answer;
pub(crate) mod asking;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, Unit};
use tracepipe_crds::conditions::reasons;

use answer::Goods;
pub(crate) use answer::{Cause, Exporter, Unasked};

/// A backend has to take nothing for this long before it is said.
pub(crate) const PATIENCE: SignedDuration = SignedDuration::from_mins(3);
/// A pipeline's collectors are asked this often, if none is due sooner.
const INTERVAL: SignedDuration = SignedDuration::from_mins(1);
/// Collectors of a pipeline that are asked in a round, when that is enough to ask each in [`ROUNDS_MAX`].
const PODS_A_ROUND: usize = 32;
/// All of a pipeline's collectors are asked within this many rounds.
const ROUNDS_MAX: usize = 8;

/// What is said before anything is known.
pub(crate) const NOT_ASKED: &str = "no collector that works was asked yet";

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    patience: SignedDuration,
}

/// What is known of a pipeline's collectors: one record for each, of bounded size.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    times: Times,
    collectors: BTreeMap<String, Collector>,
    /// Since when the operator asks.
    begun: Timestamp,
    /// When the next round is.
    due: Timestamp,
    /// The last collector of the last round.
    last: String,
    /// How long an answer holds.
    holds: SignedDuration,
    last_told: Option<Timestamp>,
    said: Finding,
    /// Since when what is found of a trouble is other than what is said of it.
    otherwise_since: Option<Timestamp>,
}

#[derive(Debug, Clone, Default)]
struct Collector {
    told: Option<(Timestamp, Vec<Exporter>)>,
    unasked: Option<Unasked>,
    /// When spans were lost last: of which exporter, and why.
    lost: Option<(Timestamp, String, String)>,
}

/// What the condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// True, False or Unknown.
    pub(crate) status: &'static str,
    /// In one word.
    pub(crate) reason: &'static str,
    /// In sentences.
    pub(crate) message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    /// There was nobody to ask.
    NotAsked,
    /// Nobody could be asked.
    Unasked(Unasked),
    /// Nothing is wrong.
    Exporting,
    /// Something is.
    Trouble(Trouble),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    exporter: String,
    kind: Kind,
    extent: Extent,
    since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The backend takes nothing: why, in its own word, and whether spans are lost by it already.
    Failing {
        cause: Cause,
        code: String,
        losing: bool,
    },
    /// Some spans are lost, by this reason.
    Losing(String),
}

/// On how many of the collectors that were asked. A count would be another one each minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    One,
    Several,
    Every,
}

// === impl Times ===

impl Times {
    /// All of them follow from the patience; with [`PATIENCE`] a round a minute, and five minutes of calm.
    pub(crate) fn new(patience: SignedDuration) -> Self {
        Self { patience }
    }

    fn interval(self) -> SignedDuration {
        (self.patience / 3).min(INTERVAL)
    }

    /// After the last lost span, and before other words are found for a trouble that lasts.
    fn calm(self) -> SignedDuration {
        self.patience * 5 / 3
    }
}

// === impl Asked ===

impl Asked {
    /// Nothing is known yet.
    pub(crate) fn new(times: Times, now: Timestamp) -> Self {
        Self {
            times,
            collectors: BTreeMap::new(),
            begun: now,
            due: now,
            last: String::new(),
            holds: times.interval() * 4,
            last_told: None,
            said: Finding::NotAsked,
            otherwise_since: None,
        }
    }

    /// The collectors to ask now, of those that work: all in their turns.
    pub(crate) fn next_round<T: Clone>(
        &mut self,
        working: &BTreeMap<String, T>,
        now: Timestamp,
    ) -> Vec<(String, T)> {
        if now < self.due {
            return Vec::new();
        }
        self.due = now + self.times.interval();
        let at_once = PODS_A_ROUND.max(working.len().div_ceil(ROUNDS_MAX));
        let rounds = i32::try_from(working.len().div_ceil(at_once)).unwrap_or(i32::MAX);
        self.holds = self.times.interval() * (rounds + 3);
        let behind = working.range::<String, _>((
            std::ops::Bound::Excluded(self.last.clone()),
            std::ops::Bound::Unbounded,
        ));
        let round: Vec<(String, T)> = behind
            .chain(working.range(..=self.last.clone()))
            .take(at_once)
            .map(|(name, one)| (name.clone(), one.clone()))
            .collect();
        if let Some((last, _)) = round.last() {
            self.last.clone_from(last);
        }
        round
    }

    /// Takes a collector's answer in.
    pub(crate) fn hear(&mut self, name: String, answer: Result<Vec<Exporter>, Unasked>, now: Timestamp) {
        let collector = self.collectors.entry(name).or_default();
        let exporters = match answer {
            Ok(exporters) => exporters,
            Err(unasked) => {
                collector.unasked = Some(unasked);
                return;
            }
        };
        let before = collector.told.take();
        if let Some((_, before)) = &before
            && let Some((exporter, reason)) = answer::newly_lost(before, &exporters)
        {
            collector.lost = Some((now, exporter, reason));
        }
        collector.told = Some((now, exporters));
        self.last_told = Some(now);
    }

    /// What follows from all answers. True: it is not what was said before. `working`: the collectors that there are.
    pub(crate) fn conclude<T>(&mut self, working: &BTreeMap<String, T>, now: Timestamp) -> bool {
        self.collectors.retain(|name, _| working.contains_key(name));
        let before = self.said.clone();
        let found = self.find(now);
        self.say(found, now);
        self.said != before
    }

    /// What the condition says. None: what it said under an operator before this one still stands.
    pub(crate) fn verdict(&self, old_reason: Option<&str>, now: Timestamp) -> Option<Verdict> {
        let age = now.duration_since(self.begun);
        let unknown = self.said == Finding::NotAsked && age < self.holds;
        // The counts from before are not known any more.
        let loses_yet = self.said == Finding::Exporting
            && old_reason == Some(reasons::LOSING_SPANS)
            && age < self.times.calm();
        (!unknown && !loses_yet).then(|| self.said.verdict())
    }

    fn find(&self, now: Timestamp) -> Finding {
        let holds = |at: Timestamp| now.duration_since(at) < self.holds;
        let told: Vec<(&Collector, &[Exporter])> = self
            .collectors
            .values()
            .filter_map(|one| {
                let (at, exporters) = one.told.as_ref()?;
                holds(*at).then_some((one, exporters.as_slice()))
            })
            .collect();
        if told.is_empty() {
            // Pods that come in the place of others are asked soon.
            if self.last_told.is_some_and(holds) {
                return self.said.clone();
            }
            let unasked = self.collectors.values().filter_map(|one| one.unasked).min();
            return unasked.map_or(Finding::NotAsked, Finding::Unasked);
        }
        let found = self.failing(&told, now).or_else(|| self.losing(&told, now));
        match (found, &self.said) {
            (Some(trouble), _) => Finding::Trouble(trouble),
            // New pods fail anew, and not for long yet: nothing has got better.
            (None, Finding::Trouble(trouble))
                if trouble.is_failing() && all_fail(&told, &trouble.exporter) =>
            {
                self.said.clone()
            }
            (None, _) => Finding::Exporting,
        }
    }

    /// The first of what fails for long enough.
    fn failing(&self, told: &[(&Collector, &[Exporter])], now: Timestamp) -> Option<Trouble> {
        let all = || told.iter().flat_map(|(_, exporters)| exporters.iter());
        let lasting = |one: &Exporter| {
            let failing = one.failing.clone()?;
            (failing.age >= self.times.patience).then_some((one.id.clone(), failing))
        };
        let (exporter, first) = all().filter_map(lasting).min()?;
        let these = || all().filter_map(lasting).filter(|(id, _)| *id == exporter);
        let oldest = these().map(|(_, failing)| failing.age).max().unwrap_or(first.age);
        Some(Trouble {
            extent: Extent::of(these().count(), told.len()),
            kind: Kind::Failing {
                cause: first.cause,
                code: first.code,
                losing: told.iter().any(|(one, _)| self.loses(one, now)),
            },
            exporter,
            since: minute(now - oldest),
        })
    }

    fn losing(&self, told: &[(&Collector, &[Exporter])], now: Timestamp) -> Option<Trouble> {
        let lost = |(one, _): &(&Collector, _)| one.lost.clone().filter(|_| self.loses(one, now));
        let all: Vec<_> = told.iter().filter_map(lost).collect();
        let since = all.iter().map(|(at, ..)| *at).min()?;
        let (exporter, reason) = all
            .iter()
            .map(|(_, id, reason)| (id.clone(), reason.clone()))
            .min()?;
        Some(Trouble {
            extent: Extent::of(all.len(), told.len()),
            kind: Kind::Losing(reason),
            exporter,
            since: minute(since),
        })
    }

    fn loses(&self, collector: &Collector, now: Timestamp) -> bool {
        let at = collector.lost.as_ref().map(|(at, ..)| *at);
        at.is_some_and(|at| now.duration_since(at) < self.times.calm())
    }

    /// What is said of a trouble that lasts changes only when it has been otherwise for a while: a backend that fails in
    /// two ways by turns would otherwise be news each minute.
    fn say(&mut self, found: Finding, now: Timestamp) {
        match (&self.said, &found) {
            (Finding::Unasked(_), Finding::Unasked(_)) => return,
            (Finding::Trouble(said), Finding::Trouble(trouble)) => {
                if said.is_alike(trouble) {
                    self.otherwise_since = None;
                    return;
                }
                let since = *self.otherwise_since.get_or_insert(now);
                if now.duration_since(since) < self.times.calm() {
                    return;
                }
            }
            _ => {}
        }
        self.otherwise_since = None;
        self.said = found;
    }
}

fn all_fail(told: &[(&Collector, &[Exporter])], id: &str) -> bool {
    let these = told.iter().flat_map(|(_, exporters)| exporters.iter());
    these.filter(|one| one.id == id).all(|one| one.failing.is_some())
}

/// Seconds would differ by how long an answer took.
fn minute(at: Timestamp) -> Timestamp {
    let down = jiff::TimestampRound::new()
        .smallest(Unit::Minute)
        .mode(jiff::RoundMode::Trunc);
    at.round(down).unwrap_or(at)
}

// === impl Trouble ===

impl Trouble {
    fn is_failing(&self) -> bool {
        matches!(self.kind, Kind::Failing { .. })
    }

    /// But for the time.
    fn is_alike(&self, other: &Self) -> bool {
        (&self.exporter, &self.kind, self.extent) == (&other.exporter, &other.kind, other.extent)
    }

    fn message(&self) -> String {
        let Self {
            exporter,
            kind,
            extent,
            since,
        } = self;
        let on = extent.words();
        let goods = Goods::of(exporter);
        let word = goods.word();
        match kind {
            Kind::Failing { cause, code, losing } => {
                let code = match code.as_str() {
                    "" => String::new(),
                    code => format!(" ({code})"),
                };
                let what = cause.words();
                let fate = if *losing {
                    "are being lost, the oldest first, and counted"
                } else {
                    "wait in a bounded queue; when it is full the oldest are dropped, and counted"
                };
                let way_out = cause.way_out(goods);
                format!("{exporter} on {on}: {what}{code} since {since}; {word} {fate}; {way_out}")
            }
            Kind::Losing(reason) => {
                let way_out = match reason.as_str() {
                    "queue_full" => goods.too_many(),
                    _ => "the collectors' logs name the answers of the backend",
                };
                let counted = goods.counted();
                format!(
                    "{exporter} on {on} loses {word} ({reason}) since {since}; they are counted in {counted}; {way_out}"
                )
            }
        }
    }
}

// === impl Extent ===

impl Extent {
    fn of(number: usize, all: usize) -> Self {
        match number {
            number if number >= all => Self::Every,
            1 => Self::One,
            _ => Self::Several,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::One => "one of the collectors that were asked",
            Self::Several => "several of the collectors that were asked",
            Self::Every => "every collector that was asked",
        }
    }
}

// === impl Finding ===

impl Finding {
    fn verdict(&self) -> Verdict {
        let (status, reason, message) = match self {
            Self::NotAsked => ("Unknown", reasons::NOT_ASKED, NOT_ASKED.to_owned()),
            Self::Unasked(unasked) => (
                "Unknown",
                reasons::COLLECTORS_UNREACHABLE,
                unasked.words().to_owned(),
            ),
            Self::Exporting => (
                "True",
                reasons::EXPORTING,
                "no collector that was asked has a backend that takes nothing, or loses spans".to_owned(),
            ),
            Self::Trouble(trouble) => {
                let reason = match &trouble.kind {
                    Kind::Failing { cause, .. } => cause.reason(),
                    Kind::Losing(_) => reasons::LOSING_SPANS,
                };
                ("False", reason, trouble.message())
            }
        };
        Verdict {
            status,
            reason,
            message,
        }
    }
}

#[cfg(test)]
mod tests;
