//! `processors.tail_sampling`.

mod composite;
mod patterns;
mod simple;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Scope, or};
use crate::config::{
    AndMemberConfig, DecisionCacheConfig, Field, NotConfig, Policies, PolicyConfig, PolicyKindConfig,
    Spanned, TailSamplingConfig,
};
use crate::error::{Diagnostics, Position};
use crate::predicates::{PREDICATES_MAX, predicate_count};
use crate::settings::{
    AndMember, DecisionCacheSettings, PolicyKind, PolicySettings, SimplePolicy, TailSamplingSettings,
};

/// A trace that waits takes memory, and every slot is reserved in tables.
const TRACES_MAX: u64 = 10_000_000;
/// Nobody waits longer for a trace to end.
const DECISION_WAIT_MAX: Duration = Duration::from_secs(3600);
/// Each policy has a bit in the answer about a trace.
const POLICIES_MAX: usize = 64;
/// Regular expressions of all policies together.
const PATTERNS_MAX: usize = 500;
/// Of one `and`, `drop` or `composite`.
const MEMBERS_MAX: usize = 64;

pub(super) fn tail_sampling(
    scope: &Scope,
    config: &TailSamplingConfig,
    diag: &mut Diagnostics,
) -> Option<TailSamplingSettings> {
    let bounds = (Duration::ZERO..=DECISION_WAIT_MAX, Duration::from_secs(30));
    let decision_wait = scope.duration(&config.decision_wait, "decision_wait", bounds, diag);
    let num_traces = scope.within(&config.num_traces, "num_traces", (1..=TRACES_MAX, 50_000), diag);
    let key = "expected_new_traces_per_sec";
    let expected = &config.expected_new_traces_per_sec;
    let expected_new_traces_per_sec = scope.within(expected, key, (0..=TRACES_MAX, 0), diag);
    let decision_wait_after_root_received = wait_after_root(scope, config, decision_wait, diag);
    let cache = scope.below("decision_cache");
    let decision_cache = decision_cache(&cache, &config.decision_cache, num_traces, diag);
    let policies = policies(scope, config, diag)?;
    if predicate_count(&policies) > PREDICATES_MAX {
        let message = format!(
            "look for more than {PREDICATES_MAX} different things in spans; put the values of one key into one policy"
        );
        diag.error(scope.place(&config.policies), scope.path("policies"), message);
    }
    Some(TailSamplingSettings {
        decision_wait,
        decision_wait_after_root_received,
        num_traces,
        block_on_overflow: or(&config.block_on_overflow, false),
        expected_new_traces_per_sec,
        maximum_trace_size_bytes: Some(or(&config.maximum_trace_size_bytes, 0)).filter(|bytes| *bytes > 0),
        sample_on_first_match: or(&config.sample_on_first_match, false),
        record_policy: or(&config.record_policy, true),
        decision_cache,
        policies,
    })
}

/// None: a root span makes no difference.
fn wait_after_root(
    scope: &Scope,
    config: &TailSamplingConfig,
    decision_wait: Duration,
    diag: &mut Diagnostics,
) -> Option<Duration> {
    let (key, field) = (
        "decision_wait_after_root_received",
        &config.decision_wait_after_root_received,
    );
    let bounds = (Duration::ZERO..=DECISION_WAIT_MAX, Duration::ZERO);
    let wait = scope.duration(field, key, bounds, diag);
    if wait >= decision_wait && !wait.is_zero() {
        let message = "has no effect: it is not below `decision_wait`, which comes first";
        diag.warn(scope.place(field), scope.path(key), message);
    }
    (!wait.is_zero()).then_some(wait)
}

fn decision_cache(
    scope: &Scope,
    config: &DecisionCacheConfig,
    num_traces: u64,
    diag: &mut Diagnostics,
) -> DecisionCacheSettings {
    // Written as 0 it is off, as upstream has it; not written it is on, which upstream has not.
    let mut size = |field, key| scope.within(field, key, (0..=TRACES_MAX, num_traces), diag);
    let sampled_cache_size = size(&config.sampled_cache_size, "sampled_cache_size");
    let non_sampled_cache_size = size(&config.non_sampled_cache_size, "non_sampled_cache_size");
    let directory = config.directory.as_ref().map(|directory| {
        let path = scope.path("directory");
        if !directory.value.starts_with('/') {
            let message = "is not an absolute path; write for example /var/lib/tracepipe/decisions";
            diag.error(directory.at, path, message);
        } else if directory.value.chars().any(char::is_control) {
            diag.error(directory.at, path, "has a control character in it");
        } else if sampled_cache_size == 0 && non_sampled_cache_size == 0 {
            let message = "has no effect: both caches have the size 0, so there is nothing to keep";
            diag.warn(directory.at, path, message);
        }
        PathBuf::from(&directory.value)
    });
    DecisionCacheSettings {
        sampled_cache_size,
        non_sampled_cache_size,
        directory,
    }
}

fn policies(
    scope: &Scope,
    config: &TailSamplingConfig,
    diag: &mut Diagnostics,
) -> Option<Vec<PolicySettings>> {
    let (scope, written) = POLICIES.items(scope, &config.policies, diag)?;
    let patterns = patterns::count(written);
    if patterns > PATTERNS_MAX {
        let message = format!(
            "have {patterns} regular expressions, more than {PATTERNS_MAX}; one can hold several: ^/a|^/b"
        );
        diag.error(scope.at, &scope.path, message);
        return None;
    }
    let policies = named(&scope, written, kind, diag);
    let is_drop = |policy: &Spanned<PolicyConfig>| matches!(policy.value.kind, PolicyKindConfig::Drop(_));
    if written.iter().all(is_drop) {
        let message =
            "only `drop` policies: no trace is kept; write one with `type: always_sample` to keep the rest";
        diag.warn(scope.at, &scope.path, message);
    }
    let policies = policies.into_iter();
    Some(
        policies
            .map(|(name, kind)| PolicySettings { name, kind })
            .collect(),
    )
}

/// A list of policies that must be there and not be empty.
struct List {
    key: &'static str,
    most: usize,
    /// How to write one.
    example: &'static str,
    /// Why it must not be empty.
    empty: &'static str,
}

const POLICIES: List = List {
    key: "policies",
    most: POLICIES_MAX,
    example: "policies: [{name: all, type: always_sample}]",
    empty: "no policy: every trace would be dropped; write one with `type: always_sample` to keep all",
};

const AND: List = List {
    key: "and_sub_policy",
    most: MEMBERS_MAX,
    example: "and_sub_policy: [{name: slow, type: latency, latency: {threshold_ms: 500}}, ...]",
    empty: "no member: every trace would do; write what a trace must be, or `type: always_sample` for the policy",
};

const DROP: List = List {
    key: "drop_sub_policy",
    most: MEMBERS_MAX,
    example: "drop_sub_policy: [{name: health, type: string_attribute, string_attribute: {key: http.route, \
              values: [/healthz]}}]",
    empty: "no member: every trace would be dropped; write what a trace must be to be dropped",
};

impl List {
    /// The items and where the list stands.
    fn items<'c, T>(
        &self,
        scope: &Scope,
        field: &'c Field<Vec<Spanned<T>>>,
        diag: &mut Diagnostics,
    ) -> Option<(Scope, &'c [Spanned<T>])> {
        let Some(items) = field else {
            let message = format!("is required, for example `{}`", self.example);
            diag.error(scope.at, scope.path(self.key), message);
            return None;
        };
        let below = Scope {
            path: scope.path(self.key),
            at: items.at,
        };
        if items.value.is_empty() {
            diag.error(below.at, &below.path, self.empty);
            return None;
        }
        if items.value.len() > self.most {
            let message = format!("has {} items, more than {}", items.value.len(), self.most);
            diag.error(below.at, &below.path, message);
        }
        Some((below, &items.value))
    }
}

/// Policies with names that are there, not empty and unique.
fn named<T, S>(
    scope: &Scope,
    policies: &[Spanned<PolicyConfig<T>>],
    kind: fn(&Scope, &T, &mut Diagnostics) -> Option<S>,
    diag: &mut Diagnostics,
) -> Vec<(String, S)> {
    let mut seen: BTreeMap<&str, Option<Position>> = BTreeMap::new();
    let mut settings = Vec::new();
    for (index, policy) in policies.iter().enumerate() {
        let scope = Scope {
            path: diag.item(&scope.path, index),
            at: policy.at,
        };
        scope.required(&policy.value.name, ("name", "name: errors"), diag);
        if let Some(name) = &policy.value.name {
            let path = scope.path("name");
            if name.value.is_empty() {
                diag.error(name.at, path, "is empty");
            } else if let Some(first) = seen.insert(&name.value, name.at) {
                let line = first.map(|first| format!(" on line {}", first.line));
                let line = line.unwrap_or_default();
                diag.error(name.at, path, format!("another policy has this name{line}"));
            }
        }
        let kind = kind(&scope, &policy.value.kind, diag);
        let name = policy.value.name.as_ref().map(|name| name.value.clone());
        settings.extend(name.zip(kind));
    }
    settings
}

fn kind(scope: &Scope, config: &PolicyKindConfig, diag: &mut Diagnostics) -> Option<PolicyKind> {
    match config {
        PolicyKindConfig::Simple(config) => simple::simple(scope, config, diag).map(PolicyKind::Simple),
        PolicyKindConfig::And(config) => {
            members(&AND, &scope.below("and"), config, diag).map(PolicyKind::And)
        }
        PolicyKindConfig::Not(config) => not(scope, config, diag).map(PolicyKind::Not),
        PolicyKindConfig::Drop(config) => {
            members(&DROP, &scope.below("drop"), config, diag).map(PolicyKind::Drop)
        }
        PolicyKindConfig::Composite(config) => {
            composite::composite(&scope.below("composite"), config, diag).map(PolicyKind::Composite)
        }
    }
}

/// The members of `and` and of `drop`.
fn members(
    list: &List,
    scope: &Scope,
    config: &Policies<AndMemberConfig>,
    diag: &mut Diagnostics,
) -> Option<Vec<AndMember>> {
    let (scope, members) = list.items(scope, config, diag)?;
    let members = members.iter().enumerate().filter_map(|(index, member)| {
        let scope = Scope {
            path: diag.item(&scope.path, index),
            at: member.at,
        };
        match &member.value.kind {
            AndMemberConfig::Simple(config) => simple::simple(&scope, config, diag).map(AndMember::Simple),
            AndMemberConfig::Not(config) => not(&scope, config, diag).map(AndMember::Not),
        }
    });
    Some(members.collect())
}

fn not(scope: &Scope, config: &NotConfig, diag: &mut Diagnostics) -> Option<SimplePolicy> {
    let scope = scope.below("not");
    let Some(member) = config else {
        let message = "is required, for example `not_sub_policy: {name: slow, type: latency, \
                       latency: {threshold_ms: 500}}`";
        diag.error(scope.at, scope.path("not_sub_policy"), message);
        return None;
    };
    let scope = Scope {
        at: member.at.or(scope.at),
        ..scope.below("not_sub_policy")
    };
    simple::simple(&scope, &member.value.kind, diag)
}
