//! The service map that X-Ray would draw.
//!
//! Segments are nodes, by name. A subsegment with a namespace is a call: to the segment whose parent it is, or, when
//! no segment answered, to a remote node of its own name. A link is an asynchronous edge, to the segment that has it or
//! lies above it, from the node that was sent what the link names. A segment with neither parent nor link is called by
//! the clients. Nothing calls itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use crate::documents::{Document, Health};
use crate::terminal::{Ink, Terminal, duration, fit, grouped};

/// The node that calls every root segment.
pub const CLIENTS: &str = "clients";

/// What was counted of a node or an edge.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Calls {
    /// All of them.
    pub calls: u64,
    /// 5xx and failures without a code.
    pub faults: u64,
    /// 4xx, 429 included.
    pub errors: u64,
    /// Summed up.
    pub seconds: f64,
}

/// One node.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Node {
    /// Requests that it answered (that were made to it, for a remote one).
    pub calls: Calls,
    /// It sent no segment of its own: a database, a foreign service.
    pub remote: bool,
}

/// Nodes and edges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceMap {
    /// By name.
    pub nodes: BTreeMap<String, Node>,
    /// From caller to called.
    pub edges: BTreeMap<(String, String), Calls>,
    /// How many links there are from what was sent to who received it: X-Ray's edges of type `link`.
    pub links: BTreeMap<(String, String), u64>,
    /// Segments whose parent was not among the documents: the map is torn there.
    pub orphans: u64,
}

impl Calls {
    fn add(&mut self, document: &Document) {
        self.calls += 1;
        self.seconds += document.seconds();
        match document.health() {
            Health::Ok => {}
            Health::Error | Health::Throttle => self.errors += 1,
            Health::Fault => self.faults += 1,
        }
    }

    /// `3 calls, 1 fault`.
    fn told(&self) -> String {
        let others = [(self.faults, "fault"), (self.errors, "error")];
        let others = others.into_iter().filter(|(count, _)| *count > 0);
        others.fold(counted(self.calls, "call"), |told, (count, what)| {
            told + ", " + &counted(count, what)
        })
    }

    fn mean(&self) -> f64 {
        if self.calls == 0 {
            0.0
        } else {
            self.seconds / self.calls as f64
        }
    }
}

impl ServiceMap {
    /// Joins the documents of any number of traces.
    pub fn build(documents: &[Document]) -> Self {
        let joined = Joined::new(documents);
        let links = joined.links(documents);
        let linked: HashSet<Key<'_>> = links.iter().map(|(segment, _)| *segment).collect();
        let mut map = Self::default();
        for segment in documents.iter().filter(|document| !document.is_subsegment()) {
            map.nodes
                .entry(segment.name.clone())
                .or_default()
                .calls
                .add(segment);
            match parent(segment) {
                Some(parent) => match joined.find(parent).and_then(|parent| joined.owner(parent)) {
                    Some(caller) => map.edge(&caller.name, &segment.name, segment),
                    None => map.orphans += 1,
                },
                None if linked.contains(&key(segment)) => {}
                None => {
                    map.nodes.entry(CLIENTS.into()).or_default().calls.add(segment);
                    map.edge(CLIENTS, &segment.name, segment);
                }
            }
        }
        for call in documents.iter().filter(|document| joined.is_unanswered(document)) {
            let Some(caller) = joined.owner(call) else {
                continue;
            };
            // A remote node of a service that also sends segments stays that service's node.
            if map.nodes.get(&call.name).is_none_or(|node| node.remote) {
                let node = map.nodes.entry(call.name.clone()).or_default();
                node.remote = true;
                node.calls.add(call);
            }
            map.edge(&caller.name, &call.name, call);
        }
        for (segment, sent) in links {
            if let (Some(to), Some(from)) = (joined.find(segment), joined.find(sent)) {
                map.link(&joined, from, &to.name);
            }
        }
        map
    }

    /// Nodes and edges as lines of text that say no times, to be put beside a drawing: `e2e/testdata/maps/README.md`.
    pub fn draw(&self) -> String {
        let mut nodes: Vec<String> = self
            .nodes
            .iter()
            .filter(|(name, _)| *name != CLIENTS)
            .map(|(name, node)| match node.remote {
                true => format!("({name}) {}", node.calls.told()),
                false => format!("[{name}] {}", node.calls.told()),
            })
            .collect();
        nodes.sort_unstable();
        let calls = self.edges.iter().map(|((from, to), calls)| {
            let arrow = if self.is_remote(to) { "~>" } else { "->" };
            format!("{from} {arrow} {to}: {}", calls.told())
        });
        let links = self.links.iter().map(|((from, to), links)| {
            let told = counted(*links, "link");
            format!("{from} ..> {to}: {told}")
        });
        let mut edges: Vec<String> = calls.chain(links).collect();
        edges.sort_unstable();
        let mut text = nodes
            .into_iter()
            .chain(edges)
            .fold(String::new(), |mut text, line| {
                text.push_str(&line);
                text.push('\n');
                text
            });
        if self.orphans > 0 {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "{} without its caller", counted(self.orphans, "segment"));
        }
        text
    }

    /// A block of lines for each node that calls others, beginning with the clients.
    pub fn render(&self, terminal: Terminal) -> String {
        let name_columns = terminal.columns.saturating_sub(44).clamp(16, 48);
        let heading = format!(
            "{}{:>9}{:>9}{:>9}{:>12}",
            fit("", name_columns),
            "calls",
            "faults",
            "errors",
            "mean"
        );
        let mut text = terminal.paint(Ink::Dim, heading.trim_end());
        text.push('\n');
        for caller in self.callers() {
            text.push_str(&terminal.paint(Ink::Bold, &caller));
            text.push('\n');
            for ((_, called), calls) in self.edges.iter().filter(|((from, _), _)| *from == caller) {
                let arrow = if self.is_remote(called) { "  ~> " } else { "  -> " };
                let row = format!(
                    "{}{:>9}{:>9}{:>9}{:>12}",
                    fit(&format!("{arrow}{called}"), name_columns),
                    grouped(calls.calls),
                    grouped(calls.faults),
                    grouped(calls.errors),
                    duration(calls.mean()),
                );
                let row = match (calls.faults, calls.errors) {
                    (0, 0) => row,
                    (0, _) => terminal.paint(Ink::Yellow, &row),
                    (_, _) => terminal.paint(Ink::Red, &row),
                };
                text.push_str(&row);
                text.push('\n');
            }
            for ((_, receiver), links) in self.links.iter().filter(|((from, _), _)| *from == caller) {
                let arrow = fit(&format!(" ..> {receiver}"), name_columns);
                // Writing to a String cannot fail.
                let _infallible = writeln!(text, "{arrow}{:>9}", grouped(*links));
            }
        }
        let linked = if self.links.is_empty() { "" } else { "   ..> links" };
        let legend = format!("-> a service that sends spans   ~> one that does not{linked}");
        text.push_str(&terminal.paint(Ink::Dim, &legend));
        text.push('\n');
        if self.orphans > 0 {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "{} segments whose caller is missing", grouped(self.orphans));
        }
        text
    }

    fn is_remote(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|node| node.remote)
    }

    /// A segment below one of its own service (a consumer's second span) is no call.
    fn edge(&mut self, from: &str, to: &str, document: &Document) {
        if from == to {
            return;
        }
        self.edges
            .entry((from.to_owned(), to.to_owned()))
            .or_default()
            .add(document);
    }

    /// What nobody answered lies where it was sent to, a queue; anything else is with its service.
    fn link(&mut self, joined: &Joined<'_>, sent: &Document, to: &str) {
        let from = if joined.is_unanswered(sent) {
            Some(sent)
        } else {
            joined.owner(sent)
        };
        if let Some(from) = from.filter(|from| from.name != to) {
            *self.links.entry((from.name.clone(), to.to_owned())).or_default() += 1;
        }
    }

    /// Calls and links: where from, where to.
    fn arrows(&self) -> impl Iterator<Item = &(String, String)> {
        self.edges.keys().chain(self.links.keys())
    }

    /// Nodes with outgoing edges, in the order in which a request reaches them.
    fn callers(&self) -> Vec<String> {
        let mut order = vec![CLIENTS.to_owned()];
        let mut next = 0;
        while let Some(caller) = order.get(next).cloned() {
            for (_, called) in self.arrows().filter(|(from, _)| *from == caller) {
                if !order.contains(called) {
                    order.push(called.clone());
                }
            }
            next += 1;
        }
        let torn = self.arrows().map(|(from, _)| from.clone());
        let torn: Vec<String> = torn.filter(|from| !order.contains(from)).collect();
        order.extend(torn);
        order.dedup();
        order.retain(|name| self.arrows().any(|(from, _)| from == name));
        order
    }
}

/// `3 calls, 1 fault`.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Trace id and document id.
type Key<'a> = (&'a str, &'a str);

fn key(document: &Document) -> Key<'_> {
    (&document.trace_id, &document.id)
}

fn parent(document: &Document) -> Option<Key<'_>> {
    Some((&document.trace_id, document.parent_id.as_deref()?))
}

/// Documents that find each other.
struct Joined<'a> {
    by_id: HashMap<Key<'a>, &'a Document>,
    /// The parents of segments.
    answered: HashSet<Key<'a>>,
}

impl<'a> Joined<'a> {
    fn new(documents: &'a [Document]) -> Self {
        let segments = documents.iter().filter(|document| !document.is_subsegment());
        Self {
            by_id: documents
                .iter()
                .map(|document| (key(document), document))
                .collect(),
            answered: segments.filter_map(parent).collect(),
        }
    }

    fn find(&self, key: Key<'_>) -> Option<&'a Document> {
        self.by_id.get(&key).copied()
    }

    fn is_unanswered(&self, document: &Document) -> bool {
        document.is_call() && !self.answered.contains(&key(document))
    }

    /// The segment that a document is or lies in.
    fn owner(&self, document: &'a Document) -> Option<&'a Document> {
        let mut at = document;
        // No trace is deeper than it has documents; a circle of parents ends here.
        for _ in 0..self.by_id.len() {
            if !at.is_subsegment() {
                return Some(at);
            }
            at = self.find(parent(at)?)?;
        }
        None
    }

    /// Segments, and what a link in them names outside of them; each pair once, and not what the parent says already.
    fn links(&self, documents: &'a [Document]) -> BTreeSet<(Key<'a>, Key<'a>)> {
        let mut links = BTreeSet::new();
        for document in documents.iter().filter(|document| !document.links.is_empty()) {
            let Some(segment) = self.owner(document) else {
                continue;
            };
            let sent = document.links.iter().map(|link| (&*link.trace_id, &*link.id));
            let known = sent.filter(|sent| {
                let there = self.find(*sent).and_then(|sent| self.owner(sent));
                let outside = there.is_some_and(|there| key(there) != key(segment));
                outside && parent(segment) != Some(*sent)
            });
            links.extend(known.map(|sent| (key(segment), sent)));
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CLIENTS, ServiceMap};
    use crate::documents::Document;
    use crate::terminal::Terminal;

    fn document(id: u32, parent: Option<u32>, name: &str, extra: &serde_json::Value) -> Document {
        let mut value = json!({"name": name, "id": format!("{id:016}"), "trace_id": "1-1-1",
                               "start_time": 10.0, "end_time": 10.5});
        if let Some(parent) = parent {
            value["parent_id"] = format!("{parent:016}").into();
        }
        for (key, member) in extra.as_object().unwrap() {
            value[key] = member.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn call() -> serde_json::Value {
        json!({"type": "subsegment", "namespace": "remote"})
    }

    fn orders() -> Vec<Document> {
        vec![
            document(1, None, "balancer", &json!({})),
            document(2, Some(1), "price basket", &json!({"type": "subsegment"})),
            document(3, Some(2), "POST", &call()),
            document(4, Some(3), "orders", &json!({"fault": true})),
            document(
                5,
                Some(4),
                "shop@orders-db",
                &json!({"type": "subsegment", "namespace": "remote", "fault": true}),
            ),
        ]
    }

    fn edges(map: &ServiceMap) -> Vec<(&str, &str)> {
        map.edges
            .keys()
            .map(|(from, to)| (from.as_str(), to.as_str()))
            .collect()
    }

    #[test]
    fn calls_join_the_segments_that_answered_and_else_a_remote_node() {
        let map = ServiceMap::build(&orders());
        let expected = [
            ("balancer", "orders"),
            (CLIENTS, "balancer"),
            ("orders", "shop@orders-db"),
        ];
        assert_eq!(edges(&map), expected);
        assert_eq!(map.nodes.len(), 4);
        assert!(map.nodes["shop@orders-db"].remote && !map.nodes["orders"].remote);
        assert_eq!(map.nodes["orders"].calls.faults, 1);
        assert_eq!(map.orphans, 0);
    }

    #[test]
    fn a_missing_document_tears_the_map_and_is_counted() {
        let torn: Vec<Document> = orders()
            .into_iter()
            .filter(|document| document.name != "POST")
            .collect();
        let map = ServiceMap::build(&torn);
        assert_eq!(map.orphans, 1);
        assert!(
            map.render(Terminal::plain(100))
                .contains("1 segments whose caller is missing")
        );
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let circle = [
            document(1, Some(2), "a", &call()),
            document(2, Some(1), "b", &call()),
        ];
        assert!(ServiceMap::build(&circle).edges.is_empty());
    }

    fn linked(to: &[u32]) -> serde_json::Value {
        let links = to
            .iter()
            .map(|id| json!({"trace_id": "1-1-1", "id": format!("{id:016}")}));
        json!({ "links": links.collect::<Vec<_>>() })
    }

    #[test]
    fn a_link_leads_from_the_queue_to_who_received_and_counts_once() {
        let mut process = linked(&[2]);
        process["type"] = "subsegment".into();
        let map = ServiceMap::build(&[
            document(1, None, "shop", &json!({})),
            document(2, Some(1), "queue", &call()),
            document(3, Some(1), "queue", &call()),
            document(4, None, "billing", &linked(&[2, 3, 99])),
            document(5, Some(4), "queue process", &process),
        ]);
        let expected = "(queue) 2 calls\n[billing] 1 call\n[shop] 1 call\nclients -> shop: 1 call\n\
                        queue ..> billing: 2 links\nshop ~> queue: 2 calls\n";
        assert_eq!(map.draw(), expected);
        let text = map.render(Terminal::plain(100));
        assert!(text.contains("\nqueue\n ..> billing"), "{text}");
    }

    #[test]
    fn a_link_to_the_parent_or_into_itself_says_nothing_and_one_to_an_answered_call_leads_from_its_service() {
        let mut inside = linked(&[7]);
        inside["type"] = "subsegment".into();
        let map = ServiceMap::build(&[
            document(1, None, "shop", &json!({})),
            document(2, Some(1), "queue", &call()),
            document(3, Some(2), "billing", &linked(&[2])),
            document(4, None, "search", &linked(&[2])),
            document(5, None, "audit", &linked(&[98])),
            document(6, None, "meter", &json!({})),
            document(7, Some(6), "topic", &call()),
            document(8, Some(6), "inside", &inside),
        ]);
        assert_eq!(
            edges(&map),
            [
                ("clients", "audit"),
                ("clients", "meter"),
                ("clients", "shop"),
                ("meter", "topic"),
                ("shop", "billing")
            ]
        );
        let links: Vec<_> = map.links.into_iter().collect();
        assert_eq!(links, [(("shop".to_owned(), "search".to_owned()), 1)]);
    }

    #[test]
    fn nothing_calls_itself() {
        let map = ServiceMap::build(&[
            document(1, None, "shop", &json!({})),
            document(2, Some(1), "queue", &call()),
            document(3, Some(2), "shop", &json!({"fault": true})),
            document(4, Some(1), "shop", &call()),
            document(5, None, "shop", &linked(&[2])),
        ]);
        assert_eq!(map.draw(), "[shop] 3 calls, 1 fault\nclients -> shop: 1 call\n");
    }

    #[test]
    fn lines_are_as_wide_as_the_terminal() {
        for columns in [60, 100, 160] {
            let text = ServiceMap::build(&orders()).render(Terminal::plain(columns));
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
            assert!(text.contains("  -> orders"), "{text}");
            assert!(
                text.contains(if columns == 60 {
                    "  ~> shop@orde.."
                } else {
                    "  ~> shop@orders-db"
                }),
                "{text}"
            );
        }
    }
}
