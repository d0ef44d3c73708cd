//! What stands in random spans and resources, drawn from the words.

use tracepipe_e2e::rng::Rng;

use super::spans::{Attribute, Text, Value};
use super::words::{
    BROKEN_TEXTS, BROKEN_TRACE_STATES, Holds, STRANGE_TEXTS, TEXTS, TRACE_STATES, WORDS, Word,
};

pub(super) fn flags(rng: &mut Rng) -> u32 {
    // The low byte is W3C's, the bits 8 and 9 are OTLP's, the others belong to nobody.
    match rng.between(0, 9) {
        0 => 1,
        1 => 0x0301,
        2 => 0xffff_ffff,
        3 => 0xffff_fffe,
        4 => 0x0100,
        5 => 2,
        _ => 0,
    }
}

pub(super) fn status(rng: &mut Rng) -> Option<i32> {
    match rng.between(0, 19) {
        0 => Some(2),
        1..=3 => Some(1),
        4 => Some(0),
        _ => None,
    }
}

pub(super) fn trace_states(rng: &mut Rng) -> Vec<Text> {
    if !rng.chance(0.25) {
        return Vec::new();
    }
    let count = if rng.chance(0.05) { 2 } else { 1 };
    (0..count).map(|_| Text(trace_state(rng))).collect()
}

fn trace_state(rng: &mut Rng) -> Vec<u8> {
    let members = |count: u64| {
        let members: Vec<String> = (1..=count).map(|n| format!("m{n}=x")).collect();
        members.join(",")
    };
    let text = match rng.between(0, 39) {
        0..=19 => rng.pick(&TRACE_STATES).copied().unwrap_or_default().to_owned(),
        20..=31 => rng
            .pick(&BROKEN_TRACE_STATES)
            .copied()
            .unwrap_or_default()
            .to_owned(),
        // W3C: at most 32 members ...
        32 => members(32),
        33 => members(33),
        34 => format!(",,{},,", members(32)),
        // ... keys and values of at most 256 characters, 241 before and 14 after an @.
        35 => {
            let more = rng.between(0, 1) as usize;
            format!("vendor=on,k{}=1", "y".repeat(255 + more))
        }
        36 => {
            let more = rng.between(0, 1) as usize;
            format!("vendor=on,long={}", "y".repeat(256 + more))
        }
        37 => {
            let more = rng.between(0, 1) as usize;
            format!("vendor=on,{}@s=1", "t".repeat(241 + more))
        }
        38 => {
            let more = rng.between(0, 1) as usize;
            format!("vendor=on,t@{}=1", "s".repeat(14 + more))
        }
        _ => return b"vendor=on,\xff=1".to_vec(),
    };
    text.into_bytes()
}

pub(super) fn attributes(rng: &mut Rng, share: impl Fn(&Word) -> f64) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    for word in &WORDS {
        if !rng.chance(share(word)) {
            continue;
        }
        // A key that stands there twice.
        let times = if rng.chance(0.03) { 2 } else { 1 };
        for _ in 0..times {
            attributes.push(attribute(rng, word));
        }
    }
    // In any order.
    for last in (1..attributes.len()).rev() {
        attributes.swap(last, rng.between(0, last as u64) as usize);
    }
    attributes
}

fn attribute(rng: &mut Rng, word: &Word) -> Attribute {
    let odd = rng.chance(0.12);
    let values = match word.holds {
        Holds::Number | Holds::Flag => vec![usual(rng, word.holds)],
        Holds::Text | Holds::StrangeText | Holds::AnyNumber | Holds::AnyFlag if !odd => {
            vec![usual(rng, word.holds)]
        }
        Holds::Text | Holds::StrangeText | Holds::AnyNumber | Holds::AnyFlag => match rng.between(0, 9) {
            0 => Vec::new(),
            1 => vec![usual(rng, word.holds), usual(rng, word.holds)],
            2 => vec![strange(rng, word.holds), usual(rng, word.holds)],
            _ => vec![strange(rng, word.holds)],
        },
    };
    Attribute {
        key: word.key.to_owned(),
        values,
    }
}

fn usual(rng: &mut Rng, holds: Holds) -> Value {
    match holds {
        Holds::Text => text(rng),
        Holds::StrangeText => strange_text(rng),
        Holds::Number => {
            if rng.chance(0.2) {
                Value::Double(*rng.pick(&[0.0, -0.0, 0.25, -0.999, 5e-324]).unwrap_or(&0.0))
            } else {
                number(rng)
            }
        }
        Holds::AnyNumber => number(rng),
        Holds::Flag | Holds::AnyFlag => Value::Bool(rng.chance(0.3)),
    }
}

/// Something else than the policies look for.
fn strange(rng: &mut Rng, holds: Holds) -> Value {
    let inner = |rng: &mut Rng| match rng.between(0, 3) {
        0 => text(rng),
        1 => number(rng),
        2 => Value::Bool(true),
        _ => Value::Array(vec![text(rng), Value::Empty]),
    };
    match rng.between(0, 6) {
        0 if holds != Holds::AnyNumber => number(rng),
        0 | 1 if !matches!(holds, Holds::Text | Holds::StrangeText) => text(rng),
        0 | 1 => Value::Bool(rng.chance(0.5)),
        2 if holds == Holds::AnyNumber => Value::Double(f64::NAN),
        2 => Value::Double(1.0),
        3 => Value::Bytes(b"prod".to_vec()),
        4 => Value::Array(vec![inner(rng), inner(rng)]),
        5 => Value::Map(vec![("prod".to_owned(), inner(rng)), (String::new(), inner(rng))]),
        _ => Value::Empty,
    }
}

fn text(rng: &mut Rng) -> Value {
    // The smaller of two numbers: the first texts are met more often.
    let last = TEXTS.len() as u64 - 1;
    let index = rng.between(0, last).min(rng.between(0, last));
    if rng.chance(0.05) {
        return strange_text(rng);
    }
    if rng.chance(0.1) {
        // More different texts than any cache of results remembers.
        return Value::Text(format!("user-{}", rng.between(0, 5_000)).into_bytes());
    }
    TEXTS[index as usize].into()
}

fn strange_text(rng: &mut Rng) -> Value {
    match rng.between(0, 49) {
        0..=4 => Value::Text(
            rng.pick(&BROKEN_TEXTS)
                .map(|text| text.to_vec())
                .unwrap_or_default(),
        ),
        5 => {
            let mut text = "long ".repeat(rng.between(200, 4_000) as usize);
            text.push_str(STRANGE_TEXTS[rng.between(0, STRANGE_TEXTS.len() as u64 - 1) as usize]);
            Value::Text(text.into_bytes())
        }
        _ => STRANGE_TEXTS[rng.between(0, STRANGE_TEXTS.len() as u64 - 1) as usize].into(),
    }
}

fn number(rng: &mut Rng) -> Value {
    Value::Int(match rng.between(0, 19) {
        0..=7 => 200,
        8 | 9 => 404,
        10 => 500,
        11 => 503,
        12 => rng.between(0, 10) as i64,
        13 => -(rng.between(0, 10) as i64),
        14 => rng.next().cast_signed(),
        15 => i64::MAX,
        16 => i64::MIN,
        17 => 199,
        18 => 201,
        _ => rng.between(0, 1_000_000) as i64,
    })
}
