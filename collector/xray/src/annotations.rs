//! `user`, `annotations` and `metadata`: where every attribute goes that has found no place of its own.

use std::collections::HashSet;

use tracepipe_otlp::view::{AnyValue, Event, KeyValue};

use crate::attributes::{Attributes, items, mark, text};
use crate::events::told;
use crate::json::Json;
use crate::limits::{
    ANNOTATION_KEY_MAX, ANNOTATION_TEXT_MAX, ANNOTATIONS_MAX, METADATA_JSON_BYTES_MAX, RESOURCE_BYTES_MAX,
    SHORT_TEXT_MAX, cut,
};
use crate::metadata::{Metadata, RESOURCE_PREFIX};

/// The annotation that every document has when its resource has the attribute of this name.
pub(crate) const CLUSTER_NAME: &str = "cluster_name";

/// Under this name a document has the name of its span, when it is called otherwise itself: X-Ray names documents after
/// services and what they call. As an attribute, it is indexed like one.
pub(crate) const SPAN_NAME: &str = "otel.span.name";

/// Under this name the metadata has the events that are no exceptions.
const EVENTS: &str = "otel.events";

const METADATA_PREFIX: &str = "aws.xray.metadata.";

/// Which attributes become annotations.
#[derive(Debug, Default)]
pub(crate) struct Indexed {
    /// All of them.
    pub(crate) all: bool,
    /// Those of these names; those of a resource are written with their prefix.
    names: HashSet<String>,
    /// The marks of the names.
    marks: u128,
}

impl Indexed {
    /// All attributes, or those of these names.
    pub(crate) fn new(all: bool, names: &[String]) -> Self {
        Self {
            all,
            names: names.iter().cloned().collect(),
            marks: names.iter().fold(0, |marks, name| marks | mark(name)),
        }
    }

    fn names(&self, key: &str) -> bool {
        self.marks & mark(key) != 0 && self.names.contains(key)
    }
}

/// An indexed value. Text is cut already.
#[derive(Debug, Clone, Copy)]
enum Value<'t> {
    Text(&'t str),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// The `annotations` block.
#[derive(Debug, Default)]
pub(crate) struct Annotations<'t> {
    list: Vec<Annotation<'t>>,
}

#[derive(Debug)]
struct Annotation<'t> {
    key: String,
    value: Value<'t>,
}

/// What [`store`] makes.
#[derive(Debug, Default)]
pub(crate) struct Stored<'t> {
    /// Empty without one.
    pub(crate) user: &'t str,
    /// At most [`ANNOTATIONS_MAX`], [`CLUSTER_NAME`] first.
    pub(crate) annotations: Annotations<'t>,
    /// The rest.
    pub(crate) metadata: Metadata<'t>,
    /// How many attributes should have been indexed and stand in the metadata instead, whole.
    pub(crate) spilled: u64,
    /// How many events are left out.
    pub(crate) events_dropped: u64,
}

/// What is to be stored.
#[derive(Debug)]
pub(crate) struct Input<'i, 't> {
    /// The span's.
    pub(crate) attributes: &'i mut Attributes<'t>,
    /// The resource's attribute of the name [`CLUSTER_NAME`].
    pub(crate) cluster_name: Option<&'t AnyValue<'t>>,
    /// The resource's; none for a document that leaves the resource to its segment.
    pub(crate) resource: &'t [ResourceAttribute<'t>],
    /// Empty when the document has it elsewhere.
    pub(crate) span_name: &'t str,
    /// The span's.
    pub(crate) events: &'t [Event<'t>],
}

/// A resource's attribute, its key written as documents have it.
#[derive(Debug)]
pub(crate) struct ResourceAttribute<'t> {
    key: String,
    value: &'t AnyValue<'t>,
}

impl<'t> ResourceAttribute<'t> {
    /// Those of a resource that have room in a document, its first ones, and how many others there are.
    pub(crate) fn all(resource: &'t [KeyValue<'t>]) -> (Vec<Self>, u64) {
        let mut room = RESOURCE_BYTES_MAX;
        let mut all = Vec::with_capacity(resource.len());
        for entry in resource {
            let size = entry.key.len() + size_of_value(&entry.value);
            if size <= room {
                room -= size;
                all.push(Self {
                    key: [RESOURCE_PREFIX, &entry.key].concat(),
                    value: &entry.value,
                });
            }
        }
        let left_out = (resource.len() - all.len()) as u64;
        (all, left_out)
    }
}

/// Stores every attribute that is not written yet, and those that are written and to be indexed by name as well.
pub(crate) fn store<'t>(input: Input<'_, 't>, indexed: &Indexed) -> Stored<'t> {
    let Input {
        attributes,
        cluster_name,
        resource,
        span_name,
        events,
    } = input;
    let mut stored = Stored {
        user: take_user(attributes),
        ..Stored::default()
    };
    let own_names = take_own_names(attributes);
    let is_named = |key: &str| indexed.names(key) || own_names.contains(&key);
    let mut wanted = Wanted::default();
    if let Some(value) = cluster_name {
        wanted.push(Rank::Cluster, CLUSTER_NAME, Source::Attribute(value));
    }
    for ResourceAttribute { key, value } in resource {
        match (is_named(key), indexed.all) {
            (true, _) => wanted.push(Rank::Named, key, Source::Attribute(value)),
            (false, true) => wanted.push(Rank::Resource, key, Source::Attribute(value)),
            (false, false) => stored.metadata.push(key, value),
        }
    }
    match (is_named(SPAN_NAME), indexed.all) {
        (true, _) => wanted.push(Rank::Named, SPAN_NAME, Source::Text(span_name)),
        (false, true) => wanted.push(Rank::Span, SPAN_NAME, Source::Text(span_name)),
        (false, false) => stored.metadata.push_text(SPAN_NAME, span_name),
    }
    for (index, entry) in attributes.all() {
        if attributes.is_written(index) && !indexed.names(&entry.key) {
            continue;
        }
        let source = Source::Attribute(&entry.value);
        match (is_named(&entry.key), indexed.all) {
            (true, _) => wanted.push(Rank::Named, &entry.key, source),
            (false, true) => wanted.push(Rank::Span, &entry.key, source),
            (false, false) => store_as_metadata(&mut stored.metadata, entry),
        }
    }
    wanted.index(&mut stored);
    let (events, dropped) = told(events, attributes.text("rpc.system") == "aws-api");
    stored.metadata.push_events(EVENTS, events);
    stored.events_dropped = dropped;
    stored.metadata.finish();
    stored
}

impl<'t> Annotations<'t> {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Drops the largest ones, about `excess` bytes of them, but never [`CLUSTER_NAME`]. True if there were any.
    pub(crate) fn drop_largest(&mut self, excess: usize) -> bool {
        let droppable = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, annotation)| annotation.key != CLUSTER_NAME);
        let mut by_size: Vec<_> = droppable
            .map(|(at, annotation)| (annotation.size(), at))
            .collect();
        by_size.sort_by_key(|(size, at)| (std::cmp::Reverse(*size), *at));
        let mut freed = 0;
        let enough = |(size, at): (usize, usize)| {
            let drop = freed < excess;
            freed += size;
            drop.then_some(at)
        };
        let dropped: HashSet<usize> = by_size.into_iter().map_while(enough).collect();
        let mut at = 0;
        self.list.retain(|_| {
            at += 1;
            !dropped.contains(&(at - 1))
        });
        !dropped.is_empty()
    }

    /// Writes the value of `annotations`.
    pub(crate) fn write(&self, json: &mut Json) {
        json.object(|json| self.list.iter().for_each(|annotation| annotation.write(json)));
    }
}

impl Annotation<'_> {
    fn write(&self, json: &mut Json) {
        let json = json.key(&self.key);
        match self.value {
            Value::Text(text) => json.text(text),
            Value::Int(value) => json.int(value),
            Value::Double(value) => json.double(value),
            Value::Bool(value) => json.bool(value),
        }
    }

    /// In bytes as written.
    fn size(&self) -> usize {
        let mut json = Json::default();
        self.write(&mut json);
        json.len()
    }
}

/// Who comes first when not all can be indexed. X-Ray indexes only so many in a trace, so what was asked for by name
/// goes first, and what a resource says of all of its spans goes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Cluster,
    Named,
    Span,
    Resource,
}

/// What is to become an annotation.
#[derive(Debug, Clone, Copy)]
enum Source<'t> {
    Attribute(&'t AnyValue<'t>),
    Text(&'t str),
}

/// The attributes that are to become annotations.
#[derive(Debug, Default)]
struct Wanted<'t> {
    list: Vec<(Rank, &'t str, Source<'t>)>,
}

impl<'t> Wanted<'t> {
    fn push(&mut self, rank: Rank, key: &'t str, source: Source<'t>) {
        if !source.is_empty() {
            self.list.push((rank, key, source));
        }
    }

    /// Indexes as many as may be; the others become metadata under the names they came with.
    fn index(mut self, stored: &mut Stored<'t>) {
        self.list.sort_by_key(|(rank, ..)| *rank);
        for (_, original, source) in self.list {
            let key = annotation_key(original);
            let annotations = &stored.annotations.list;
            // There are few, so that no set is needed.
            let fits = annotations.len() < ANNOTATIONS_MAX
                && annotations.iter().all(|annotation| annotation.key != key);
            let Some(indexable) = source.indexable().filter(|_| fits) else {
                stored.spilled += 1;
                stored.metadata.push_source(original, source);
                continue;
            };
            stored.annotations.list.push(Annotation {
                key,
                value: indexable,
            });
            if source.is_cut_to(indexable) {
                stored.spilled += 1;
                stored.metadata.push_source(original, source);
            }
        }
    }
}

impl<'t> Source<'t> {
    fn is_empty(self) -> bool {
        match self {
            Self::Attribute(value) => *value == AnyValue::Empty,
            Self::Text(text) => text.is_empty(),
        }
    }

    /// None for what X-Ray cannot index.
    fn indexable(self) -> Option<Value<'t>> {
        let short = |text| Some(Value::Text(cut(text, ANNOTATION_TEXT_MAX)));
        match self {
            Self::Text(text) => short(text),
            Self::Attribute(AnyValue::String(text)) => short(text),
            Self::Attribute(AnyValue::Bool(value)) => Some(Value::Bool(*value)),
            Self::Attribute(AnyValue::Int(value)) => Some(Value::Int(*value)),
            Self::Attribute(AnyValue::Double(value)) if value.is_finite() => Some(Value::Double(*value)),
            Self::Attribute(AnyValue::Double(_) | AnyValue::Empty) => None,
            Self::Attribute(AnyValue::Array(_) | AnyValue::Map(_) | AnyValue::Bytes(_)) => None,
        }
    }

    fn is_cut_to(self, annotation: Value<'_>) -> bool {
        let whole = match self {
            Self::Attribute(value) => text(value),
            Self::Text(text) => text,
        };
        match annotation {
            Value::Text(kept) => kept.len() < whole.len(),
            Value::Int(_) | Value::Double(_) | Value::Bool(_) => false,
        }
    }
}

impl<'t> Metadata<'t> {
    fn push_source(&mut self, key: &'t str, source: Source<'t>) {
        match source {
            Source::Attribute(value) => self.push(key, value),
            Source::Text(text) => self.push_text(key, text),
        }
    }
}

/// A key of letters, digits, underscores and dots, as upstream makes it, not empty and not too long.
fn annotation_key(name: &str) -> String {
    let keep = |character: char| character.is_ascii_alphanumeric() || character == '.';
    let characters = name.chars().take(ANNOTATION_KEY_MAX);
    let key: String = characters
        .map(|character| if keep(character) { character } else { '_' })
        .collect();
    if key.is_empty() { "_".to_owned() } else { key }
}

/// `enduser.id`. When it is too long for its place, the attribute stays to be stored whole.
fn take_user<'t>(attributes: &mut Attributes<'t>) -> &'t str {
    let Some(found) = attributes.find("enduser.id") else {
        return "";
    };
    let whole = text(found.value);
    let user = cut(whole, SHORT_TEXT_MAX);
    if !whole.is_empty() && user.len() == whole.len() {
        attributes.hide(found.index);
    }
    user
}

/// The names that the span itself wants indexed.
fn take_own_names<'t>(attributes: &mut Attributes<'t>) -> HashSet<&'t str> {
    let Some(found) = attributes.find("aws.xray.annotations") else {
        return HashSet::new();
    };
    let Some(names) = items(found.value) else {
        return HashSet::new();
    };
    attributes.hide(found.index);
    names.iter().map(text).filter(|name| !name.is_empty()).collect()
}

/// Bytes of a value, about; decoding has bounded how many items and levels there are.
fn size_of_value(value: &AnyValue<'_>) -> usize {
    match value {
        AnyValue::Empty => 0,
        AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_) => 8,
        AnyValue::String(text) => text.len(),
        AnyValue::Bytes(bytes) => bytes.len(),
        AnyValue::Array(items) => items.iter().map(size_of_value).sum(),
        AnyValue::Map(entries) => entries
            .iter()
            .map(|entry| entry.key.len() + size_of_value(&entry.value))
            .sum(),
    }
}

/// An attribute may be a whole namespace of metadata, written as JSON.
fn store_as_metadata<'t>(metadata: &mut Metadata<'t>, entry: &'t KeyValue<'t>) {
    let space = entry
        .key
        .strip_prefix(METADATA_PREFIX)
        .filter(|space| !space.is_empty());
    let space = space.filter(|_| text(&entry.value).len() <= METADATA_JSON_BYTES_MAX);
    let parsed = space.and_then(|space| match serde_json::from_str(text(&entry.value)) {
        Ok(serde_json::Value::Object(members)) => Some((space, members)),
        Ok(_) | Err(_) => None,
    });
    if !parsed.is_some_and(|(space, members)| metadata.push_space(space, members)) {
        metadata.push(&entry.key, &entry.value);
    }
}
