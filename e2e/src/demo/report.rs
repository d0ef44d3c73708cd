//! The end of the demo: what came in, what was kept and why, what it cost, the map, one failed trace.

use std::collections::BTreeMap;
use std::io::Write;

use super::{Run, heading};
use crate::account::Account;
use crate::documents::{Document, Health};
use crate::order_system::Story;
use crate::service_map::ServiceMap;
use crate::terminal::{Terminal, duration, grouped};
use crate::waterfall;
use crate::workload::Why;

const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn write(out: &mut impl Write, terminal: Terminal, run: &Run) -> std::io::Result<()> {
    heading(out, terminal, "What came in")?;
    write_in(out, run)?;
    heading(out, terminal, "What was kept, and why")?;
    write_kept(out, run)?;
    heading(out, terminal, "What it cost")?;
    write_cost(out, run)?;
    heading(out, terminal, "Where every span is")?;
    write_account(out, run.ended.account.as_ref().unwrap_or(&run.account))?;
    heading(out, terminal, "Service map")?;
    write!(
        out,
        "{}",
        ServiceMap::build(&run.kept.documents()).render(terminal)
    )?;
    if let Some((story, documents)) = failed_trace(run) {
        heading(out, terminal, "One failed trace")?;
        writeln!(
            out,
            "{}  {}  kept by {}\n",
            story.truth.trace_id,
            story.title,
            policy(documents)
        )?;
        write!(out, "{}", waterfall::render(documents, terminal))?;
    }
    Ok(())
}

fn write_in(out: &mut impl Write, run: &Run) -> std::io::Result<()> {
    let load = &run.load;
    let latency = |share| {
        load.latency(share)
            .map_or_else(|| "-".into(), |time| duration(time.as_secs_f64()))
    };
    writeln!(
        out,
        "traces    {:>8}   {} failed, {} slow",
        grouped(run.traffic.stories.len() as u64),
        count(run, Some(Why::Error)),
        count(run, Some(Why::Slow)),
    )?;
    writeln!(
        out,
        "spans     {:>8}   {} accepted",
        grouped(load.spans),
        grouped(load.spans_accepted)
    )?;
    writeln!(
        out,
        "requests  {:>8}   {} accepted; answered in {} (half), {} (99 %)",
        grouped(load.requests),
        grouped(load.accepted),
        latency(0.5),
        latency(0.99),
    )
}

fn write_kept(out: &mut impl Write, run: &Run) -> std::io::Result<()> {
    let mut traces: BTreeMap<&str, u64> = BTreeMap::new();
    for documents in run.kept.traces.values() {
        *traces.entry(policy(documents)).or_default() += 1;
    }
    let spans = run.account.by_label("tracepipe_spans_kept", "policy");
    writeln!(out, "{:<28}{:>10}{:>10}", "policy", "traces", "spans")?;
    let unnamed = traces
        .keys()
        .filter(|name| !spans.contains_key(**name))
        .map(|name| (*name).to_owned());
    for name in spans.keys().cloned().chain(unnamed.collect::<Vec<_>>()) {
        let of_policy = traces.get(name.as_str()).copied().unwrap_or(0);
        let spans = spans.get(&name).copied().unwrap_or(0);
        writeln!(out, "{name:<28}{:>10}{:>10}", grouped(of_policy), grouped(spans))?;
    }
    for (why, word) in [
        (Some(Why::Error), "failed"),
        (Some(Why::Slow), "slow"),
        (None, "ordinary"),
    ] {
        let all = count(run, why);
        let whole = run
            .traffic
            .stories
            .iter()
            .filter(|story| story.truth.must_be_kept == why);
        let whole = whole
            .filter(|story| run.kept.spans_of(story) == story.truth.spans.len())
            .count() as u64;
        let share = if all == 0 {
            0.0
        } else {
            whole as f64 * 100.0 / all as f64
        };
        writeln!(
            out,
            "of {:>6} {word:<9} traces {:>6} are in X-Ray, complete ({share:.0} %)",
            grouped(all),
            grouped(whole)
        )?;
    }
    Ok(())
}

fn write_cost(out: &mut impl Write, run: &Run) -> std::io::Result<()> {
    let cpu = run.usage.cpu.as_secs_f64();
    let spans = run.load.spans_accepted.max(1) as f64;
    writeln!(
        out,
        "CPU       {cpu:.2} s in {:.0} s: {:.1} % of one core, {:.0} us per span that came in",
        run.elapsed.as_secs_f64(),
        cpu * 100.0 / run.elapsed.as_secs_f64().max(1.0),
        cpu * 1e6 / spans,
    )?;
    writeln!(
        out,
        "memory    {:.1} MiB at the end, {:.1} MiB at most",
        run.usage.rss_bytes as f64 / MIB,
        run.usage.rss_peak_bytes as f64 / MIB,
    )
}

fn write_account(out: &mut impl Write, account: &Account) -> std::io::Result<()> {
    let spans = |name: &str| grouped(account.sum(&format!("tracepipe_spans_{name}")));
    writeln!(
        out,
        "accepted {} = rejected {} + filtered {} + dropped {} + lost {} + buffered {} + kept {}",
        spans("accepted"),
        spans("rejected"),
        spans("filtered"),
        spans("dropped"),
        spans("lost"),
        spans("buffered"),
        spans("kept"),
    )?;
    for exporter in account
        .by_label("tracepipe_exporter_spans_exported", "exporter")
        .keys()
    {
        let spans = |term: &str| {
            let name = format!("tracepipe_exporter_spans_{term}");
            grouped(account.sum_with(&name, "exporter", |id| id == exporter))
        };
        writeln!(
            out,
            "{exporter}: kept {} = exported {} + lost {} + waiting {} + in flight {}",
            grouped(account.sum("tracepipe_spans_kept")),
            spans("exported"),
            spans("lost"),
            spans("waiting"),
            spans("in_flight"),
        )?;
    }
    match account.check() {
        Ok(()) => writeln!(out, "the account holds"),
        Err(problems) => writeln!(out, "the account does NOT hold: {}", problems.join("; ")),
    }
}

fn count(run: &Run, why: Option<Why>) -> u64 {
    run.traffic
        .stories
        .iter()
        .filter(|story| story.truth.must_be_kept == why)
        .count() as u64
}

fn policy(documents: &[Document]) -> &str {
    documents
        .iter()
        .find_map(Document::policy)
        .unwrap_or("(no policy named)")
}

/// Of the failed traces the one with the most to see: services, then documents that failed.
fn failed_trace(run: &Run) -> Option<(&Story, &[Document])> {
    let failed = run.traffic.stories.iter().filter(|story| story.truth.has_error);
    failed
        .map(|story| (story, run.kept.of(story.truth.trace_id)))
        .filter(|(_, documents)| !documents.is_empty())
        .max_by_key(|(_, documents)| {
            let faults = documents
                .iter()
                .filter(|document| document.health() == Health::Fault)
                .count();
            let segments = documents
                .iter()
                .filter(|document| !document.is_subsegment())
                .count();
            (faults, segments, documents.len())
        })
}
