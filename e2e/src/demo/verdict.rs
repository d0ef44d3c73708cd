//! Whether what happened is what had to happen.

use std::collections::{BTreeMap, HashSet};

use tracepipe_otlp::TraceId;

use super::Run;
use crate::account::Account;
use crate::documents::Document;
use crate::fake_xray::{Accepted, FakeXray};
use crate::order_system::Story;
use crate::terminal::grouped;
use crate::workload::Why;

/// Missing traces that are named one by one; the others are counted.
const NAMED_MAX: usize = 5;

/// The documents that X-Ray has, by trace.
#[derive(Debug, Default, Clone)]
pub struct KeptTraces {
    /// By the trace id's 32 hex digits.
    pub traces: BTreeMap<String, Vec<Document>>,
}

impl KeptTraces {
    /// Reads what the fake accepted; of a document that came more than once, the last.
    ///
    /// # Errors
    /// When one is no segment document, which the fake would have refused.
    pub fn read(accepted: &[Accepted]) -> anyhow::Result<Self> {
        let mut traces: BTreeMap<String, Vec<Document>> = BTreeMap::new();
        for accepted in accepted {
            let document = Document::parse(accepted)?;
            let trace = traces.entry(w3c(&document.trace_id)).or_default();
            trace.retain(|before| before.id != document.id);
            trace.push(document);
        }
        Ok(Self { traces })
    }

    /// The documents of a trace; none when it is missing.
    pub fn of(&self, trace_id: TraceId) -> &[Document] {
        self.traces.get(&trace_id.to_string()).map_or(&[], Vec::as_slice)
    }

    /// Of a story's spans, how many have a document.
    pub fn spans_of(&self, story: &Story) -> usize {
        let ids: HashSet<&str> = self
            .of(story.truth.trace_id)
            .iter()
            .map(|document| &*document.id)
            .collect();
        story
            .truth
            .spans
            .iter()
            .filter(|span| ids.contains(span.to_string().as_str()))
            .count()
    }

    /// Every document.
    pub fn documents(&self) -> Vec<Document> {
        self.traces.values().flatten().cloned().collect()
    }
}

/// Stories that had to be kept and whose spans were all accepted.
pub(super) fn owed(run: &Run) -> impl Iterator<Item = &Story> {
    run.traffic
        .stories
        .iter()
        .filter(|story| story.truth.must_be_kept.is_some() && run.load.fully_accepted(&story.truth))
}

/// What should not have happened.
pub(super) fn problems(run: &Run, fake: &FakeXray) -> Vec<String> {
    let mut problems = run.problems.clone();
    if !run.load.all_accepted() {
        problems.push(format!(
            "the collector did not take every request: {:?}",
            run.load.answers
        ));
    }
    let owed: Vec<Story> = owed(run).cloned().collect();
    if owed.is_empty() {
        problems.push("no trace that has to be kept was accepted whole: nothing was shown".into());
    }
    problems.extend(missing(&owed, &run.kept));
    problems.extend(fake_problems(fake));
    problems.extend(account_problems(run));
    if !run.ended.status.success() {
        problems.push(format!("the collector ended with {}", run.ended.status));
    }
    problems
}

/// Traces that X-Ray should have, and has not or not whole.
fn missing(owed: &[Story], kept: &KeptTraces) -> Vec<String> {
    let mut problems = Vec::new();
    for story in owed {
        let (found, all) = (kept.spans_of(story), story.truth.spans.len());
        if found == all {
            continue;
        }
        let why = match story.truth.must_be_kept {
            Some(Why::Error) => "failed".to_owned(),
            Some(Why::Slow) | None => format!("took {} ms", story.truth.duration_ms),
        };
        let what = if found == 0 {
            "is missing".to_owned()
        } else {
            format!("has only {found} of {all} spans")
        };
        problems.push(format!(
            "trace {} {what} in X-Ray: it {why} ({})",
            story.truth.trace_id, story.title
        ));
    }
    let more = problems.len().saturating_sub(NAMED_MAX);
    problems.truncate(NAMED_MAX);
    if more > 0 {
        problems.push(format!(
            "and {} more traces that had to be kept",
            grouped(more as u64)
        ));
    }
    problems
}

fn fake_problems(fake: &FakeXray) -> Vec<String> {
    let counts = fake.counts();
    let mut problems = Vec::new();
    if counts.denied > 0 {
        problems.push(format!(
            "X-Ray refused the signature of {} requests",
            counts.denied
        ));
    }
    if counts.invalid > 0 {
        problems.push(format!("X-Ray refused {} requests whole", counts.invalid));
    }
    if let Some(first) = fake.refused().first() {
        problems.push(format!(
            "X-Ray refused {} documents, the first: {} {}",
            counts.documents_refused, first.code, first.message
        ));
    }
    problems
}

/// The last account must hold by itself and agree with what generator and fake counted.
fn account_problems(run: &Run) -> Vec<String> {
    let Some(last) = &run.ended.account else {
        return vec!["the collector logged no account when it ended".into()];
    };
    let mut problems = last.check().err().unwrap_or_default();
    let mut agree = |what: &str, account: u64, counted: u64| {
        if account != counted {
            problems.push(format!(
                "{what}: the account says {account}, counted were {counted}"
            ));
        }
    };
    agree(
        "spans accepted",
        last.sum("tracepipe_spans_accepted"),
        run.load.spans_accepted,
    );
    agree(
        "requests accepted",
        last.sum("tracepipe_requests_accepted"),
        run.load.accepted,
    );
    agree("spans left inside", last.spans_inside(), 0);
    let in_xray: usize = run
        .traffic
        .stories
        .iter()
        .map(|story| run.kept.spans_of(story))
        .sum();
    let exported = exported_to_xray(last);
    agree("spans exported to X-Ray", exported, in_xray as u64);
    problems
}

fn exported_to_xray(account: &Account) -> u64 {
    account.sum_with("tracepipe_exporter_spans_exported", "exporter", |id| {
        id == "awsxray" || id.starts_with("awsxray/")
    })
}

/// `1-8hex-24hex` without prefix and dashes.
fn w3c(xray_trace_id: &str) -> String {
    xray_trace_id
        .strip_prefix("1-")
        .unwrap_or(xray_trace_id)
        .replace('-', "")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{KeptTraces, missing};
    use crate::fake_xray::Accepted;
    use crate::order_system::{Story, Traffic};

    fn documents(story: &Story) -> Vec<Accepted> {
        let hex = story.truth.trace_id.to_string();
        let trace_id = format!("1-{}-{}", &hex[..8], &hex[8..]);
        let document = |id: String| {
            let text =
                json!({"name": "n", "id": id, "trace_id": trace_id, "start_time": 1.0, "end_time": 2.0});
            Accepted {
                arrived_unix_nano: 1,
                trace_id: trace_id.clone(),
                id,
                text: text.to_string(),
            }
        };
        story
            .truth
            .spans
            .iter()
            .map(|span| document(span.to_string()))
            .collect()
    }

    fn owed() -> Vec<Story> {
        let mut stories = Traffic::new(1, 300, Duration::from_secs(3), 1_795_236_000_000_000_000).stories;
        stories.retain(|story| story.truth.must_be_kept.is_some());
        stories
    }

    #[test]
    fn whole_traces_are_no_problem() {
        let owed = owed();
        let accepted: Vec<Accepted> = owed.iter().flat_map(documents).collect();
        assert!(owed.len() > 20);
        assert!(missing(&owed, &KeptTraces::read(&accepted).unwrap()).is_empty());
    }

    #[test]
    fn one_missing_trace_and_one_missing_span_are_named() {
        let owed = owed();
        let mut accepted: Vec<Accepted> = owed.iter().skip(1).flat_map(documents).collect();
        accepted.remove(0);
        let problems = missing(&owed, &KeptTraces::read(&accepted).unwrap());
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains(&owed[0].truth.trace_id.to_string()));
        assert!(problems[0].contains("is missing"));
        let all = owed[1].truth.spans.len();
        assert!(
            problems[1].contains(&format!("has only {} of {all} spans", all - 1)),
            "{problems:?}"
        );
    }

    #[test]
    fn many_missing_traces_are_counted() {
        let problems = missing(&owed(), &KeptTraces::default());
        assert_eq!(problems.len(), 6);
        assert!(problems[5].contains(&format!("and {} more", owed().len() - 5)));
    }

    #[test]
    fn a_document_that_came_twice_counts_once() {
        let owed = owed();
        let twice: Vec<Accepted> = documents(&owed[0])
            .into_iter()
            .chain(documents(&owed[0]))
            .collect();
        let kept = KeptTraces::read(&twice).unwrap();
        assert_eq!(kept.documents().len(), owed[0].truth.spans.len());
    }
}
