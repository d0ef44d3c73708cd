//! `composite`: members, their order and their shares.

use std::collections::BTreeMap;

use super::simple::{RATE_MAX, simple};
use super::{AND, List, MEMBERS_MAX, members, named};
use crate::config::{CompositeConfig, CompositeMemberConfig};
use crate::error::Diagnostics;
use crate::resolve::Scope;
use crate::settings::{CompositeKind, CompositeMember, CompositeSettings};

const MEMBERS: List = List {
    key: "composite_sub_policy",
    most: MEMBERS_MAX,
    example: "composite_sub_policy: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}, ...]",
    empty: "no member: no trace would be kept; write the policies that share the rate",
};

pub(super) fn composite(
    scope: &Scope,
    config: &CompositeConfig,
    diag: &mut Diagnostics,
) -> Option<CompositeSettings> {
    let key = "max_total_spans_per_second";
    let example = (key, "max_total_spans_per_second: 1000");
    let total = &config.max_total_spans_per_second;
    scope.within(total, key, (1..=RATE_MAX, 1), diag);
    let total = scope.required(total, example, diag);
    let (below, written) = MEMBERS.items(scope, &config.composite_sub_policy, diag)?;
    let members = named(&below, written, kind, diag);
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let order = order(scope, config, &names, diag);
    let percents = percents(scope, config, &names, diag);
    let at = Scope {
        path: scope.path("rate_allocation"),
        at: scope.place(&config.rate_allocation),
    };
    let shares = shares(&at, total?, &names, &percents, diag);
    let mut members: Vec<_> = members.into_iter().zip(shares).collect();
    members.sort_by_key(|((name, _), _)| {
        let place = order.iter().position(|first| first == name);
        place.unwrap_or(order.len())
    });
    let members = members
        .into_iter()
        .map(|((name, kind), spans_per_second)| CompositeMember {
            name,
            kind,
            spans_per_second,
        });
    Some(CompositeSettings {
        max_total_spans_per_second: total?,
        members: members.collect(),
    })
}

fn kind(scope: &Scope, config: &CompositeMemberConfig, diag: &mut Diagnostics) -> Option<CompositeKind> {
    match config {
        CompositeMemberConfig::Simple(config) => simple(scope, config, diag).map(CompositeKind::Simple),
        CompositeMemberConfig::And(config) => {
            members(&AND, &scope.below("and"), config, diag).map(CompositeKind::And)
        }
    }
}

/// The names of `policy_order`.
fn order(scope: &Scope, config: &CompositeConfig, names: &[&str], diag: &mut Diagnostics) -> Vec<String> {
    let Some(field) = &config.policy_order else {
        return Vec::new();
    };
    let path = scope.path("policy_order");
    let mut order: Vec<String> = Vec::new();
    for (index, name) in field.value.iter().enumerate() {
        let path = diag.item(&path, index);
        if order.contains(&name.value) {
            diag.error(name.at, path, format!("`{}` stands here twice", name.value));
            continue;
        }
        if !names.contains(&name.value.as_str()) {
            unknown(scope, (&name.value, name.at, path), names, diag);
        }
        order.push(name.value.clone());
    }
    let known = order.iter().filter(|name| names.contains(&name.as_str()));
    if !known.eq(names.iter().take(order.len())) {
        let message = "is another order than that of `composite_sub_policy`: tracepipe asks in this one, upstream in \
                       the other";
        diag.warn(field.at, path, message);
    }
    order
}

fn unknown(
    scope: &Scope,
    (name, at, path): (&str, Option<crate::Position>, String),
    names: &[&str],
    diag: &mut Diagnostics,
) {
    // A member was refused there: that says it all.
    if diag.is_silenced(&scope.path(MEMBERS.key)) {
        return;
    }
    let hint = crate::catalog::did_you_mean(name, names);
    let message = format!("no member of `composite_sub_policy` has the name `{name}`{hint}");
    diag.error(at, path, message);
}

/// What `rate_allocation` says, by name.
fn percents(
    scope: &Scope,
    config: &CompositeConfig,
    names: &[&str],
    diag: &mut Diagnostics,
) -> BTreeMap<String, u64> {
    let mut percents = BTreeMap::new();
    let Some(field) = &config.rate_allocation else {
        return percents;
    };
    let list = scope.path("rate_allocation");
    for (index, allocation) in field.value.iter().enumerate() {
        let scope_of = Scope {
            path: diag.item(&list, index),
            at: allocation.at,
        };
        let allocation = &allocation.value;
        scope_of.within(&allocation.percent, "percent", (1..=100, 1), diag);
        let percent = scope_of.required(&allocation.percent, ("percent", "percent: 50"), diag);
        let policy = scope_of.required(&allocation.policy, ("policy", "policy: errors"), diag);
        let Some((policy, percent)) = policy.zip(percent) else {
            continue;
        };
        let (at, path) = (scope_of.place(&allocation.policy), scope_of.path("policy"));
        if percents.contains_key(&policy) {
            diag.error(at, path, format!("`{policy}` stands here twice"));
            continue;
        }
        if !names.contains(&policy.as_str()) {
            unknown(scope, (&policy, at, path), names, diag);
        }
        percents.insert(policy, percent);
    }
    let sum = percents
        .values()
        .fold(0_u64, |sum, percent| sum.saturating_add(*percent));
    if sum > 100 {
        let message = format!("the shares are {sum} percent together, more than 100");
        diag.error(field.at, &list, message);
    }
    percents
}

/// Spans a second for each member; those without a share of their own share evenly what is left.
fn shares(
    at: &Scope,
    total: u64,
    names: &[&str],
    percents: &BTreeMap<String, u64>,
    diag: &mut Diagnostics,
) -> Vec<u64> {
    let given: u64 = percents
        .values()
        .fold(0, |sum, percent| sum.saturating_add(*percent));
    let left = 100_u64.saturating_sub(given);
    let without = names.iter().filter(|name| !percents.contains_key(**name));
    let without = u64::try_from(without.count()).unwrap_or(u64::MAX).max(1);
    let share = |name: &str| match percents.get(name) {
        Some(percent) => total.saturating_mul(*percent) / 100,
        None => total.saturating_mul(left) / 100 / without,
    };
    let shares: Vec<u64> = names.iter().map(|name| share(name)).collect();
    let nothing: Vec<&str> = names.iter().copied().filter(|name| share(name) == 0).collect();
    // More than 100 percent, and a total of 0, have been refused.
    if !nothing.is_empty() && total > 0 && given <= 100 {
        let message = format!(
            "less than one span a second is left for `{}`, which would keep nothing",
            nothing.join("`, `")
        );
        diag.error(at.at, &at.path, message);
    }
    shares
}
