//! Reading files as people keep them: many documents, lists, other kinds, mistakes.

use proptest::prelude::*;

use crate::parse;

const GOOD: &str = "apiVersion: tracepipe.dev/v1alpha1
kind: TracingPipeline
metadata:
  name: main
spec:
  clusterName: prod
  identity:
    type: Ambient
";

/// The errors of a text, as a person sees them.
fn errors(yaml: &str) -> Vec<String> {
    let errors = parse(yaml).expect_err("a text with mistakes");
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_resource_is_read_with_its_defaults() {
    let parsed = parse(GOOD).unwrap();
    let spec = &parsed.pipelines[0].spec;
    assert_eq!(spec.sampling.slow_threshold, "500ms");
    assert_eq!(spec.collector.resources.limits.memory.as_deref(), Some("512Mi"));
    assert_eq!(parsed.skipped, [""; 0]);
}

#[test]
fn other_kinds_are_skipped_and_named() {
    let yaml = format!(
        "# a comment\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: tracing}}\n---\n{GOOD}---\n---\n{}",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
    );
    let parsed = parse(&yaml).unwrap();
    assert_eq!(parsed.pipelines.len(), 1);
    assert_eq!(parsed.skipped, ["v1 Namespace tracing", "apps/v1 Deployment web"]);
}

#[test]
fn a_list_as_kubectl_prints_it_is_read() {
    let item = GOOD.replace('\n', "\n    ");
    let list = |item: &str| format!("apiVersion: v1\nkind: List\nitems:\n  - {}\n", item.trim_end());
    let parsed = parse(&list(&item)).unwrap();
    assert_eq!(parsed.pipelines[0].metadata.name.as_deref(), Some("main"));
    let wrong = list(&item.replace("clusterName: prod", "clusterName: 7"));
    assert_eq!(
        errors(&wrong),
        [r#"line 9: items[0].spec.clusterName: must be a string, not 7 (in quotes: "7")"#]
    );
}

#[test]
fn a_stored_resource_with_its_status_is_read() {
    let stored = format!("{GOOD}status: {{observedGeneration: 3, later: {{}}}}\n");
    let stored = stored.replace(
        "  name: main",
        "  name: main\n  uid: abc\n  creationTimestamp: null\n  managedFields: []",
    );
    assert_eq!(parse(&stored).unwrap().pipelines.len(), 1);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_line() {
    let wrong = GOOD.replace("type: Ambient", "typ: Ambient")
        + "  samplingRatePercentage: 0.5\n  batch:\n    sendBatchSize: 0\n  sampling:\n    policies:\n      - name: a\n        type: AlwaysSample\n      - name: a\n";
    assert_eq!(
        errors(&wrong),
        [
            "line 8: spec.identity.typ: unknown field; did you mean type?",
            "line 9: spec.samplingRatePercentage: must be a whole number or a string, not 0.5 (in quotes: \"0.5\")",
            "line 11: spec.batch.sendBatchSize: must be from 1 to 100000",
            "line 16: spec.sampling.policies[1]: \"a\" is in the list already",
            "line 16: spec.sampling.policies[1].type: is required",
        ]
    );
}

#[test]
fn lines_of_a_second_document_count_from_the_top_of_the_text() {
    let yaml = format!("{GOOD}---\n{}", GOOD.replace("prod", "prod.eu"));
    assert_eq!(
        errors(&yaml),
        ["line 15: spec.clusterName: \"prod.eu\" does not match ^[0-9A-Za-z][0-9A-Za-z_-]*$"]
    );
    assert_eq!(parse(&yaml).unwrap_err()[0].document, 2);
}

#[test]
fn a_rule_is_refused_at_the_nearest_line_that_is_written() {
    let yaml = format!("{GOOD}  memoryLimiter:\n    spikeLimitMiB: 500\n");
    let [error] = errors(&yaml).try_into().unwrap();
    assert!(
        error.starts_with("line 9: spec.memoryLimiter: spikeLimitMiB must be less"),
        "{error}"
    );
}

#[test]
fn another_version_or_kind_of_ours_is_a_mistake_and_not_skipped() {
    assert_eq!(
        errors(&GOOD.replace("v1alpha1", "v1")),
        ["line 1: apiVersion: must be tracepipe.dev/v1alpha1, not tracepipe.dev/v1"]
    );
    assert_eq!(
        errors(&GOOD.replace("kind: TracingPipeline", "kind: TracingPipelines")),
        ["line 2: kind: must be TracingPipeline, not TracingPipelines"]
    );
    assert_eq!(
        errors(&GOOD.replace("kind: TracingPipeline\n", "")),
        ["line 1: kind: is required"]
    );
    assert_eq!(
        errors("just a text"),
        ["line 1: no Kubernetes resource: it has no apiVersion and no kind"]
    );
}

#[test]
fn metadata_is_looked_at() {
    let with = |metadata: &str| GOOD.replace("name: main", metadata);
    assert_eq!(
        errors(&with("labels: {}")),
        ["line 3: metadata.name: is required"]
    );
    assert_eq!(
        errors(&with("name: main\n  lables: {a: b}")),
        ["line 5: metadata.lables: unknown field; did you mean labels?"]
    );
    let [error] = errors(&with("name: main\n  labels: {a: 1}")).try_into().unwrap();
    assert!(
        error.starts_with("line 3: metadata: ") && error.contains("string"),
        "{error}"
    );
}

#[test]
fn broken_yaml_is_refused_with_its_line() {
    for (yaml, line) in [
        ("a: [1\n", "line 1: "),
        ("a: 1\na: 2\n", "line 2: "),
        ("a: 1\n b: 2\n", "line 2: "),
    ] {
        let [error] = errors(yaml).try_into().unwrap();
        assert!(error.starts_with(line) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn an_empty_text_holds_nothing() {
    for yaml in ["", "# nothing\n", "---\n---\n"] {
        assert_eq!(parse(yaml).unwrap().pipelines.len(), 0, "{yaml:?}");
    }
}

#[test]
fn aliases_are_followed() {
    let yaml = GOOD.replace("clusterName: prod", "clusterName: &name prod") + "  region: *name\n";
    assert_eq!(
        errors(&yaml),
        ["line 9: spec.region: \"prod\" does not match ^[a-z]{2,4}(-[a-z]+)+-[0-9]$"]
    );
}

const PIECES: &[&str] = &[
    "\n",
    "  ",
    "- ",
    ": ",
    "spec",
    "metadata",
    "name",
    "kind: TracingPipeline",
    "apiVersion: tracepipe.dev/v1alpha1",
    "sampling",
    "policies",
    "collector",
    "tolerations",
    "null",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "\"",
    "1e999",
    "-1",
    "<<",
    "---\n",
    "items",
    "kind: List",
    "\u{e9}",
    "\t",
    "#",
    "!!int ",
    "|\n",
];

proptest! {
    #[test]
    fn no_text_ends_the_program(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40), after in any::<bool>()) {
        let text = pieces.concat();
        let text = if after { format!("{GOOD}{text}") } else { text };
        if let Err(errors) = parse(&text) {
            prop_assert!(!errors.is_empty());
        }
    }
}
