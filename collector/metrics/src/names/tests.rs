//! The vectors of the reference page `prometheus-translation.md`, section 3.4, and names that are none.

use tracepipe_config::{LabelUnderscores, ResourcePromotion};

use super::*;
use NameKind::{Counter, Gauge, Other};

fn namer(namespace: &str, strategy: TranslationStrategy) -> MetricNamer {
    MetricNamer::new(&TranslationSettings {
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        strategy,
        label_underscores: LabelUnderscores::Collapse,
        promote: ResourcePromotion::None,
        scope_info: true,
    })
}

fn named(namer: &MetricNamer, name: &[u8], unit: &str, kind: NameKind) -> Result<String, NameDefect> {
    let mut out = b"before ".to_vec();
    let result = namer.put(name, unit.as_bytes(), kind, &mut out);
    let name = appended(&out);
    assert!(
        result.is_ok() || name.is_empty(),
        "nothing is appended for a name that is none"
    );
    result.map(|()| name)
}

fn appended(out: &[u8]) -> String {
    let text = str::from_utf8(out).expect("names are ASCII");
    text.strip_prefix("before ")
        .expect("what was there stays")
        .to_owned()
}

#[test]
fn units_and_types_are_appended() {
    let table = [
        (
            "http.server.request.duration",
            "s",
            Other,
            "http_server_request_duration_seconds",
        ),
        (
            "http.server.requests",
            "{request}",
            Counter,
            "http_server_requests_total",
        ),
        ("jvm.memory.used", "By", Other, "jvm_memory_used_bytes"),
        ("cpu.utilization", "1", Gauge, "cpu_utilization_ratio"),
        ("cpu.utilization", "1", Other, "cpu_utilization"),
        ("queue.size", "1", Counter, "queue_size_total"),
        ("total.bytes.total", "By", Counter, "bytes_total"),
        ("rpc.sent", "By/s", Gauge, "rpc_sent_bytes_per_second"),
        ("disk.io", "KiBy", Counter, "disk_io_kibibytes_total"),
        ("temp", "Cel", Gauge, "temp_celsius"),
        ("error.rate", "%", Gauge, "error_rate_percent"),
        ("widget", "{widget}/s", Gauge, "widget_per_second"),
        ("widget", "widget/{day}", Gauge, "widget"),
        ("2xx.count", "", Counter, "_2xx_count_total"),
        ("a..b__c", "", Gauge, "a_b_c"),
        ("job:http:rate5m", "", Gauge, "job:http:rate5m"),
        ("latency", "s ", Other, "latency_seconds"),
        ("x", "foo^2/bar", Gauge, "x_foo_2_per_bar"),
        ("process.cpu.seconds", "s", Counter, "process_cpu_seconds_total"),
        ("seconds", "s", Gauge, "seconds"),
        ("ratio.of.ratio", "1", Gauge, "of_ratio"),
        // The words of a rate are not looked for in the name, as upstream.
        ("foo.per.second", "1/s", Gauge, "foo_per_second_per_second"),
        // A unit that is the word of the type is not said twice.
        ("a", "total", Counter, "a_total"),
        ("a", "total", Gauge, "a_total"),
        ("a", "total/s", Counter, "a_per_second_total"),
        ("a", "foo_/s", Gauge, "a_foo_per_second"),
        ("a", "foo_", Gauge, "a_foo_"),
        // What is not ASCII parts words as any other character.
        ("größe", "By", Gauge, "gr_e_bytes"),
        ("total", "", Counter, "total"),
        ("_a_", "", Gauge, "a"),
    ];
    let namer = namer("", TranslationStrategy::UnderscoreEscapingWithSuffixes);
    for (name, unit, kind, expected) in table {
        let made = named(&namer, name.as_bytes(), unit, kind);
        assert_eq!(made.as_deref(), Ok(expected), "{name:?} in {unit:?}");
    }
}

#[test]
fn nothing_is_appended_without_suffixes() {
    let table = [
        ("http.server.requests", "s", Counter, "http_server_requests"),
        ("a__b", "", Gauge, "a__b"),
        ("a..b", "", Gauge, "a_b"),
        ("..a..", "", Gauge, "a"),
        ("2xx", "", Gauge, "_2xx"),
        ("cpu.utilization", "1", Gauge, "cpu_utilization"),
        // A valid name stays as it is, even this one.
        ("___", "", Gauge, "___"),
        ("job:x", "", Gauge, "job:x"),
    ];
    let namer = namer("", TranslationStrategy::UnderscoreEscapingWithoutSuffixes);
    for (name, unit, kind, expected) in table {
        let made = named(&namer, name.as_bytes(), unit, kind);
        assert_eq!(made.as_deref(), Ok(expected), "{name:?} in {unit:?}");
    }
}

#[test]
fn the_namespace_is_the_first_word() {
    let with = namer("app", TranslationStrategy::UnderscoreEscapingWithSuffixes);
    assert_eq!(
        named(&with, b"requests", "1/s", Counter).as_deref(),
        Ok("app_requests_per_second_total")
    );
    assert_eq!(named(&with, b"2xx", "", Counter).as_deref(), Ok("app_2xx_total"));
    let without = namer("my_app", TranslationStrategy::UnderscoreEscapingWithoutSuffixes);
    assert_eq!(named(&without, b"2xx", "", Counter).as_deref(), Ok("my_app_2xx"));
    let mut out = Vec::new();
    with.put_target_info(&mut out);
    assert_eq!(out, b"app_target_info");
}

#[test]
fn a_name_of_which_nothing_is_left_is_refused_and_not_named_by_its_unit() {
    for namespace in ["", "app"] {
        let with = namer(namespace, TranslationStrategy::UnderscoreEscapingWithSuffixes);
        let without = namer(namespace, TranslationStrategy::UnderscoreEscapingWithoutSuffixes);
        for name in ["", "日本", "..", "日本.メトリック"] {
            for namer in [&with, &without] {
                assert_eq!(
                    named(namer, name.as_bytes(), "s", Gauge),
                    Err(NameDefect::Empty),
                    "{name:?}"
                );
            }
        }
        assert_eq!(named(&with, b"___", "s", Counter), Err(NameDefect::Empty));
    }
    let without = namer("", TranslationStrategy::UnderscoreEscapingWithoutSuffixes);
    assert_eq!(
        named(&without, b"_._", "", Gauge),
        Err(NameDefect::OnlyUnderscores)
    );
}

#[test]
fn bytes_that_are_no_text_part_words() {
    for strategy in [
        TranslationStrategy::UnderscoreEscapingWithSuffixes,
        TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
    ] {
        assert_eq!(
            named(&namer("", strategy), b"a\xff\xfeb", "", Gauge).as_deref(),
            Ok("a_b")
        );
    }
}

proptest::proptest! {
    #[test]
    fn every_name_that_is_made_is_valid(name: Vec<u8>, unit: Vec<u8>, pick in 0..3usize, suffixes: bool) {
        let strategy = if suffixes {
            TranslationStrategy::UnderscoreEscapingWithSuffixes
        } else {
            TranslationStrategy::UnderscoreEscapingWithoutSuffixes
        };
        let mut out = Vec::new();
        if namer("", strategy).put(&name, &unit, [Counter, Gauge, Other][pick], &mut out).is_ok() {
            proptest::prop_assert!(!out.is_empty() && !out[0].is_ascii_digit());
            proptest::prop_assert!(out.iter().all(|byte| is_plain_or_underscore(*byte)));
        } else {
            proptest::prop_assert!(out.is_empty());
        }
    }
}

/// The rows of a table of `docs/metrics.md` by its head, without their code marks.
pub(crate) fn documented(head: &str) -> Vec<Vec<String>> {
    let page = include_str!("../../../../docs/metrics.md");
    let (_, table) = page.split_once(&format!("{head}\n")).expect("the table is there");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split('|');
        cells
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

#[test]
fn the_documentation_tells_the_truth_of_names() {
    let namer = namer("", TranslationStrategy::UnderscoreEscapingWithSuffixes);
    let rows = documented("| metric | unit | type | series |");
    assert!(rows.len() > 10);
    for row in rows {
        let [name, unit, kind, series] = &row[..] else {
            panic!("{row:?}")
        };
        let kind = match kind.as_str() {
            "counter" => Counter,
            "gauge" => Gauge,
            _ => Other,
        };
        assert_eq!(
            named(&namer, name.as_bytes(), unit, kind).as_ref(),
            Ok(series),
            "{row:?}"
        );
    }
}
