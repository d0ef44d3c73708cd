//! One trace as a picture of text: each document a line, indented below its parent, with a bar where its time lies.

use std::collections::HashMap;

use crate::documents::{Document, Health};
use crate::terminal::{Ink, Terminal, duration, fit};

/// Deeper documents are drawn at this depth: names would not fit.
const DEPTH_MAX: usize = 12;
/// `1.2 s` and a blank on each side.
const DURATION_COLUMNS: usize = 9;
/// `throttle 429`.
const STATE_COLUMNS: usize = 12;

/// Draws the documents of one trace.
pub fn render(documents: &[Document], terminal: Terminal) -> String {
    let Some(start) = documents
        .iter()
        .map(|document| document.start_time)
        .min_by(f64::total_cmp)
    else {
        return "no documents\n".into();
    };
    let end = documents.iter().map(Document::end_seconds).fold(start, f64::max);
    let name_columns = (terminal.columns * 2 / 5).max(24);
    let bar_columns = terminal
        .columns
        .saturating_sub(name_columns + DURATION_COLUMNS + STATE_COLUMNS + 2)
        .max(8);
    let scale = Scale {
        start,
        seconds: (end - start).max(1e-9),
        columns: bar_columns,
    };

    let mut text = String::new();
    for (depth, document) in in_order(documents) {
        let name = format!("{}{}", "  ".repeat(depth.min(DEPTH_MAX)), title(document));
        let line = format!(
            "{}{:>width$} {} {}",
            fit(&name, name_columns),
            duration(document.seconds()),
            scale.bar(document),
            state(document),
            width = DURATION_COLUMNS,
        );
        let line = match document.health() {
            Health::Ok => line,
            Health::Error | Health::Throttle => terminal.paint(Ink::Yellow, &line),
            Health::Fault => terminal.paint(Ink::Red, &line),
        };
        text.push_str(line.trim_end());
        text.push('\n');
        if let Some(message) = document.exception() {
            let indent = "  ".repeat(depth.min(DEPTH_MAX) + 1);
            let line = fit(&format!("{indent}! {message}"), terminal.columns);
            text.push_str(&terminal.paint(Ink::Dim, line.trim_end()));
            text.push('\n');
        }
    }
    text
}

/// Parents before children, children by their start; a document whose parent is missing stands at the left.
fn in_order(documents: &[Document]) -> Vec<(usize, &Document)> {
    let known: HashMap<&str, ()> = documents.iter().map(|document| (&*document.id, ())).collect();
    let mut children: HashMap<Option<&str>, Vec<&Document>> = HashMap::new();
    for document in documents {
        let parent = document
            .parent_id
            .as_deref()
            .filter(|parent| known.contains_key(parent));
        children.entry(parent).or_default().push(document);
    }
    for siblings in children.values_mut() {
        // Taken from the end below, so the last comes first.
        siblings.sort_by(|a, b| {
            b.start_time
                .total_cmp(&a.start_time)
                .then_with(|| b.id.cmp(&a.id))
        });
    }
    let mut stack: Vec<(usize, &Document)> = children
        .remove(&None)
        .unwrap_or_default()
        .into_iter()
        .map(|root| (0, root))
        .collect();
    let mut order = Vec::with_capacity(documents.len());
    while let Some((depth, document)) = stack.pop() {
        order.push((depth, document));
        let below = children.remove(&Some(&*document.id)).unwrap_or_default();
        stack.extend(below.into_iter().map(|child| (depth + 1, child)));
    }
    order
}

fn title(document: &Document) -> String {
    if document.is_call() {
        format!("> {}", document.name)
    } else if document.is_subsegment() {
        document.name.clone()
    } else {
        format!("[{}]", document.name)
    }
}

fn state(document: &Document) -> String {
    let word = match document.health() {
        Health::Ok => "",
        Health::Error => "error",
        Health::Throttle => "throttle",
        Health::Fault => "fault",
    };
    match document.status() {
        Some(status) => format!("{word} {status}").trim_start().to_owned(),
        None => word.to_owned(),
    }
}

struct Scale {
    start: f64,
    seconds: f64,
    columns: usize,
}

impl Scale {
    fn bar(&self, document: &Document) -> String {
        let column = |time: f64| {
            let share = ((time - self.start) / self.seconds).clamp(0.0, 1.0);
            (share * self.columns as f64).round() as usize
        };
        let from = column(document.start_time).min(self.columns - 1);
        let to = column(document.end_seconds()).clamp(from + 1, self.columns);
        format!(
            "{}{}{}",
            " ".repeat(from),
            "=".repeat(to - from),
            " ".repeat(self.columns - to)
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::render;
    use crate::documents::Document;
    use crate::terminal::Terminal;

    fn trace() -> Vec<Document> {
        let documents = json!([
            {"name": "orders", "id": "2", "parent_id": "3", "trace_id": "t", "start_time": 2.0, "end_time": 4.0,
             "fault": true, "http": {"response": {"status": 504}},
             "cause": {"exceptions": [{"id": "9", "message": "no answer"}]}},
            {"name": "POST", "id": "3", "parent_id": "1", "trace_id": "t", "start_time": 1.0, "end_time": 4.0,
             "type": "subsegment", "namespace": "remote"},
            {"name": "balancer", "id": "1", "trace_id": "t", "start_time": 0.0, "end_time": 4.0},
            {"name": "check", "id": "4", "parent_id": "1", "trace_id": "t", "start_time": 0.5, "end_time": 0.6,
             "type": "subsegment"},
        ]);
        serde_json::from_value(documents).unwrap()
    }

    #[test]
    fn a_trace_is_drawn_as_a_tree_with_bars() {
        let expected = [
            "[balancer]                   4.0 s ================",
            "  check                     100 ms   =",
            "  > POST                     3.0 s     ============",
            "    [orders]                 2.0 s         ======== fault 504",
            "      ! no answer",
        ];
        assert_eq!(
            render(&trace(), Terminal::plain(64)).lines().collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn lines_are_as_wide_as_the_terminal() {
        for columns in [60, 100, 160] {
            let text = render(&trace(), Terminal::plain(columns));
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        }
    }

    #[test]
    fn a_document_without_its_parent_is_still_drawn() {
        let torn: Vec<Document> = trace()
            .into_iter()
            .filter(|document| document.id != "1")
            .collect();
        assert_eq!(render(&torn, Terminal::plain(100)).lines().count(), 4);
        assert_eq!(render(&[], Terminal::plain(100)), "no documents\n");
    }
}
