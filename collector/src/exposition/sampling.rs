//! What the tail sampler did: upstream's names where the meaning is the same
//! (processor/tailsamplingprocessor/documentation.md, v0.161.0), our own for the rest.

use tracepipe_sampling::PolicyStats;

use super::Exposition;
use crate::account::SamplingFigures;
use crate::decision_log::LogFigures;

const PREFIX: &str = "otelcol_processor_tail_sampling";

pub(super) fn into(text: &mut Exposition, sampling: &SamplingFigures) {
    policies_into(text, sampling);
    traces_into(text, sampling);
    late_into(text, sampling);
    if let Some(log) = &sampling.decision_log {
        log_into(text, log);
    }
}

/// A figure for each verdict of a policy: it wants, does not want, drops.
type ByVerdict = fn(&PolicyStats) -> [u64; 3];

fn policies_into(text: &mut Exposition, sampling: &SamplingFigures) {
    let of_traces: ByVerdict = |it| [it.wanted_traces, it.unwanted_traces, it.dropped_traces];
    let of_spans: ByVerdict = |it| [it.wanted_spans, it.unwanted_spans, it.dropped_spans];
    for (name, help, figures) in [
        (
            "count_traces_sampled",
            "Traces that each policy wanted, did not want or dropped.",
            of_traces,
        ),
        ("count_spans_sampled", "The spans that those had.", of_spans),
    ] {
        let name = format!("{PREFIX}_{name}");
        text.family(&name, "counter", help);
        for (policy, stats) in sampling.policies.iter().zip(&sampling.stats.policies) {
            by_decision(text, &name, &[("policy", policy)], figures(stats));
        }
    }
    const KEPT: &str = "tracepipe_tail_sampling_traces_kept_total";
    text.family(
        KEPT,
        "counter",
        "Traces kept, by the policy that kept them: the first that wanted them.",
    );
    for (policy, stats) in sampling.policies.iter().zip(&sampling.stats.policies) {
        text.sample(KEPT, &[("policy", policy)], stats.sampled_traces);
    }
}

fn traces_into(text: &mut Exposition, sampling: &SamplingFigures) {
    let stats = &sampling.stats;
    let global = format!("{PREFIX}_global_count_traces_sampled");
    text.family(&global, "counter", "Traces decided.");
    let not_sampled = stats.not_sampled_traces - stats.dropped_traces;
    by_decision(
        text,
        &global,
        &[],
        [stats.sampled_traces, not_sampled, stats.dropped_traces],
    );
    const EARLY: &str = "tracepipe_tail_sampling_traces_decided_early_total";
    text.family(EARLY, "counter", "Traces decided before their time, by reason.");
    for (reason, traces) in [
        ("num_traces", stats.decided_early_num_traces),
        ("giant", stats.decided_early_giant),
        ("shutdown", stats.decided_early_shutdown),
    ] {
        text.sample(EARLY, &[("reason", reason)], traces);
    }
    for (name, kind, help, value) in [
        (
            "new_trace_id_received",
            "counter",
            "Traces seen for the first time.",
            stats.new_traces,
        ),
        (
            "sampling_traces_on_memory",
            "gauge",
            "Traces waiting for a decision.",
            stats.open_traces,
        ),
        (
            "traces_dropped_too_large",
            "counter",
            "Traces dropped because they had more than maximum_trace_size_bytes.",
            stats.dropped_too_large_traces,
        ),
        (
            "sampling_trace_dropped_too_early",
            "counter",
            "Traces that left without a decision: there are none.",
            0,
        ),
    ] {
        let name = format!("{PREFIX}_{name}");
        text.family(&name, kind, help);
        text.sample(&name, &[], value);
    }
}

fn late_into(text: &mut Exposition, sampling: &SamplingFigures) {
    let stats = &sampling.stats;
    let cached = format!("{PREFIX}_early_releases_from_cache_decision");
    text.family(
        &cached,
        "counter",
        "Spans that came after their trace was decided, and followed it.",
    );
    text.sample(&cached, &[("sampled", "true")], stats.late_kept_spans);
    text.sample(&cached, &[("sampled", "false")], stats.late_dropped_spans);
    const TRIGGERS: &str = "tracepipe_tail_sampling_late_triggers_total";
    text.family(
        TRIGGERS,
        "counter",
        "Spans that would have made a policy keep their trace, had they come before it was dropped.",
    );
    text.sample(TRIGGERS, &[], stats.late_trigger_spans);
}

fn log_into(text: &mut Exposition, log: &LogFigures) {
    for (name, kind, help, value) in [
        (
            "restored",
            "gauge",
            "Decisions read from the decision cache's folder at start.",
            log.restored,
        ),
        (
            "unreadable_bytes",
            "gauge",
            "Bytes there that could not be read at start.",
            log.unreadable_bytes,
        ),
        (
            "written_total",
            "counter",
            "Decisions written there.",
            log.written,
        ),
        (
            "not_written_total",
            "counter",
            "Decisions that the disk did not take: they end with the process.",
            log.not_written,
        ),
        (
            "failures_total",
            "counter",
            "How often writing failed.",
            log.failures,
        ),
    ] {
        let name = format!("tracepipe_decision_log_{name}");
        text.family(&name, kind, help);
        text.sample(&name, &[], value);
    }
}

/// Three samples with upstream's labels: sampled, not sampled, dropped.
fn by_decision(text: &mut Exposition, name: &str, labels: &[(&str, &str)], figures: [u64; 3]) {
    let decisions = [
        ("true", "sampled"),
        ("false", "not_sampled"),
        ("false", "dropped"),
    ];
    for ((sampled, decision), figure) in decisions.into_iter().zip(figures) {
        let labels = [labels, &[("sampled", sampled), ("decision", decision)]].concat();
        text.sample(name, &labels, figure);
    }
}
