//! Any `tail_sampling`: every policy at every level where it may stand.

use super::*;

/// Seldom empty, which would be refused.
fn filled() -> BoxedStrategy<String> {
    prop_oneof![60 => text().prop_filter("is not empty", |text| !text.is_empty()), 1 => text()].boxed()
}

/// Names that are unlikely to be there already.
fn name() -> BoxedStrategy<Field<String>> {
    prop_oneof![60 => (filled(), any::<u16>()).prop_map(|(text, number)| set(format!("{text}{number}"))), 1 => field(text())]
        .boxed()
}

/// Patterns that Go reads, with signs of YAML in them.
fn values() -> BoxedStrategy<Field<Vec<Spanned<String>>>> {
    list(filled())
}

fn patterns() -> BoxedStrategy<Field<Vec<Spanned<String>>>> {
    let traps = [
        "^/api/.*$",
        "a: b",
        "\\d+ # x",
        "[a-z]{1,3}",
        "${env:EVIL}",
        "$",
        "'\"",
        "(?i)yes",
    ];
    let pattern = prop_oneof![40 => select(traps.to_vec()).prop_map(str::to_owned), 1 => text()];
    list(pattern)
}

fn bounds() -> BoxedStrategy<(Field<i64>, Field<i64>)> {
    prop_oneof![
        20 => (field(-9..9_i64), required(9..99_i64)),
        10 => (required(any::<i64>()), Just(None)),
        1 => (field(any::<i64>()), field(any::<i64>())),
    ]
    .boxed()
}

fn attribute() -> BoxedStrategy<SimplePolicyConfig> {
    let number = (required(filled()), bounds(), field(any::<bool>()));
    let number =
        number.prop_map(
            |(key, (min_value, max_value), invert_match)| SimplePolicyConfig::NumericAttribute {
                key,
                min_value,
                max_value,
                invert_match,
            },
        );
    let values = prop_oneof![(values(), field(Just(false))), (patterns(), Just(set(true)))];
    let text = (
        required(filled()),
        values,
        field(number_of_results()),
        field(any::<bool>()),
    );
    let text = text.prop_map(
        |(key, (values, enabled_regex_matching), cache_max_size, invert_match)| {
            SimplePolicyConfig::StringAttribute {
                key,
                values,
                enabled_regex_matching,
                cache_max_size,
                invert_match,
            }
        },
    );
    let truth = (required(filled()), field(any::<bool>()), field(any::<bool>()));
    let truth = truth.prop_map(
        |(key, value, invert_match)| SimplePolicyConfig::BooleanAttribute {
            key,
            value,
            invert_match,
        },
    );
    prop_oneof![number, text, truth].boxed()
}

fn number_of_results() -> BoxedStrategy<u64> {
    prop_oneof![60 => 0..1000_u64, 1 => any::<u64>()].boxed()
}

fn limiting() -> BoxedStrategy<SimplePolicyConfig> {
    let bucket = || {
        (
            required(prop_oneof![60 => 1..9000_u64, 1 => any::<u64>()]),
            field(number_of_results()),
        )
    };
    prop_oneof![
        bucket().prop_map(
            |(spans_per_second, burst_capacity)| SimplePolicyConfig::RateLimiting {
                spans_per_second,
                burst_capacity,
            }
        ),
        bucket().prop_map(
            |(bytes_per_second, burst_capacity)| SimplePolicyConfig::BytesLimiting {
                bytes_per_second,
                burst_capacity,
            }
        ),
    ]
    .boxed()
}

fn simple() -> BoxedStrategy<SimplePolicyConfig> {
    let percentage = prop_oneof![9 => 0.0..=100.0_f64, 2 => select(vec![10.0, 0.1, 1e300, -5.0]), 1 => Just(f64::INFINITY)];
    let codes = select(&[StatusCode::Ok, StatusCode::Error, StatusCode::Unset][..]);
    prop_oneof![
        1 => Just(SimplePolicyConfig::AlwaysSample),
        1 => Just(SimplePolicyConfig::TraceFlags),
        2 => (required(-1..99_i64), field(99..i64::MAX)).prop_map(|(threshold_ms, upper_threshold_ms)| {
            SimplePolicyConfig::Latency {
                threshold_ms,
                upper_threshold_ms,
            }
        }),
        2 => list(codes).prop_map(|status_codes| SimplePolicyConfig::StatusCode { status_codes }),
        2 => (field(text()), required(percentage)).prop_map(|(hash_salt, sampling_percentage)| {
            SimplePolicyConfig::Probabilistic {
                hash_salt,
                sampling_percentage,
            }
        }),
        2 => (required(0..9_u64), field(9..99_u64)).prop_map(|(min_spans, max_spans)| {
            SimplePolicyConfig::SpanCount { min_spans, max_spans }
        }),
        2 => (required(filled()), values()).prop_map(|(key, values)| SimplePolicyConfig::TraceState { key, values }),
        4 => attribute(),
        3 => limiting(),
    ]
    .boxed()
}

/// One under any name.
fn member<T: std::fmt::Debug + Clone + 'static>(
    kind: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<PolicyConfig<T>> {
    (name(), kind)
        .prop_map(|(name, kind)| PolicyConfig { name, kind })
        .boxed()
}

fn not() -> BoxedStrategy<NotConfig> {
    prop_oneof![60 => member(simple()).prop_map(set), 1 => Just(None)].boxed()
}

fn and() -> BoxedStrategy<Policies<AndMemberConfig>> {
    list(member(prop_oneof![
        3 => simple().prop_map(AndMemberConfig::Simple),
        1 => not().prop_map(AndMemberConfig::Not),
    ]))
}

fn composite() -> BoxedStrategy<CompositeConfig> {
    let kind = prop_oneof![
        3 => simple().prop_map(CompositeMemberConfig::Simple),
        1 => and().prop_map(CompositeMemberConfig::And),
    ];
    let rare = text();
    (
        required(100..9000_u64),
        list(member(kind)),
        field(any::<bool>()),
        field(1..=30_u64),
        (0..20_u8, rare),
    )
        .prop_map(|(total, members, reverse, percent, (rare, other))| {
            let mut names: Vec<String> = members
                .iter()
                .flat_map(|members| &members.value)
                .filter_map(|member| Some(member.value.name.as_ref()?.value.clone()))
                .collect();
            if rare == 0 {
                names.push(other);
            }
            let shares = percent.map(|percent| {
                let shares = names.iter().skip(1).map(|name| RateAllocationConfig {
                    policy: set(name.as_str()),
                    percent: Some(percent.clone()),
                });
                shares.map(Spanned::from).collect::<Vec<_>>().into()
            });
            if reverse.as_ref().is_some_and(|reverse| reverse.value) {
                names.reverse();
            }
            CompositeConfig {
                max_total_spans_per_second: total,
                policy_order: reverse.and_then(|_| set_list(names)),
                composite_sub_policy: members,
                rate_allocation: shares,
            }
        })
        .boxed()
}

fn policy() -> BoxedStrategy<PolicyConfig> {
    member(prop_oneof![
        5 => simple().prop_map(PolicyKindConfig::Simple),
        1 => and().prop_map(PolicyKindConfig::And),
        1 => not().prop_map(PolicyKindConfig::Not),
        1 => and().prop_map(PolicyKindConfig::Drop),
        1 => composite().prop_map(PolicyKindConfig::Composite),
    ])
}

fn cache() -> BoxedStrategy<DecisionCacheConfig> {
    let directory = prop_oneof![30 => text().prop_map(|text| format!("/{}", text.replace(char::is_control, ""))), 1 => text()];
    (field(number()), field(number()), field(directory))
        .prop_map(
            |(sampled_cache_size, non_sampled_cache_size, directory)| DecisionCacheConfig {
                sampled_cache_size,
                non_sampled_cache_size,
                directory,
            },
        )
        .boxed()
}

pub(super) fn tail_sampling() -> BoxedStrategy<TailSamplingConfig> {
    let switch = || field(any::<bool>());
    (
        (field(duration()), field(duration())),
        (field(number()), field(number()), field(any::<u64>())),
        (switch(), switch(), switch()),
        cache(),
        list(policy()),
    )
        .prop_map(|(waits, sizes, switches, decision_cache, policies)| {
            let (decision_wait, decision_wait_after_root_received) = waits;
            let (num_traces, expected_new_traces_per_sec, maximum_trace_size_bytes) = sizes;
            let (block_on_overflow, sample_on_first_match, record_policy) = switches;
            TailSamplingConfig {
                decision_wait,
                decision_wait_after_root_received,
                num_traces,
                block_on_overflow,
                expected_new_traces_per_sec,
                maximum_trace_size_bytes,
                sample_on_first_match,
                record_policy,
                decision_cache,
                policies,
            }
        })
        .boxed()
}
