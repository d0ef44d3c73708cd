//! `metadata`: what a trace's reader may look at and X-Ray does not index.

use std::borrow::Cow;
use std::collections::HashSet;

use tracepipe_otlp::view::AnyValue;

use crate::events::Told;
use crate::json::Json;
use crate::limits::METADATA_SPACES_MAX;

/// Stands before the name of a resource's attribute in every document.
pub(crate) const RESOURCE_PREFIX: &str = "otel.resource.";

/// Room for the attributes of a usual span.
const USUAL_MEMBERS: usize = 24;

/// The namespace of all attributes that name none themselves.
const DEFAULT: &str = "default";

/// The `metadata` block: namespaces of members, the default one first.
#[derive(Debug)]
pub(crate) struct Metadata<'t> {
    spaces: Vec<Space<'t>>,
}

#[derive(Debug)]
struct Space<'t> {
    name: &'t str,
    members: Vec<Member<'t>>,
}

#[derive(Debug)]
struct Member<'t> {
    key: Cow<'t, str>,
    content: Content<'t>,
}

/// What a member is.
#[derive(Debug)]
enum Content<'t> {
    /// As the attribute has it.
    Attribute(&'t AnyValue<'t>),
    /// Out of an attribute that is JSON.
    Json(serde_json::Value),
    /// A text that is no attribute.
    Text(&'t str),
    /// The span's events.
    Events(Vec<Told<'t>>),
}

impl Default for Metadata<'_> {
    fn default() -> Self {
        Self {
            spaces: vec![Space {
                name: DEFAULT,
                members: Vec::with_capacity(USUAL_MEMBERS),
            }],
        }
    }
}

impl<'t> Metadata<'t> {
    /// Adds an attribute. One without value adds nothing.
    pub(crate) fn push(&mut self, key: &'t str, value: &'t AnyValue<'t>) {
        if *value != AnyValue::Empty {
            self.spaces[0].members.push(Member {
                key: key.into(),
                content: Content::Attribute(value),
            });
        }
    }

    /// Adds a text.
    pub(crate) fn push_text(&mut self, key: &'t str, text: &'t str) {
        if !text.is_empty() {
            self.spaces[0].members.push(Member {
                key: key.into(),
                content: Content::Text(text),
            });
        }
    }

    /// Adds what events say.
    pub(crate) fn push_events(&mut self, key: &'static str, events: Vec<Told<'t>>) {
        if !events.is_empty() {
            self.spaces[0].members.push(Member {
                key: key.into(),
                content: Content::Events(events),
            });
        }
    }

    /// Adds a namespace, or to the default one when it has that name in any case, as upstream. False when there are
    /// too many and nothing was added.
    pub(crate) fn push_space(
        &mut self,
        name: &'t str,
        members: serde_json::Map<String, serde_json::Value>,
    ) -> bool {
        let name = if name.eq_ignore_ascii_case(DEFAULT) {
            DEFAULT
        } else {
            name
        };
        let at = self
            .spaces
            .iter()
            .position(|space| space.name == name)
            .unwrap_or(self.spaces.len());
        if at == self.spaces.len() {
            if at > METADATA_SPACES_MAX {
                return false;
            }
            self.spaces.push(Space {
                name,
                members: Vec::new(),
            });
        }
        let members = members.into_iter().filter(|(_, value)| !value.is_null());
        let members = members.map(|(key, value)| Member {
            key: key.into(),
            content: Content::Json(value),
        });
        self.spaces[at].members.extend(members);
        true
    }

    /// To be called when all is in: leaves the first of equal keys, and no default namespace that is empty.
    pub(crate) fn finish(&mut self) {
        for space in &mut self.spaces {
            space.leave_first_of_equal_keys();
        }
        if self.spaces[0].members.is_empty() {
            self.spaces.remove(0);
        }
    }

    /// Without any member.
    pub(crate) fn empty() -> Self {
        Self { spaces: Vec::new() }
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    /// Leaves what is of the resource.
    pub(crate) fn keep_resource(&mut self) {
        for space in &mut self.spaces {
            space
                .members
                .retain(|member| member.key.starts_with(RESOURCE_PREFIX));
        }
        self.spaces.retain(|space| !space.members.is_empty());
    }

    /// Drops the largest members until about `excess` bytes are gone. True if there were any.
    pub(crate) fn drop_largest(&mut self, excess: usize) -> bool {
        let sizes = |(space_at, space): (usize, &Space<'_>)| {
            let sizes = space.members.iter().map(Member::size);
            sizes
                .enumerate()
                .map(move |(at, size)| (size, space_at, at))
                .collect::<Vec<_>>()
        };
        let mut by_size: Vec<_> = self.spaces.iter().enumerate().flat_map(sizes).collect();
        by_size.sort_by_key(|(size, space_at, at)| (std::cmp::Reverse(*size), *space_at, *at));
        let mut freed = 0;
        let mut dropped = HashSet::new();
        for (size, space_at, at) in by_size {
            if freed >= excess {
                break;
            }
            freed += size;
            dropped.insert((space_at, at));
        }
        for (space_at, space) in self.spaces.iter_mut().enumerate() {
            let mut at = 0;
            space.members.retain(|_| {
                at += 1;
                !dropped.contains(&(space_at, at - 1))
            });
        }
        let before = self.spaces.len();
        self.spaces.retain(|space| !space.members.is_empty());
        !dropped.is_empty() || self.spaces.len() < before
    }

    /// Writes the value of `metadata`.
    pub(crate) fn write(&self, json: &mut Json) {
        json.object(|json| {
            for space in &self.spaces {
                json.key(space.name).object(|json| {
                    space.members.iter().for_each(|member| member.write(json));
                });
            }
        });
    }
}

/// Up to so many members are compared with each other, without a set.
const FEW: usize = 32;

impl Space<'_> {
    fn leave_first_of_equal_keys(&mut self) {
        let members = &self.members;
        if members.len() <= FEW {
            let is_again = |at: usize| members[..at].iter().any(|earlier| earlier.key == members[at].key);
            if (1..members.len()).any(is_again) {
                let again: Vec<bool> = (0..members.len()).map(is_again).collect();
                let mut again = again.into_iter();
                self.members.retain(|_| again.next() != Some(true));
            }
            return;
        }
        let mut seen = HashSet::new();
        self.members.retain(|member| seen.insert(member.key.clone()));
    }
}

impl Member<'_> {
    fn write(&self, json: &mut Json) {
        let json = json.key(&self.key);
        match &self.content {
            Content::Attribute(value) => json.attribute(value),
            Content::Json(value) => json.value(value),
            Content::Text(text) => json.text(text),
            Content::Events(events) => {
                json.array(|json| events.iter().for_each(|event| event.write(json)));
            }
        }
    }

    /// In bytes as written.
    fn size(&self) -> usize {
        let mut json = Json::default();
        self.write(&mut json);
        json.len() + 1
    }
}
