//! What is written is what is read back.

mod any;

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::load_text;
use crate::config::*;
use crate::*;

/// Reads with an environment that has every variable, and says whether it was looked at.
fn read_back(yaml: &str) -> (Result<Loaded, ConfigErrors>, bool) {
    let looked = Cell::new(false);
    let loaded = load(&super::source(yaml), &[], &|_| {
        looked.set(true);
        Some("EXPANDED".to_owned())
    });
    (loaded, looked.get())
}

/// Settings, and the warnings without their places.
fn essence(loaded: &Loaded) -> (&Settings, Vec<(&str, &str)>) {
    let mut warnings: Vec<_> = loaded
        .warnings
        .iter()
        .map(|warning| (warning.path.as_str(), warning.message.as_str()))
        .collect();
    warnings.sort_unstable();
    (&loaded.settings, warnings)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_configuration_is_read_back_as_it_was_built_and_never_expanded(config in any::config()) {
        let yaml = config.to_yaml();
        prop_assert!(yaml.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{}", yaml);
        let (loaded, looked) = read_back(&yaml);
        prop_assert!(!looked, "{}", yaml);
        // What is refused need not be read: nobody writes it.
        if let Ok(built) = config.resolve() {
            let read = loaded.map_err(|errors| TestCaseError::fail(format!("{errors}\n{yaml}")))?;
            prop_assert_eq!(essence(&built), essence(&read), "{}", yaml);
        }
    }

    #[test]
    fn any_text_is_read_back_as_it_is(text: String, long in "\\PC{100,200}") {
        for text in [text, long] {
            let mut config = smallest();
            let ExporterConfig::AwsXray(xray) = &mut config.exporters[0].config else { panic!() };
            xray.aws_log_groups = set_list([text.as_str(), "behind"]);
            let (loaded, looked) = read_back(&config.to_yaml());
            let ExporterKind::AwsXray(xray) = &loaded.unwrap().settings.exporters[0].kind else { panic!() };
            prop_assert!(!looked);
            prop_assert_eq!(&xray.aws_log_groups, &[text, "behind".to_owned()]);
        }
    }
}

#[test]
fn most_generated_configurations_are_accepted_or_the_property_says_little() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted = (0..400)
        .filter(|_| {
            let config = any::config().new_tree(&mut runner).unwrap().current();
            config.resolve().is_ok()
        })
        .count();
    assert!(accepted > 90, "{accepted} of 400");
}

/// What the operator builds, in short.
fn smallest() -> Config {
    Config {
        receivers: vec![
            ReceiverConfig::Otlp(OtlpReceiverConfig {
                grpc: set(OtlpServerConfig::at("0.0.0.0:4317")),
                http: set(OtlpServerConfig::at("0.0.0.0:4318")),
                protocols_at: None,
            })
            .into(),
        ],
        exporters: vec![ExporterConfig::AwsXray(AwsXrayConfig::default()).into()],
        ..Config::default()
    }
    .with_traces_pipeline()
}

fn seed1() -> Config {
    let processors = [
        ProcessorConfig::MemoryLimiter(MemoryLimiterConfig {
            check_interval: set(Duration::from_secs(1)),
            limit_mib: set(400_u64),
            spike_limit_mib: set(100_u64),
        }),
        ProcessorConfig::TailSampling(Box::new(TailSamplingConfig {
            decision_wait: set(Duration::from_secs(10)),
            num_traces: set(100_000_u64),
            expected_new_traces_per_sec: set(1000_u64),
            policies: set_list([
                PolicyConfig::new(
                    "always-sample-errors",
                    SimplePolicyConfig::status_code([StatusCode::Error]),
                ),
                PolicyConfig::new("always-sample-slow", SimplePolicyConfig::latency(500)),
                PolicyConfig::new("probabilistic", SimplePolicyConfig::probabilistic(10.0)),
            ]),
            ..TailSamplingConfig::default()
        })),
        ProcessorConfig::Batch(BatchConfig::default()),
        ProcessorConfig::Resource(ResourceConfig {
            attributes: set_list([ResourceActionConfig::upsert(
                "cluster_name",
                AttributeValue::String("prod-eu".to_owned()),
            )]),
        }),
    ];
    let xray = AwsXrayConfig {
        region: set("us-east-1"),
        index_all_attributes: set(true),
        ..AwsXrayConfig::default()
    };
    let logging = DebugConfig {
        loglevel: set(LogLevelWord::Info),
        ..DebugConfig::default()
    };
    Config {
        processors: processors.into_iter().map(Component::from).collect(),
        exporters: vec![
            ExporterConfig::AwsXray(xray).into(),
            ExporterConfig::Logging(logging).into(),
        ],
        ..smallest()
    }
    .with_traces_pipeline()
}

#[test]
fn the_first_seed_is_written_as_people_write_it() {
    let text = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples/seed1.yaml"),
    )
    .unwrap();
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(seed1().to_yaml(), format!("{}\n", without_comments.join("\n")));
    assert_eq!(
        load_text(&seed1().to_yaml()),
        load_text(&without_comments.join("\n"))
    );
    assert_eq!(seed1().resolve().unwrap(), load_text(&text).unwrap());
}

#[test]
fn a_dollar_in_a_value_is_doubled_and_one_in_a_name_is_not() {
    let mut config = seed1();
    let exporter = config.exporters.remove(0).named("a$b");
    config.exporters = vec![exporter];
    let config = config.with_traces_pipeline();
    let yaml = config.to_yaml();
    assert!(yaml.contains("\n  \"awsxray/a$b\":\n"), "{yaml}");
    assert!(yaml.contains("exporters: [\"awsxray/a$$b\"]"), "{yaml}");
    assert_eq!(read_back(&yaml).0.unwrap(), config.resolve().unwrap());
}

#[test]
fn what_another_reader_of_yaml_would_not_take_for_text_is_quoted() {
    let plain = ["a", "orderId", "/var/log", "user.id", "a-b_c", "nan", "e3"];
    let quoted = [
        "yes",
        "Off",
        "y",
        "NO",
        "nUll",
        "tRUE",
        "12:30:45",
        "2026-11-21",
        "1_000",
        ".5",
        "-",
        "a:",
        "a b",
        "a#",
        "",
    ];
    let written = |text: &str| {
        let mut config = smallest();
        let xray = AwsXrayConfig {
            region: set(text),
            ..AwsXrayConfig::default()
        };
        config.exporters = vec![ExporterConfig::AwsXray(xray).into()];
        config.to_yaml()
    };
    for text in plain {
        assert!(written(text).contains(&format!("    region: {text}\n")), "{text}");
    }
    for text in quoted {
        assert!(
            written(text).contains(&format!("    region: \"{text}\"\n")),
            "{text}"
        );
    }
}

#[test]
fn durations_and_numbers_are_short() {
    let cases = [
        (60_u64, "1m"),
        (3600, "1h"),
        (90, "1m30s"),
        (630, "10m30s"),
        (600, "10m"),
        (10, "10s"),
    ];
    for (seconds, written) in cases {
        let mut config = smallest();
        let batch = BatchConfig {
            timeout: set(Duration::from_secs(seconds)),
            ..BatchConfig::default()
        };
        config.processors = vec![ProcessorConfig::Batch(batch).into()];
        let yaml = config.with_traces_pipeline().to_yaml();
        assert!(yaml.contains(&format!("timeout: {written}\n")), "{yaml}");
        assert_eq!(
            load_text(&yaml).unwrap().settings.batch.unwrap().timeout,
            Duration::from_secs(seconds)
        );
    }
}

#[test]
fn a_very_long_name_is_still_a_key() {
    let mut config = smallest();
    config.exporters = vec![config.exporters.remove(0).named(&"\u{e9}".repeat(400))];
    let config = config.with_traces_pipeline();
    assert_eq!(read_back(&config.to_yaml()).0.unwrap(), config.resolve().unwrap());
}

#[test]
fn what_is_wrong_with_a_built_configuration_is_said_by_its_path() {
    let said = |change: fn(&mut Config)| {
        let mut config = seed1();
        change(&mut config);
        let errors = config.resolve().unwrap_err();
        let lines: Vec<String> = errors
            .errors()
            .iter()
            .map(|error| format!("{}: {}", error.path, error.message))
            .collect();
        lines.join("\n")
    };
    let policies = |config: &mut Config, change: fn(&mut Vec<Spanned<PolicyConfig>>)| {
        let ProcessorConfig::TailSampling(sampling) = &mut config.processors[1].config else {
            panic!()
        };
        change(&mut sampling.policies.as_mut().unwrap().value);
    };
    assert_eq!(
        said(|config| {
            let ProcessorConfig::TailSampling(sampling) = &mut config.processors[1].config else {
                panic!()
            };
            let all = PolicyConfig::new("probabilistic", SimplePolicyConfig::AlwaysSample);
            sampling.policies.as_mut().unwrap().value.push(all.into());
        }),
        "processors.tail_sampling.policies[3].name: another policy has this name"
    );
    let mut config = seed1();
    policies(&mut config, |policies| {
        policies[1].value.kind = SimplePolicyConfig::latency(-1).into()
    });
    policies(&mut config, |policies| policies[2].value.name = set(""));
    assert_eq!(
        config.resolve().unwrap_err().to_string(),
        "configuration: processors.tail_sampling.policies[1].latency.threshold_ms: -1 is below 0\n\
         configuration: processors.tail_sampling.policies[2].name: is empty"
    );
    assert_eq!(
        said(|config| config
            .exporters
            .push(ExporterConfig::AwsXray(AwsXrayConfig::default()).into())),
        "exporters.awsxray: is defined twice"
    );
    assert_eq!(
        said(|config| config.exporters[0].id.value = ComponentId::of("awsxrays")),
        "service.pipelines.traces.exporters[0]: `awsxray` is not defined under `exporters` (did you mean `awsxrays`?)\n\
         exporters.awsxrays: these are the settings of `awsxray`"
    );
    assert_eq!(
        said(|config| {
            let ProcessorConfig::Resource(resource) = &mut config.processors[3].config else {
                panic!()
            };
            let one = ResourceActionConfig::upsert("a", AttributeValue::Bool(true));
            resource.attributes = set_list(vec![one; 8000]);
        }),
        "processors.resource.attributes[2847].key: more than 20000 values, those repeated by aliases counted each time"
    );
}
