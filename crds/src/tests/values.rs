//! The parsers of values against the patterns that the API server holds them to, and against plain arithmetic.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use proptest::prelude::*;
use regex::Regex;

use crate::rules::{DURATION_LENGTH_MAX, cel, violations};
use crate::values::{Duration, Percentage, WorkspaceUrl, cpu_millis, memory_bytes};
use crate::{TracingPipeline, generate};

/// The pattern in a rule: `... self.matches('PATTERN') ...`.
fn pattern_of(rule: &str) -> Regex {
    let (_, rest) = rule.split_once("matches('").unwrap();
    Regex::new(rest.split_once("')").unwrap().0).unwrap()
}

fn text(text: &str) -> IntOrString {
    IntOrString::String(text.to_owned())
}

/// Texts that are nearly right, made of pieces of right ones.
fn nearly(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(pieces), 0..7).prop_map(|pieces| pieces.concat())
}

const DIGITS_AND: &[&str] = &[
    "0", "1", "5", "9", "10", "100", "00", "999", "1000", "99999999", ".", "m", "-", "+", " ", "e", "%",
];
const DURATIONS: &[&str] = &[
    "0", "1", "59", "100", "9999", "99999999", "ms", "s", "m", "h", "us", "d", ".", "-", " ", "M",
];
const MEMORY: &[&str] = &[
    "0", "1", "5", "512", "999999", "99999999", "Ki", "Mi", "Gi", "Ei", "k", "K", "M", "E", "m", "i", ".",
    "-",
];
const KEYS: &[&str] = &[
    "a",
    "B",
    "7",
    "-",
    "_",
    ".",
    "/",
    "kubernetes.io",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    " ",
    "",
];

const WORKSPACE_URLS: &[&str] = &[
    "https://",
    "http://",
    "aps-workspaces.eu-west-1.amazonaws.com",
    "host",
    ":",
    "443",
    "123456",
    "/",
    "/workspaces/",
    "ws-",
    "ws-0a1b2c3d-0000-4000-8000-0123456789ab",
    "/api/v1/remote_write",
    "?",
    "@",
    "*",
];

proptest! {
    #[test]
    fn workspace_urls_are_the_texts_that_the_rule_takes(value in nearly(WORKSPACE_URLS)) {
        let found = WorkspaceUrl::parse(&value);
        prop_assert_eq!(found.is_some(), pattern_of(cel::AMP_ENDPOINT).is_match(&value), "{}", value);
        if let Some(url) = found {
            prop_assert_eq!(format!("{}/workspaces/{}/api/v1/remote_write", url.origin, url.workspace), value);
        }
    }

    #[test]
    fn whole_workspace_urls_are_taken(port in "(:[0-9]{1,6})?", id in "[0-9A-Za-z_-]{60,62}") {
        let value = format!("https://host{port}/workspaces/ws-{id}/api/v1/remote_write");
        let found = WorkspaceUrl::parse(&value).is_some();
        prop_assert_eq!(found, pattern_of(cel::AMP_ENDPOINT).is_match(&value), "{}", value);
    }

    #[test]
    fn percentages_are_the_texts_that_the_rule_takes(value in nearly(DIGITS_AND)) {
        prop_assert_eq!(Percentage::parse(&text(&value)).is_some(), pattern_of(cel::PERCENTAGE).is_match(&value), "{}", value);
    }

    #[test]
    fn whole_percentages_are_from_0_to_100(value in prop_oneof![-5..110, any::<i32>()]) {
        prop_assert_eq!(Percentage::parse(&IntOrString::Int(value)).is_some(), (0..=100).contains(&value));
    }

    #[test]
    fn a_percentage_is_written_as_it_is_read(steps in 0_u32..=1_000_000) {
        let written = format!("{}.{:04}", steps / 10_000, steps % 10_000);
        let value = Percentage::parse(&text(&written)).unwrap();
        prop_assert_eq!(Percentage::parse(&text(&value.to_string())), Some(value));
        prop_assert_eq!(value.to_string().parse::<f64>().unwrap(), value.percent());
        prop_assert!(value.to_string().len() <= written.len());
        prop_assert_eq!(value.percent(), f64::from(steps) / 10_000.0);
    }

    #[test]
    fn durations_are_the_texts_that_the_rules_take(value in nearly(DURATIONS)) {
        let taken = value.len() <= DURATION_LENGTH_MAX && pattern_of(cel::DECISION_WAIT).is_match(&value);
        prop_assert_eq!(Duration::parse(&value).is_some(), taken, "{}", value);
    }

    #[test]
    fn a_duration_is_the_sum_of_its_parts(hours in 0_u64..100, minutes in 0_u64..100, seconds in 0_u64..100, millis in 0_u64..100) {
        let value = Duration::parse(&format!("{hours}h{minutes}m{seconds}s{millis}ms")).unwrap();
        prop_assert_eq!(value.millis(), ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis);
    }

    #[test]
    fn cpu_amounts_are_the_texts_that_the_rule_takes(value in nearly(DIGITS_AND)) {
        prop_assert_eq!(cpu_millis(&text(&value)).is_some(), pattern_of(cel::CPU).is_match(&value), "{}", value);
    }

    #[test]
    fn a_cpu_amount_means_the_same_in_each_form(millis in 0_u32..1_000_000) {
        let decimal = format!("{}.{:03}", millis / 1000, millis % 1000);
        prop_assert_eq!(cpu_millis(&text(&format!("{millis}m"))), Some(millis));
        prop_assert_eq!(cpu_millis(&text(&decimal)), Some(millis));
        let cores = i32::try_from(millis / 1000).unwrap();
        prop_assert_eq!(cpu_millis(&IntOrString::Int(cores)), Some(millis / 1000 * 1000));
    }

    #[test]
    fn memory_amounts_are_the_texts_that_the_schema_takes(value in nearly(MEMORY)) {
        let schema = generate::schema(None);
        let memory = "/properties/spec/properties/collector/properties/resources/properties/limits/properties/memory";
        let pattern = schema.pointer(memory).unwrap()["pattern"].as_str().unwrap();
        prop_assert_eq!(memory_bytes(&value).is_some(), Regex::new(pattern).unwrap().is_match(&value), "{}", value);
    }

    #[test]
    fn a_memory_amount_is_its_number_times_its_unit(number in 1_u64..1_000_000, power in 1_u32..=6) {
        let unit = ["k", "M", "G", "T", "P", "E"][power as usize - 1];
        let decimal = memory_bytes(&format!("{number}{unit}"));
        prop_assert_eq!(decimal, Some(u128::from(number) * 1000_u128.pow(power)));
        let binary = memory_bytes(&format!("{number}{}i", unit.to_uppercase()));
        prop_assert_eq!(binary, Some(u128::from(number) * 1024_u128.pow(power)));
        prop_assert_eq!(memory_bytes(&number.to_string()), Some(u128::from(number)));
    }

    #[test]
    fn names_and_node_labels_are_the_texts_that_the_rules_take(value in nearly(KEYS)) {
        let mut pipeline: TracingPipeline = serde_json::from_value(serde_json::json!({
            "metadata": { "name": value },
            "spec": { "clusterName": "test", "identity": { "type": "Ambient" } },
        })).unwrap();
        pipeline.spec.collector.node_selector.insert(value.clone(), String::new());
        let broken: Vec<String> = violations(&pipeline).into_iter().map(|violation| violation.path).collect();
        let name = pattern_of(cel::NAME).is_match(&value) && value.len() <= 52;
        let key = pattern_of(cel::NODE_SELECTOR).is_match(&value);
        prop_assert_eq!(!broken.contains(&"metadata.name".to_owned()), name, "{}", value);
        prop_assert_eq!(!broken.contains(&"spec.collector.nodeSelector".to_owned()), key, "{}", value);
    }
}

proptest! {
    /// A cluster whose CRD is older than its operator may hold numbers that today's CRD refuses.
    #[test]
    fn the_rules_stand_any_number(limit in extreme(), spike in extreme(), size in extreme(), most in extreme(), cpu in any::<i32>()) {
        let mut pipeline: TracingPipeline = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "main" },
            "spec": { "clusterName": "test", "identity": { "type": "Ambient" } },
        })).unwrap();
        pipeline.spec.memory_limiter.limit_mib = limit;
        pipeline.spec.memory_limiter.spike_limit_mib = spike;
        pipeline.spec.batch.send_batch_size = size;
        pipeline.spec.batch.send_batch_max_size = most;
        pipeline.spec.collector.resources.limits.cpu = Some(IntOrString::Int(cpu));
        let broken: Vec<String> = violations(&pipeline).into_iter().map(|violation| violation.path).collect();
        let small = limit > 448;
        prop_assert_eq!(broken.contains(&"spec.collector.resources.limits.memory".to_owned()), small);
        prop_assert_eq!(broken.contains(&"spec.memoryLimiter".to_owned()), spike >= limit);
    }
}

fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MIN), Just(i64::MAX), -100_i64..1000, any::<i64>()]
}

#[test]
fn the_longest_duration_can_be_held_by_go_and_by_cel() {
    // Go holds 292 years, and CEL reads durations as Go does.
    let years = |text: &str| Duration::parse(text).unwrap().millis() / 1000 / 3600 / 24 / 365;
    assert!(years("99999999m999999m") < 292);
    assert!(years("9999h9999h9999h") < 292);
    assert_eq!(Duration::parse("999999999m"), None, "nine digits");
    assert_eq!(Duration::parse("99999h"), None, "five digits of hours");
}
