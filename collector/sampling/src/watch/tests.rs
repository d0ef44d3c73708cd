use tracepipe_config::StringMatcher;

use super::*;

fn text(value: &str) -> Vec<u8> {
    [&[0x0a, value.len() as u8], value.as_bytes()].concat()
}

fn watch(predicates: &[Predicate<'_>]) -> PolicyWatch {
    PolicyWatch::new(predicates).unwrap()
}

const A_1: Predicate<'_> = Predicate::Number {
    key: "a",
    min: 1,
    max: 1,
};
const A_TRUE: Predicate<'_> = Predicate::Truth {
    key: "a",
    value: true,
};
const B_2: Predicate<'_> = Predicate::Number {
    key: "b",
    min: 2,
    max: 2,
};

#[test]
fn what_is_seen_of_a_resource_and_of_a_span_is_kept_apart() {
    let mut watch = watch(&[A_1, B_2]);
    watch.span_attribute(b"a", &[0x18, 1]);
    // The resource may come between the spans' fields and spans.
    watch.begin_resource();
    watch.resource_attribute(b"a", &[0x18, 7]);
    watch.resource_attribute(b"b", &[0x18, 2]);
    assert_eq!(watch.end_resource(), 0b10);
    watch.span_attribute(b"b", &[0x18, 7]);
    watch.span_attribute(b"b", &[0x18, 2]);
    assert_eq!(watch.end_span(), 0b01, "the first of two counts");
    assert_eq!(watch.end_span(), 0, "nothing stays");
    watch.begin_resource();
    assert_eq!(watch.end_resource(), 0);

    watch.span_attribute(b"a", &[0x18, 1]);
    watch.begin_resource();
    watch.resource_attribute(b"a", &[0x18, 1]);
    watch.trace_state(b"a=1");
    watch.reset();
    assert_eq!((watch.end_span(), watch.end_resource()), (0, 0));
}

#[test]
fn all_checks_of_a_key_look_at_its_first_value() {
    let mut watch = watch(&[A_TRUE, B_2, A_1]);
    watch.span_attribute(b"a", &[0x10, 1]);
    watch.span_attribute(b"a", &[0x18, 1]);
    assert_eq!(watch.end_span(), 0b001);
    watch.span_attribute(b"a", &[0x18, 1]);
    watch.span_attribute(b"a", &[0x10, 1]);
    assert_eq!(watch.end_span(), 0b100);
}

#[test]
fn of_several_trace_states_the_last_stands() {
    let values = ["1".to_owned()];
    let predicate = Predicate::TraceState {
        key: "v",
        values: &values,
    };
    let mut watch = watch(&[predicate, A_1]);
    watch.trace_state(b"v=1");
    watch.span_attribute(b"a", &[0x18, 1]);
    assert_eq!(watch.end_span(), 0b11);
    watch.trace_state(b"v=1");
    watch.trace_state(b"v=2");
    assert_eq!(watch.end_span(), 0);
    watch.trace_state(b"v=2");
    watch.trace_state(b"v=1");
    assert_eq!(watch.end_span(), 1);
}

#[test]
fn only_what_is_looked_for_needs_to_be_shown() {
    let values = ["1".to_owned()];
    let state = Predicate::TraceState {
        key: "v",
        values: &values,
    };
    let wants = |predicates: &[Predicate<'_>]| {
        let watch = watch(predicates);
        (watch.wants_attributes(), watch.wants_trace_state())
    };
    assert_eq!(wants(&[]), (false, false));
    assert_eq!(wants(&[A_1]), (true, false));
    assert_eq!(wants(&[state]), (false, true));
}

#[test]
fn a_hundred_and_twenty_eight_predicates_have_a_bit_each() {
    let keys: Vec<String> = (0..128).map(|n| format!("{}{n}", "k".repeat(n % 70))).collect();
    let predicates: Vec<Predicate<'_>> = keys
        .iter()
        .map(|key| Predicate::Truth { key, value: true })
        .collect();
    let mut watch = watch(&predicates);
    for (place, key) in keys.iter().enumerate() {
        watch.span_attribute(key.as_bytes(), &[0x10, 1]);
        watch.span_attribute(b"other", &[0x10, 1]);
        assert_eq!(watch.end_span(), 1 << place, "{key}");
    }
}

#[test]
fn a_clone_remembers_for_itself_and_answers_alike() {
    let matcher = StringMatcher::Regex {
        patterns: vec!["^x+$".to_owned()],
        cache_max_size: 8,
    };
    let mut one = watch(&[Predicate::Text {
        key: "a",
        matcher: &matcher,
    }]);
    assert_eq!(one.memory_bytes(), 0);
    let mut other = one.clone();
    for watch in [&mut one, &mut other] {
        for (value, found) in [("xx", 1), ("xy", 0), ("", 0), ("xx", 1)] {
            watch.span_attribute(b"a", &text(value));
            assert_eq!(watch.end_span(), found, "{value}");
        }
    }
    assert!(one.memory_bytes() > 0);
}
