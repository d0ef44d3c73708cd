//! YAML text in, a tree out in which every value knows where it was written.
//!
//! One document, no duplicate keys, anchors and merge keys within bounds; scalars by [`crate::scalar`].

use std::collections::BTreeMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use crate::error::{Diagnostics, Position};
use crate::scalar::{Kind, resolve_plain};

/// Bytes of one text. A ConfigMap holds 1 MiB at most, all its keys together.
pub(crate) const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Values and keys of one text, those repeated by aliases counted each time: an alias bomb ends here.
pub(crate) const NODES_MAX: usize = 20_000;
/// Maps and lists within each other, those reached by aliases included. The deepest known setting lies at 11; the
/// tree is walked recursively.
pub(crate) const DEPTH_MAX: usize = 64;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Position,
    /// Set when the value came out of `${...}`.
    pub(crate) expanded: Option<Box<Expanded>>,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A scalar as written, and what it means.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) kind: Kind,
    /// Neither quoted nor tagged.
    pub(crate) plain: bool,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
    /// The key is a plain `<<`.
    merge: bool,
}

/// Where a value came from that was not written as it is.
#[derive(Debug, Clone)]
pub(crate) struct Expanded {
    /// The text after expansion, before it was read as YAML: what a setting that wants text takes. None where the
    /// value itself says it all.
    pub(crate) text: Option<String>,
    /// What stands in the file, fit for messages: the value may be secret.
    pub(crate) written: String,
}

impl Node {
    pub(crate) fn null(at: Position) -> Self {
        let scalar = Scalar {
            text: String::new(),
            kind: Kind::Null,
            plain: true,
        };
        Self {
            value: Value::Scalar(scalar),
            at,
            expanded: None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind == Kind::Null)
    }

    /// Calls `f` for this node and each one below it.
    pub(crate) fn for_each(&mut self, f: &mut dyn FnMut(&mut Node)) {
        f(self);
        match &mut self.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.for_each(f)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| entry.value.for_each(f)),
        }
    }
}

impl Entry {
    pub(crate) fn new(key: String, key_at: Position, value: Node) -> Self {
        Self {
            key,
            key_at,
            value,
            merge: false,
        }
    }
}

/// Parses one text. `source` as in [`Position::source`]. None when it is not YAML that can be used; then there is
/// at least one error.
pub(crate) fn parse(text: &str, source: u16, diag: &mut Diagnostics) -> Option<Node> {
    let start = Position {
        source,
        line: 1,
        column: 1,
    };
    if text.len() > TEXT_BYTES_MAX {
        diag.error(
            start,
            "",
            format!(
                "the text has {} bytes; at most {TEXT_BYTES_MAX} are read",
                text.len()
            ),
        );
        return None;
    }
    let mut options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    options.set_emit_comments(false);
    let mut builder = Builder::new(source);
    for event in Parser::new_from_str_with_options(text, options) {
        let outcome = match event {
            Ok((event, span)) => builder.event(event, span, diag),
            Err(error) => {
                let at = position(source, error.marker());
                let hint = missing_space(text, at.line).unwrap_or_default();
                Err((at, format!("this is not YAML: {}{hint}", error.info())))
            }
        };
        if let Err((at, message)) = outcome {
            diag.error(at, builder.path(), message);
            return None;
        }
    }
    if diag.has_errors() {
        return None;
    }
    Some(builder.root.unwrap_or_else(|| Node::null(start)))
}

/// Looks for `key:value` on the line of a syntax error and the one before, where its cause often is. Only the key
/// is repeated: the value may be secret.
fn missing_space(text: &str, line: u32) -> Option<String> {
    let line = usize::try_from(line).ok()?;
    let first = line.saturating_sub(2);
    let key = text
        .lines()
        .skip(first)
        .take(line - first)
        .find_map(|line| key_without_space(line.trim()))?;
    Some(format!(" (is a space missing after `{key}:`?)"))
}

/// The key in `key:value`, if that is what the text looks like.
pub(crate) fn key_without_space(text: &str) -> Option<&str> {
    let (key, rest) = text.trim_start_matches("- ").split_once(':')?;
    let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    (is_key && !rest.is_empty() && !rest.starts_with([' ', '\t', ':', '/'])).then_some(key)
}

type Fatal = (Position, String);

/// Puts nodes together from the parser's events.
struct Builder {
    source: u16,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    anchors: BTreeMap<usize, Anchor>,
}

/// A map or list whose end has not come.
struct Open {
    at: Position,
    anchor: usize,
    kind: OpenKind,
    /// Of the deepest value in it, itself being 1.
    depth: usize,
}

enum OpenKind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: BTreeMap<String, Position>,
        key: Option<PendingKey>,
    },
}

struct PendingKey {
    text: String,
    at: Position,
    plain: bool,
}

struct Anchor {
    node: Node,
    nodes: usize,
    depth: usize,
}

impl Builder {
    fn new(source: u16) -> Self {
        Self {
            source,
            open: Vec::new(),
            root: None,
            documents: 0,
            nodes: 0,
            anchors: BTreeMap::new(),
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span, diag: &mut Diagnostics) -> Result<(), Fatal> {
        let at = position(self.source, &span.start);
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err((
                        at,
                        "a second document begins here; write one document a file".to_owned(),
                    ));
                }
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, at, diag),
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, at)?;
                let scalar = scalar(text.into_owned(), style, tag.as_deref()).map_err(|why| (at, why))?;
                let node = Node {
                    value: Value::Scalar(scalar),
                    at,
                    expanded: None,
                };
                self.remember(anchor, &node, 1, 0);
                self.complete(node, 0, diag)
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "seq").map_err(|why| (at, why))?;
                self.open(at, anchor, OpenKind::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map").map_err(|why| (at, why))?;
                let kind = OpenKind::Map {
                    entries: Vec::new(),
                    seen: BTreeMap::new(),
                    key: None,
                };
                self.open(at, anchor, kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(diag),
            // Presentation only, and switched off.
            Event::Comment(..) | Event::Anchor(..) => Ok(()),
            // `UnresolvedAlias` is switched off too; a kind that does not exist yet cannot be understood.
            Event::UnresolvedAlias(_) | _ => Err((at, "this YAML is not supported".to_owned())),
        }
    }

    fn open(&mut self, at: Position, anchor: usize, kind: OpenKind) -> Result<(), Fatal> {
        self.count(1, at)?;
        if self.open.len() >= DEPTH_MAX {
            return Err((at, format!("maps and lists are nested deeper than {DEPTH_MAX}")));
        }
        self.open.push(Open {
            at,
            anchor,
            kind,
            depth: 1,
        });
        Ok(())
    }

    fn close(&mut self, diag: &mut Diagnostics) -> Result<(), Fatal> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map { entries, .. } => Value::Map(self.merged(entries)?),
        };
        let node = Node {
            value,
            at: open.at,
            expanded: None,
        };
        if open.anchor != 0 {
            let nodes = count(&node);
            self.remember(open.anchor, &node, nodes, open.depth);
        }
        self.complete(node, open.depth, diag)
    }

    fn alias(&mut self, anchor: usize, at: Position, diag: &mut Diagnostics) -> Result<(), Fatal> {
        let Some(target) = self.anchors.get(&anchor) else {
            return Err((at, "an alias stands within what it stands for".to_owned()));
        };
        let (nodes, depth) = (target.nodes, target.depth);
        // Before the copy is made: it is what costs.
        self.count(nodes, at)?;
        if self.open.len() + depth > DEPTH_MAX {
            return Err((at, format!("maps and lists are nested deeper than {DEPTH_MAX}")));
        }
        let Some(mut node) = self.anchors.get(&anchor).map(|target| target.node.clone()) else {
            return Ok(());
        };
        // What is wrong with the value is shown where it was written; a missing value where it was used.
        if node.is_null() {
            node.at = at;
        }
        self.complete(node, depth, diag)
    }

    fn remember(&mut self, anchor: usize, node: &Node, nodes: usize, depth: usize) {
        if anchor != 0 {
            self.anchors.insert(
                anchor,
                Anchor {
                    node: node.clone(),
                    nodes,
                    depth,
                },
            );
        }
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Fatal> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err((
                at,
                format!("more than {NODES_MAX} values, those repeated by aliases counted each time"),
            ));
        }
        Ok(())
    }

    /// A node is whole: it becomes a key, a value, an item or the root.
    fn complete(&mut self, node: Node, depth: usize, diag: &mut Diagnostics) -> Result<(), Fatal> {
        let path = self.path();
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.depth = open.depth.max(depth + 1);
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, seen, key } => match key.take() {
                Some(key) => {
                    let merge = key.plain && key.text == "<<";
                    entries.push(Entry {
                        key: key.text,
                        key_at: key.at,
                        value: node,
                        merge,
                    });
                }
                None => {
                    let at = node.at;
                    let Value::Scalar(Scalar { text, plain, kind }) = node.value else {
                        return Err((at, "a key must be text".to_owned()));
                    };
                    if kind == Kind::Null && text.is_empty() {
                        return Err((at, "a key is empty".to_owned()));
                    }
                    if let Some(first) = seen.insert(text.clone(), at) {
                        let path = join(&path, &text);
                        diag.error(
                            at,
                            path,
                            format!("this key stands on line {} already", first.line),
                        );
                    }
                    *key = Some(PendingKey { text, at, plain });
                }
            },
        }
        Ok(())
    }

    /// Puts the maps of `<<` in, behind the keys written here, which win.
    fn merged(&mut self, entries: Vec<Entry>) -> Result<Vec<Entry>, Fatal> {
        if entries.iter().all(|entry| !entry.merge) {
            return Ok(entries);
        }
        let (merges, mut entries): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.merge);
        let mut seen: std::collections::BTreeSet<String> =
            entries.iter().map(|entry| entry.key.clone()).collect();
        for merge in merges {
            let maps = match merge.value.value {
                Value::List(items) => items,
                Value::Map(_) | Value::Scalar(_) => vec![merge.value],
            };
            for map in maps {
                let Value::Map(more) = map.value else {
                    return Err((map.at, "`<<` takes a map, or a list of maps".to_owned()));
                };
                entries.extend(more.into_iter().filter(|entry| seen.insert(entry.key.clone())));
            }
        }
        Ok(entries)
    }

    /// Of the value that comes next.
    fn path(&self) -> String {
        self.open
            .iter()
            .fold(String::new(), |path, open| match &open.kind {
                OpenKind::List(items) => format!("{path}[{}]", items.len()),
                OpenKind::Map { key: Some(key), .. } => join(&path, &key.text),
                OpenKind::Map { key: None, .. } => path,
            })
    }
}

/// `path.key`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 1,
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| 1 + count(&entry.value)).sum::<usize>(),
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar, String> {
    let plain = style == ScalarStyle::Plain && tag.is_none();
    let Some(tag) = tag else {
        let kind = if plain { resolve_plain(&text) } else { Kind::Text };
        return Ok(Scalar { text, kind, plain });
    };
    let kind = match (tag.core_suffix(), resolve_plain(&text)) {
        (Some("str"), _) => Kind::Text,
        #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
        (Some("float"), Kind::Int(value)) => Kind::Float(value as f64),
        (Some("null"), Kind::Null) => Kind::Null,
        (Some("bool"), kind @ Kind::Bool(_)) => kind,
        (Some("int"), kind @ Kind::Int(_)) => kind,
        (Some("float"), kind @ Kind::Float(_)) => kind,
        (Some(name), _) => return Err(format!("the value does not fit its tag `!!{name}`")),
        (None, _) => return Err("tags other than YAML's own are not supported".to_owned()),
    };
    Ok(Scalar { text, kind, plain })
}

fn check_tag(tag: Option<&Tag>, wanted: &str) -> Result<(), String> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(wanted) => Err("this tag is not supported here".to_owned()),
        Some(_) | None => Ok(()),
    }
}

fn position(source: u16, marker: &Marker) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position {
        source,
        line: number(marker.line()),
        column: number(marker.col().saturating_add(1)),
    }
}
