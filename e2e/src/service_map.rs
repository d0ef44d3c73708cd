//! The service map that X-Ray would draw.
//!
//! Segments are nodes, by name. A subsegment with a namespace is a call: to the segment whose parent it is, or, when
//! no segment answered, to a remote node of its own name. A segment without parent is called by the clients.

use std::collections::{BTreeMap, HashMap};
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
        let by_id: HashMap<Key<'_>, &Document> = documents
            .iter()
            .map(|document| ((&*document.trace_id, &*document.id), document))
            .collect();
        let mut map = Self::default();
        let mut answered: HashMap<Key<'_>, ()> = HashMap::new();
        for segment in documents.iter().filter(|document| !document.is_subsegment()) {
            map.nodes
                .entry(segment.name.clone())
                .or_default()
                .calls
                .add(segment);
            let Some(parent_id) = &segment.parent_id else {
                map.nodes.entry(CLIENTS.into()).or_default().calls.add(segment);
                map.edge(CLIENTS, &segment.name, segment);
                continue;
            };
            let parent = (&*segment.trace_id, parent_id.as_str());
            answered.insert(parent, ());
            match by_id.get(&parent).and_then(|parent| owner(&by_id, parent)) {
                // A segment below one of its own service (a consumer's second span) is no call.
                Some(caller) if caller.name == segment.name => {}
                Some(caller) => map.edge(&caller.name, &segment.name, segment),
                None => map.orphans += 1,
            }
        }
        for call in documents.iter().filter(|document| document.is_call()) {
            if answered.contains_key(&(&*call.trace_id, &*call.id)) {
                continue;
            }
            let Some(caller) = owner(&by_id, call) else {
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
        map
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
                let remote = self.nodes.get(called).is_some_and(|node| node.remote);
                let arrow = if remote { "  ~> " } else { "  -> " };
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
        }
        text.push_str(&terminal.paint(Ink::Dim, "-> a service that sends spans   ~> one that does not"));
        text.push('\n');
        if self.orphans > 0 {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "{} segments whose caller is missing", grouped(self.orphans));
        }
        text
    }

    fn edge(&mut self, from: &str, to: &str, document: &Document) {
        self.edges
            .entry((from.to_owned(), to.to_owned()))
            .or_default()
            .add(document);
    }

    /// Nodes with outgoing edges, in the order in which a request reaches them.
    fn callers(&self) -> Vec<String> {
        let mut order = vec![CLIENTS.to_owned()];
        let mut next = 0;
        while let Some(caller) = order.get(next).cloned() {
            for (_, called) in self.edges.keys().filter(|(from, _)| *from == caller) {
                if !order.contains(called) {
                    order.push(called.clone());
                }
            }
            next += 1;
        }
        let torn = self
            .edges
            .keys()
            .map(|(from, _)| from.clone())
            .filter(|from| !order.contains(from));
        let torn: Vec<String> = torn.collect();
        order.extend(torn);
        order.dedup();
        order.retain(|name| self.edges.keys().any(|(from, _)| from == name));
        order
    }
}

/// Trace id and document id.
type Key<'a> = (&'a str, &'a str);

/// The segment that a document is or lies in.
fn owner<'a>(by_id: &HashMap<Key<'_>, &'a Document>, document: &'a Document) -> Option<&'a Document> {
    let mut at = document;
    // No trace is deeper than it has documents; a circle of parents ends here.
    for _ in 0..by_id.len() {
        if !at.is_subsegment() {
            return Some(at);
        }
        at = by_id.get(&(&*at.trace_id, at.parent_id.as_deref()?)).copied()?;
    }
    None
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
