//! `target_info`: what is known of a resource beside `job` and `instance`.

use crate::account::{Translated, UnixMillis};

use super::Registry;
use super::families::FamilyKind;
use super::series::Sample;
use super::stream::Resource;

/// What stands under `# HELP`, as upstream.
const HELP: &[u8] = b"Target metadata";

impl Registry {
    /// Holds the `target_info` of a resource that points have come of. Only where both are known, as upstream.
    pub(super) fn apply_target(&mut self, resource: &Resource<'_>, now: UnixMillis, done: &mut Translated) {
        let identity = self
            .identities
            .child(resource.identity, self.identities.of(&[HELP]));
        let known = self.known.get(identity).copied();
        if let Some(place) = known.and_then(|handle| self.series.find(handle)) {
            if let Some(series) = self.series.get_mut(place) {
                series.updated = now;
            }
            return;
        }
        let Some((owner, text)) = resource.target(&self.rules, &mut done.labels_dropped) else {
            return;
        };
        let name = self.target_name.clone();
        let found = self
            .families
            .get(&name)
            .and_then(|family| family.series.get(text.as_slice()))
            .copied();
        let place = found.or_else(|| {
            // What it was before it changed.
            if let Some(old) = self.targets.get(&owner).and_then(|old| self.series.find(*old)) {
                self.remove(old);
            }
            self.insert((&name, FamilyKind::Gauge, HELP), &text, &Sample::TARGET, now)
        });
        let Some(place) = place else {
            self.held.targets_refused += 1;
            return;
        };
        if let Some(series) = self.series.get_mut(place) {
            series.updated = now;
        }
        let handle = self.series.handle(place);
        self.known.insert(identity, 1, handle);
        self.targets.insert(owner, handle);
    }
}
