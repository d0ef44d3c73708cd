//! What is the same for many points, worked out once: of a resource, a scope and a metric.

use std::cell::Cell;
use std::rc::Rc;

use crate::account::{DropReason, Translated};
use crate::identity::{Identities, Identity};
use crate::label_set::LabelSet;
use crate::limits::{COLLECTION_MS, CONTEXTS_BYTES_MAX};
use crate::metadata::{Families, Family};
use crate::names::NameKind;
use crate::recent::Recent;
use crate::rules::Rules;
use crate::view::{self, Kind, ResourceMetrics, ScopeMetrics, Temporality};

/// What a series is. Samples of two sorts never mix in one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    Gauge,
    Counter,
    Histogram,
    NativeHistogram,
    Summary,
}

/// A resource.
#[derive(Debug)]
pub(crate) struct Resource {
    identity: Identity,
    /// `job` and `instance`.
    pub(crate) owner: LabelSet,
    /// What lies under the labels of its points.
    pub(crate) under: LabelSet,
    /// The labels of its `target_info`.
    pub(crate) target: Option<LabelSet>,
}

/// When the points of a scope were collected, as far as we saw it. Not of a resource: a process may have several readers,
/// each with other scopes and at other times.
#[derive(Debug, Clone, Copy, Default)]
struct Collections {
    latest: i64,
    previous: i64,
    /// How many there were, `latest` included.
    count: u32,
}

/// A collection before the one that a point is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    /// When it was; 0 if there was none.
    pub(crate) at_ms: i64,
    /// The one before it was seen too: it was not cut by our own start.
    pub(crate) is_whole: bool,
}

/// A scope of a resource.
#[derive(Debug)]
pub(crate) struct Scope {
    identity: Identity,
    /// What lies over the labels of its points.
    pub(crate) over: LabelSet,
    /// It is of one process: two that call themselves the same have collections of their own.
    is_of_one: bool,
    collections: Cell<Collections>,
}

/// A metric of a scope of a resource.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) identity: Identity,
    pub(crate) kind: Kind,
    pub(crate) sort: Sort,
    /// Of its series, or the first part of it.
    pub(crate) name: Vec<u8>,
    pub(crate) resource: Rc<Resource>,
    pub(crate) scope: Rc<Scope>,
    pub(crate) family: Rc<Family>,
}

/// Those that were seen lately.
#[derive(Debug)]
pub(crate) struct Contexts {
    rules: Rules,
    with_target_info: bool,
    resources: Recent<Rc<Resource>>,
    scopes: Recent<Rc<Scope>>,
    metrics: Recent<Rc<Metric>>,
}

/// A metric stands for this part of its resource at least.
const SHARERS_MAX: usize = 16;

/// Bookkeeping of each, roughly.
const OVERHEAD: usize = 256;

// === impl Contexts ===

impl Contexts {
    pub(crate) fn new(rules: Rules, with_target_info: bool) -> Self {
        Self {
            rules,
            with_target_info,
            resources: Recent::new(CONTEXTS_BYTES_MAX),
            scopes: Recent::new(CONTEXTS_BYTES_MAX),
            metrics: Recent::new(CONTEXTS_BYTES_MAX),
        }
    }

    /// With so many bytes for all kinds, and no more than [`CONTEXTS_BYTES_MAX`] for one. A resource has some dozens of
    /// metrics.
    pub(crate) fn set_bytes_max(&mut self, bytes: usize) {
        let part = |sixths: usize| (bytes / 6 * sixths).min(CONTEXTS_BYTES_MAX);
        self.resources.set_weight_max(part(1));
        self.scopes.set_weight_max(part(1));
        self.metrics.set_weight_max(part(4));
    }

    /// Bytes that all take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.resources.weight() + self.scopes.weight() + self.metrics.weight()
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn resource(
        &mut self,
        resource: &ResourceMetrics<'_>,
        identities: &Identities,
        done: &mut Translated,
    ) -> Rc<Resource> {
        let root = identities.of(&[]);
        let attributes = resource.encoded_attributes();
        let identity = identities.of_items(root, attributes);
        if let Some(known) = self.resources.get(identity) {
            return Rc::clone(known);
        }
        let owner = Rules::owner(resource);
        let dropped = &mut done.labels_dropped;
        let made = Rc::new(Resource {
            identity,
            under: self.rules.under(resource, dropped),
            target: if self.with_target_info {
                self.rules.target_info(resource, &owner, dropped)
            } else {
                None
            },
            owner,
        });
        self.resources.insert(identity, made.weight(), Rc::clone(&made));
        made
    }

    pub(crate) fn scope(
        &mut self,
        scope: &ScopeMetrics<'_>,
        resource: &Resource,
        identities: &Identities,
        done: &mut Translated,
    ) -> Rc<Scope> {
        let head = identities.of(&[scope.name, scope.version, scope.schema_url]);
        let scope_identity = identities.of_items(head, scope.encoded_attributes());
        let identity = identities.child(resource.identity, scope_identity);
        if let Some(known) = self.scopes.get(identity) {
            return Rc::clone(known);
        }
        let made = Rc::new(Scope {
            identity,
            over: self.rules.over(scope, &resource.owner, &mut done.labels_dropped),
            is_of_one: resource.owner.has(b"instance"),
            collections: Cell::default(),
        });
        self.scopes
            .insert(identity, OVERHEAD + made.over.weight(), Rc::clone(&made));
        made
    }

    /// The metric, or why it has no series.
    pub(crate) fn metric(
        &mut self,
        (metric, kind): (&view::Metric<'_>, Kind),
        (resource, scope): (&Rc<Resource>, &Rc<Scope>),
        identities: &Identities,
        families: &mut Families,
    ) -> Result<Rc<Metric>, DropReason> {
        let sort = Sort::of(kind)?;
        let head = identities.of(&[metric.name, metric.unit, &kind_byte(kind)]);
        let identity = identities.child(scope.identity, head);
        if let Some(known) = self.metrics.get(identity) {
            return Ok(Rc::clone(known));
        }
        let mut name = Vec::new();
        self.rules
            .namer
            .put(metric.name, metric.unit, name_kind(kind), &mut name)
            .map_err(|_| DropReason::Name)?;
        let made = Rc::new(Metric {
            identity,
            kind,
            sort,
            family: families.family(&name, sort, metric.unit, metric.description),
            name,
            resource: Rc::clone(resource),
            scope: Rc::clone(scope),
        });
        // One that holds what the memory of resources has forgotten. They are many who hold it together.
        let shared = resource.weight() / Rc::strong_count(resource).clamp(1, SHARERS_MAX);
        let weight = OVERHEAD + made.name.len() + made.family.weight() + shared + made.scope.over.weight();
        self.metrics.insert(identity, weight, Rc::clone(&made));
        Ok(made)
    }
}

impl Sort {
    /// As Prometheus sees a metric: a sum that may fall is a gauge.
    fn of(kind: Kind) -> Result<Self, DropReason> {
        let (sort, temporality) = match kind {
            Kind::Gauge => return Ok(Self::Gauge),
            Kind::Summary => return Ok(Self::Summary),
            Kind::Sum {
                temporality,
                is_monotonic: true,
            } => (Self::Counter, temporality),
            Kind::Sum {
                temporality,
                is_monotonic: false,
            } => (Self::Gauge, temporality),
            Kind::Histogram { temporality } => (Self::Histogram, temporality),
            Kind::ExponentialHistogram { temporality } => (Self::NativeHistogram, temporality),
        };
        match temporality {
            Temporality::Delta | Temporality::Cumulative => Ok(sort),
            Temporality::Unspecified => Err(DropReason::UnspecifiedTemporality),
        }
    }
}

fn name_kind(kind: Kind) -> NameKind {
    match kind {
        Kind::Gauge => NameKind::Gauge,
        Kind::Sum {
            is_monotonic: true, ..
        } => NameKind::Counter,
        Kind::Sum { .. } | Kind::Histogram { .. } | Kind::ExponentialHistogram { .. } | Kind::Summary => {
            NameKind::Other
        }
    }
}

/// A number for each kind.
fn kind_byte(kind: Kind) -> [u8; 1] {
    let (kind, is_delta, is_monotonic) = match kind {
        Kind::Gauge => (0, false, false),
        Kind::Sum {
            temporality,
            is_monotonic,
        } => (1, temporality == Temporality::Delta, is_monotonic),
        Kind::Histogram { temporality } => (2, temporality == Temporality::Delta, false),
        Kind::ExponentialHistogram { temporality } => (3, temporality == Temporality::Delta, false),
        Kind::Summary => (4, false, false),
    };
    [kind << 2 | u8::from(is_delta) << 1 | u8::from(is_monotonic)]
}

// === impl Metric ===

impl Metric {
    /// Its points count since the last one.
    pub(crate) fn is_delta(&self) -> bool {
        match self.kind {
            Kind::Gauge | Kind::Summary => false,
            Kind::Sum { temporality, .. }
            | Kind::Histogram { temporality }
            | Kind::ExponentialHistogram { temporality } => temporality == Temporality::Delta,
        }
    }
}

// === impl Resource ===

impl Resource {
    /// Bytes that it takes in memory, roughly.
    pub(crate) fn weight(&self) -> usize {
        let target = self.target.as_ref().map_or(0, LabelSet::weight);
        OVERHEAD + self.owner.weight() + self.under.weight() + target
    }
}

// === impl Scope ===

impl Scope {
    /// Points of a time have been seen.
    pub(crate) fn saw(&self, newest_ms: i64) {
        let mut collections = self.collections.get();
        if newest_ms > collections.latest + COLLECTION_MS {
            collections.previous = collections.latest;
            collections.count = collections.count.saturating_add(1);
        }
        collections.latest = collections.latest.max(newest_ms);
        self.collections.set(collections);
    }

    /// The last collection before that of a point.
    pub(crate) fn before(&self, point_ms: i64) -> Before {
        let Collections {
            latest,
            previous,
            count,
        } = self.collections.get();
        // One collection may come in several requests.
        let (at_ms, count) = if point_ms > latest + COLLECTION_MS {
            (latest, count)
        } else {
            (previous, count.saturating_sub(1))
        };
        Before {
            at_ms,
            is_whole: self.is_of_one && count >= 2,
        }
    }
}
