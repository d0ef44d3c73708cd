//! `trace_state`: members of the W3C `tracestate` header.

/// Looks for a key with one of some values.
#[derive(Debug, Clone)]
pub(super) struct TraceStateCheck {
    key: Box<[u8]>,
    values: Vec<Box<[u8]>>,
}

/// Most members of a list (W3C Trace Context, section 3.3.1.1).
const MEMBERS_MAX: usize = 32;

/// A key and its value have fewer bytes together: with the `=` between them they would be longer than a value may be.
/// Upstream leaves out longer values silently.
const MEMBER_BYTES: usize = 256;

impl TraceStateCheck {
    /// Empty values, and those too long for a header, never match.
    pub(super) fn new(key: &str, values: &[String]) -> Self {
        let values = values
            .iter()
            .filter(|value| !value.is_empty() && key.len() + value.len() < MEMBER_BYTES)
            .map(|value| value.as_bytes().into())
            .collect();
        Self {
            key: key.as_bytes().into(),
            values,
        }
    }

    fn holds(&self, (key, value): (&[u8], &[u8])) -> bool {
        *self.key == *key && self.values.iter().any(|wanted| **wanted == *value)
    }
}

/// The bits of the checks that hold for a header's text; none when it is not one.
pub(super) fn found(checks: &[(TraceStateCheck, u128)], text: &[u8]) -> u128 {
    let mut found = 0;
    let mut known: [&[u8]; MEMBERS_MAX] = [&[]; MEMBERS_MAX];
    let members = text.split(|byte| *byte == b',').filter(|part| !part.is_empty());
    for (count, part) in members.enumerate() {
        let Some((key, value)) = member(part) else {
            return 0;
        };
        if count == MEMBERS_MAX || known[..count].contains(&key) {
            return 0;
        }
        known[count] = key;
        for (check, bit) in checks {
            if check.holds((key, value)) {
                found |= bit;
            }
        }
    }
    found
}

/// A key and a value, as OpenTelemetry's library for Go takes them: the grammar of W3C Trace Context, with blanks
/// before the key and after the value. `None` when it is no member.
fn member(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let mut key = &text[..equals];
    while let [b' ' | b'\t', rest @ ..] = key {
        key = rest;
    }
    let mut value = &text[equals + 1..];
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    (is_key(key) && is_value(value)).then_some((key, value))
}

fn is_key(key: &[u8]) -> bool {
    match key.iter().position(|byte| *byte == b'@') {
        None => is_name(key, 256, u8::is_ascii_lowercase),
        Some(at) => {
            let or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            is_name(&key[..at], 241, or_digit) && is_name(&key[at + 1..], 14, u8::is_ascii_lowercase)
        }
    }
}

fn is_name(name: &[u8], bytes_max: usize, may_be_first: impl Fn(&u8) -> bool) -> bool {
    let may_follow = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    name.len() <= bytes_max && name.first().is_some_and(may_be_first) && name[1..].iter().all(may_follow)
}

/// Printable ASCII but comma and equals sign; not empty, not too long, and the last is no blank (they are cut off).
fn is_value(value: &[u8]) -> bool {
    let may_be = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    (1..=256).contains(&value.len()) && value.iter().all(may_be) && !value.ends_with(b" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(text: &[u8], key: &str, value: &str) -> bool {
        let check = TraceStateCheck::new(key, &[value.to_owned()]);
        found(&[(check, 4)], text) == 4
    }

    #[test]
    fn a_member_is_found_in_a_well_formed_list_only() {
        let long = |length: usize| "x".repeat(length);
        let members = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!("k{n}=1")).collect();
            members.join(",")
        };
        let table: Vec<(String, bool)> = [
            ("v=1", true),
            ("v=1,w=2", true),
            ("w=2,v=1", true),
            (" v=1", true),
            ("\tv=1 \t", true),
            ("w=2, v=1", true),
            (",,v=1,", true),
            ("v=2", false),
            ("v=1 1", false),
            ("v= 1", false),
            ("V=1", false),
            ("v=1,v=1", false),
            ("v=1,w", false),
            ("v=1,=", false),
            ("v=1, ", false),
            ("v=1,w=", false),
            ("v=1,w=a=b", false),
            ("v=1,W=a", false),
            ("v=1,w =a", false),
            ("v=1,1w=a", false),
            ("v=1,1w@s=a", true),
            ("v=1,t@1s=a", false),
            ("v=1,@s=a", false),
            ("v=1,t@=a", false),
            ("v=1,t@s@u=a", false),
            ("v=1,t-_*/0@s-_*/0=!~", true),
            ("v=1,w=\u{e9}", false),
            ("v=1,\u{e9}=w", false),
            ("v=1,w=\u{7f}", false),
            ("", false),
        ]
        .map(|(text, expected)| (text.to_owned(), expected))
        .into_iter()
        .chain([
            (format!("v=1,{}", members(31)), true),
            (format!("v=1,{}", members(32)), false),
            (format!("v=1,a{}=1", long(255)), true),
            (format!("v=1,a{}=1", long(256)), false),
            (format!("v=1,a{}@s=1", long(240)), true),
            (format!("v=1,a{}@s=1", long(241)), false),
            (format!("v=1,t@s{}=1", long(13)), true),
            (format!("v=1,t@s{}=1", long(14)), false),
            (format!("v=1,w={}", long(256)), true),
            (format!("v=1,w={}", long(257)), false),
        ])
        .collect();
        for (text, expected) in table {
            assert_eq!(finds(text.as_bytes(), "v", "1"), expected, "{text}");
        }
        assert!(!finds(b"v=1,w=\xff", "v", "1"));
    }

    #[test]
    fn a_value_that_is_empty_or_too_long_for_a_member_is_never_found() {
        assert!(!finds(b"v=", "v", ""));
        for (length, expected) in [(254, true), (255, false)] {
            let value = "x".repeat(length);
            assert_eq!(finds(format!("v={value}").as_bytes(), "v", &value), expected);
        }
    }
}
