//! What many points of a request have in common. Names and labels are made when they are needed: of a series that is known
//! they are not.

use std::cell::OnceCell;

use crate::account::DropReason;
use crate::identity::Identity;
use crate::label_set::LabelSet;
use crate::rules::{Rules, is_service_attribute};
use crate::view::{Metric, ResourceMetrics, ScopeMetrics};

use super::read::{Point, Shape};
use super::text::put_labels;

/// A resource.
pub(super) struct Resource<'a> {
    view: ResourceMetrics<'a>,
    pub(super) identity: Identity,
    labels: OnceCell<(LabelSet, LabelSet)>,
}

/// A metric.
pub(super) struct Stream<'a> {
    resource: &'a Resource<'a>,
    scope: &'a ScopeMetrics<'a>,
    pub(super) metric: &'a Metric<'a>,
    pub(super) shape: Shape,
    pub(super) identity: Identity,
    name: OnceCell<Option<Vec<u8>>>,
    over: OnceCell<LabelSet>,
}

// === impl Resource ===

impl<'a> Resource<'a> {
    pub(super) fn new(view: ResourceMetrics<'a>, identity: Identity) -> Self {
        Self {
            view,
            identity,
            labels: OnceCell::new(),
        }
    }

    /// `job` and `instance`, and what lies under the labels of points.
    fn labels(&self, rules: &Rules, dropped: &mut u64) -> &(LabelSet, LabelSet) {
        self.labels
            .get_or_init(|| (Rules::owner(&self.view), rules.under(&self.view, dropped)))
    }

    /// `job` and `instance`, and the labels of `target_info`; none if one of the two is not known.
    pub(super) fn target(&self, rules: &Rules, dropped: &mut u64) -> Option<(Vec<u8>, Vec<u8>)> {
        let (owner, _) = self.labels(rules, dropped);
        if owner.iter().count() < 2 {
            return None;
        }
        let others = self
            .view
            .attributes()
            .filter(|attribute| !is_service_attribute(attribute.key));
        let labels = owner.over(&rules.labels(others, dropped));
        let (mut owner_text, mut text) = (Vec::new(), Vec::new());
        put_labels(owner, b"", &mut owner_text);
        put_labels(&labels, b"", &mut text);
        Some((owner_text, text))
    }
}

// === impl Stream ===

impl<'a> Stream<'a> {
    pub(super) fn new(
        resource: &'a Resource<'a>,
        scope: &'a ScopeMetrics<'a>,
        metric: &'a Metric<'a>,
        shape: Shape,
        identity: Identity,
    ) -> Self {
        Self {
            resource,
            scope,
            metric,
            shape,
            identity,
            name: OnceCell::new(),
            over: OnceCell::new(),
        }
    }

    /// The name of its family.
    pub(super) fn name(&self, rules: &Rules) -> Result<&[u8], DropReason> {
        let made = self.name.get_or_init(|| {
            let mut name = Vec::new();
            let made = rules
                .namer
                .put(self.metric.name, self.metric.unit, self.shape.name, &mut name);
            made.is_ok().then_some(name)
        });
        made.as_deref().ok_or(DropReason::Name)
    }

    /// The labels of a point, as they stand between the braces.
    pub(super) fn labels(&self, point: &Point<'_>, rules: &Rules, dropped: &mut u64) -> Vec<u8> {
        let (owner, under) = self.resource.labels(rules, dropped);
        let over = self.over.get_or_init(|| rules.over(self.scope, owner, dropped));
        let labels = over.over(&rules.labels(point.attributes.iter(), dropped).over(under));
        let mut text = Vec::new();
        put_labels(&labels, self.shape.family.own_label(), &mut text);
        text
    }
}
