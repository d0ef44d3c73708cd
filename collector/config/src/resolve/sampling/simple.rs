//! The policies that may stand everywhere.

use crate::config::{Field, SimplePolicyConfig, Spanned};
use crate::error::Diagnostics;
use crate::go_regex::GoRegex;
use crate::resolve::{Scope, or};
use crate::settings::{SimplePolicy, StatusCode, StringMatcher};

/// Upstream's (`probabilistic.go`).
const DEFAULT_HASH_SALT: &str = "default-hash-seed";
/// Upstream's (`string_tag_filter.go`).
const DEFAULT_REGEX_CACHE: u64 = 128;
/// Each result of a regular expression that is remembered takes memory with its text.
const REGEX_CACHE_MAX: u64 = 100_000;
/// Of one policy.
const VALUES_MAX: usize = 1000;
/// Regular expressions of one policy.
const PATTERNS_MAX: usize = 100;
/// Of the regular expressions of all policies, compiled: what they take for as long as the process runs. Real ones have
/// some kilobytes each.
const PROGRAMS_BYTES_MAX: usize = 32 << 20;
/// Spans or bytes a second; more than any node can take.
pub(super) const RATE_MAX: u64 = 1_000_000_000_000;
/// Upstream's type is a signed one of 32 bits.
const SPANS_MAX: u64 = i32::MAX as u64;
/// A member of a trace state has less than this many bytes without its `=` (upstream, `trace_state_filter.go`).
const TRACE_STATE_BYTES_MAX: usize = 256;

/// Of an empty text in a list of texts.
const NO_NOTICE: &str = "is empty: upstream takes no notice of it; leave it out";
/// Of an empty pattern.
const MATCHES_ALL: &str =
    "is empty and would match every text; write `(?s).` for every text that is not empty";

/// None only after an error.
pub(super) fn simple(
    scope: &Scope,
    config: &SimplePolicyConfig,
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    let below = |key: &str| scope.below(key);
    match config {
        SimplePolicyConfig::AlwaysSample => Some(SimplePolicy::AlwaysSample),
        SimplePolicyConfig::TraceFlags => Some(SimplePolicy::TraceFlags),
        SimplePolicyConfig::Latency {
            threshold_ms: threshold,
            upper_threshold_ms: upper,
        } => latency(&below("latency"), threshold, upper, diag),
        SimplePolicyConfig::NumericAttribute {
            key,
            min_value,
            max_value,
            invert_match,
        } => {
            let bounds = (min_value, max_value);
            numeric_attribute(&below("numeric_attribute"), key, bounds, invert_match, diag)
        }
        SimplePolicyConfig::StringAttribute {
            key,
            values,
            enabled_regex_matching: regex,
            cache_max_size: cache,
            invert_match,
        } => {
            let scope = below("string_attribute");
            let key = self::key(&scope, key, "http.route", diag);
            let matcher = matcher(&scope, values, (regex, cache), diag);
            Some(SimplePolicy::StringAttribute {
                key: key?,
                matcher: matcher?,
                invert_match: or(invert_match, false),
            })
        }
        SimplePolicyConfig::BooleanAttribute {
            key,
            value,
            invert_match,
        } => boolean_attribute(&below("boolean_attribute"), (key, value, invert_match), diag),
        SimplePolicyConfig::StatusCode { status_codes } => {
            self::status_codes(&below("status_code"), status_codes, diag)
        }
        SimplePolicyConfig::Probabilistic {
            hash_salt: salt,
            sampling_percentage: percentage,
        } => probabilistic(&below("probabilistic"), salt, percentage, diag),
        SimplePolicyConfig::RateLimiting {
            spans_per_second: rate,
            burst_capacity: burst,
        } => spans_limiting(&below("rate_limiting"), rate, burst, diag),
        SimplePolicyConfig::BytesLimiting {
            bytes_per_second: rate,
            burst_capacity: burst,
        } => bytes_limiting(&below("bytes_limiting"), rate, burst, diag),
        SimplePolicyConfig::SpanCount { min_spans, max_spans } => {
            span_count(&below("span_count"), min_spans, max_spans, diag)
        }
        SimplePolicyConfig::TraceState { key, values } => {
            trace_state(&below("trace_state"), key, values, diag)
        }
    }
}

fn latency(
    scope: &Scope,
    threshold: &Field<i64>,
    upper: &Field<i64>,
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    let example = ("threshold_ms", "latency: {threshold_ms: 500}");
    for (field, key) in [(threshold, "threshold_ms"), (upper, "upper_threshold_ms")] {
        if let Some(field) = field.as_ref().filter(|field| field.value < 0) {
            diag.error(field.at, scope.path(key), format!("{} is below 0", field.value));
        }
    }
    let threshold_ms = scope.required(threshold, example, diag)?;
    let upper_threshold_ms = Some(or(upper, 0)).filter(|upper| *upper != 0);
    if let Some(value) = upper_threshold_ms.filter(|upper| (0..=threshold_ms).contains(upper)) {
        let message =
            format!("{value} is not above `threshold_ms`, which is {threshold_ms}: no trace is between them");
        diag.error(scope.place(upper), scope.path("upper_threshold_ms"), message);
    }
    Some(SimplePolicy::Latency {
        threshold_ms,
        upper_threshold_ms,
    })
}

/// The name of an attribute or of a member of the trace state.
fn key(scope: &Scope, key: &Field<String>, example: &str, diag: &mut Diagnostics) -> Option<String> {
    let name = scope.required(key, ("key", &format!("key: {example}")), diag)?;
    if name.is_empty() {
        let message = format!("is empty, write for example `key: {example}`");
        diag.error(scope.place(key), scope.path("key"), message);
    }
    Some(name)
}

fn numeric_attribute(
    scope: &Scope,
    key: &Field<String>,
    (min, max): (&Field<i64>, &Field<i64>),
    invert_match: &Field<bool>,
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    let key = self::key(scope, key, "http.response.status_code", diag);
    numeric_bounds(scope, min, max, diag);
    Some(SimplePolicy::NumericAttribute {
        key: key?,
        min_value: min.as_ref().map(|field| field.value),
        max_value: max.as_ref().map(|field| field.value),
        invert_match: or(invert_match, false),
    })
}

fn numeric_bounds(scope: &Scope, min: &Field<i64>, max: &Field<i64>, diag: &mut Diagnostics) {
    match (min, max) {
        (None, None) => {
            let message = "has no bound; write `min_value`, `max_value` or both";
            diag.error(scope.at, scope.path("min_value"), message);
        }
        (Some(min), Some(max)) if min.value > max.value => {
            let (min, at, max) = (min.value, max.at, max.value);
            let message = format!("{max} is below `min_value`, which is {min}: no number is between them");
            diag.error(at, scope.path("max_value"), message);
        }
        (Some(_), _) | (None, Some(_)) => {}
    }
}

fn matcher(
    scope: &Scope,
    values: &Field<Vec<Spanned<String>>>,
    (regex, cache): (&Field<bool>, &Field<u64>),
    diag: &mut Diagnostics,
) -> Option<StringMatcher> {
    let is_regex = or(regex, false);
    let cache_max_size = scope.within(cache, "cache_max_size", (0..=REGEX_CACHE_MAX, 0), diag);
    if !is_regex {
        let values = self::values(
            scope,
            values,
            ("values: [/checkout]", VALUES_MAX, NO_NOTICE),
            diag,
        )?;
        if let Some(cache) = cache {
            let message = "has no effect: it is for `enabled_regex_matching: true`";
            diag.warn(cache.at, scope.path("cache_max_size"), message);
        }
        return Some(StringMatcher::Exact(values));
    }
    let patterns = self::values(
        scope,
        values,
        ("values: [^/api/]", PATTERNS_MAX, MATCHES_ALL),
        diag,
    )?;
    for (index, pattern) in values.iter().flat_map(|values| &values.value).enumerate() {
        // It was said where the bound was passed; each further one would take its time.
        if diag.program_bytes > PROGRAMS_BYTES_MAX {
            break;
        }
        let path = diag.item(&scope.path("values"), index);
        match GoRegex::new(&pattern.value) {
            Ok(regex) => diag.program_bytes += regex.memory_bytes(),
            Err(why) => diag.error(
                pattern.at,
                &path,
                format!("cannot be used as a regular expression of Go: {why}"),
            ),
        }
        if diag.program_bytes > PROGRAMS_BYTES_MAX {
            let message = format!(
                "with it, the regular expressions of all policies compile to more than {} MiB; counted repetitions of \
                 large classes, as in \\pL{{50}}, take the most",
                PROGRAMS_BYTES_MAX >> 20
            );
            diag.error(pattern.at, &path, message);
        }
    }
    Some(StringMatcher::Regex {
        patterns,
        cache_max_size: match cache_max_size {
            0 => DEFAULT_REGEX_CACHE,
            size => size,
        },
    })
}

/// Texts to compare with: at least one, none empty.
fn values(
    scope: &Scope,
    values: &Field<Vec<Spanned<String>>>,
    (example, most, empty): (&str, usize, &str),
    diag: &mut Diagnostics,
) -> Option<Vec<String>> {
    let texts = scope.required(values, ("values", example), diag)?;
    let (at, path) = (scope.place(values), scope.path("values"));
    if texts.is_empty() {
        diag.error(at, &path, format!("is empty, write for example `{example}`"));
    }
    if texts.len() > most {
        let message = format!(
            "has {} items, more than {most}; one policy more can take the rest",
            texts.len()
        );
        diag.error(at, &path, message);
    }
    for (index, text) in texts.iter().enumerate() {
        if text.value.is_empty() {
            let path = diag.item(&path, index);
            diag.error(text.at, path, empty);
        }
    }
    Some(texts.into_iter().map(|text| text.value).collect())
}

fn boolean_attribute(
    scope: &Scope,
    (key, value, invert_match): (&Field<String>, &Field<bool>, &Field<bool>),
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    if value.is_none() {
        let message = "is not written: `value: false` is meant, as upstream has it";
        diag.warn(scope.at, scope.path("value"), message);
    }
    Some(SimplePolicy::BooleanAttribute {
        key: self::key(scope, key, "app.premium", diag)?,
        value: or(value, false),
        invert_match: or(invert_match, false),
    })
}

fn status_codes(
    scope: &Scope,
    status_codes: &Field<Vec<Spanned<StatusCode>>>,
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    let example = ("status_codes", "status_code: {status_codes: [ERROR]}");
    let codes = scope.required(status_codes, example, diag)?;
    if codes.is_empty() {
        let path = scope.path("status_codes");
        diag.error(
            scope.place(status_codes),
            path,
            "is empty; write for example [ERROR]",
        );
    }
    let status_codes = codes.into_iter().map(|code| code.value).collect();
    Some(SimplePolicy::StatusCode { status_codes })
}

fn probabilistic(
    scope: &Scope,
    salt: &Field<String>,
    percentage: &Field<f64>,
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    let example = ("sampling_percentage", "probabilistic: {sampling_percentage: 10}");
    let sampling_percentage = scope.required(percentage, example, diag)?;
    if !sampling_percentage.is_finite() {
        let path = scope.path("sampling_percentage");
        diag.error(scope.place(percentage), path, "is not a finite number");
    }
    let salt = or(salt, String::new());
    let hash_salt = if salt.is_empty() {
        DEFAULT_HASH_SALT.to_owned()
    } else {
        salt
    };
    Some(SimplePolicy::Probabilistic {
        hash_salt,
        sampling_percentage,
    })
}

fn spans_limiting(
    scope: &Scope,
    rate: &Field<u64>,
    burst: &Field<u64>,
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    let (spans_per_second, burst_capacity) = bucket(
        scope,
        rate,
        ("spans_per_second", "spans_per_second: 1000"),
        burst,
        diag,
    )?;
    Some(SimplePolicy::RateLimiting {
        spans_per_second,
        burst_capacity,
    })
}

fn bytes_limiting(
    scope: &Scope,
    rate: &Field<u64>,
    burst: &Field<u64>,
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    let (bytes_per_second, burst_capacity) = bucket(
        scope,
        rate,
        ("bytes_per_second", "bytes_per_second: 1000000"),
        burst,
        diag,
    )?;
    Some(SimplePolicy::BytesLimiting {
        bytes_per_second,
        burst_capacity,
    })
}

/// Tokens added a second, and the bucket's size. Either below 1 would keep nothing at all, for ever.
fn bucket(
    scope: &Scope,
    rate: &Field<u64>,
    example: (&str, &str),
    burst: &Field<u64>,
    diag: &mut Diagnostics,
) -> Option<(u64, u64)> {
    scope.within(rate, example.0, (1..=RATE_MAX, 1), diag);
    let written = scope.within(burst, "burst_capacity", (0..=RATE_MAX, 0), diag);
    let rate = scope.required(rate, example, diag)?;
    match written {
        // Upstream's default.
        0 => Some((rate, rate.saturating_mul(2))),
        burst => Some((rate, burst)),
    }
}

fn span_count(
    scope: &Scope,
    min: &Field<u64>,
    max: &Field<u64>,
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    if min.is_none() && max.is_none() {
        let message = "has no bound; write `min_spans`, `max_spans` or both";
        diag.error(scope.at, scope.path("min_spans"), message);
    }
    let least = scope.within(min, "min_spans", (0..=SPANS_MAX, 0), diag);
    let most = scope.within(max, "max_spans", (0..=SPANS_MAX, 0), diag);
    if most != 0 && most < least {
        let message = format!("{most} is below `min_spans`, which is {least}; 0 means no bound");
        diag.error(scope.place(max), scope.path("max_spans"), message);
    }
    Some(SimplePolicy::SpanCount {
        min_spans: u32::try_from(least).ok()?,
        max_spans: Some(u32::try_from(most).ok()?).filter(|most| *most != 0),
    })
}

fn trace_state(
    scope: &Scope,
    key: &Field<String>,
    values: &Field<Vec<Spanned<String>>>,
    diag: &mut Diagnostics,
) -> Option<SimplePolicy> {
    let name = self::key(scope, key, "vendor", diag);
    let texts = self::values(scope, values, ("values: [gold]", VALUES_MAX, NO_NOTICE), diag);
    let name = name?;
    for (index, text) in values.iter().flat_map(|values| &values.value).enumerate() {
        if name.len() + text.value.len() >= TRACE_STATE_BYTES_MAX {
            let path = diag.item(&scope.path("values"), index);
            let message = format!(
                "no trace state holds it: key and value together have less than {TRACE_STATE_BYTES_MAX} bytes"
            );
            diag.error(text.at, path, message);
        }
    }
    Some(SimplePolicy::TraceState {
        key: name,
        values: texts?,
    })
}
