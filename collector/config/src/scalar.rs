//! What a scalar means, by the rules of Go's `yaml.v3` (its `resolve.go`), which the OpenTelemetry Collector uses.
//!
//! They are those of YAML 1.2's core schema with three habits of YAML 1.1: `017` is octal, `0b1` is binary and
//! `1_000` is a number. `on`, `yes` and their like are text. Timestamps are text here: no setting is one.

/// What a scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// From `i64::MIN` to `u64::MAX`.
    Int(i128),
    /// Everything else that is a number, `.inf` and `.nan` included.
    Float(f64),
    /// Text.
    Text,
}

/// What a plain (not quoted) scalar means.
pub(crate) fn resolve_plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Kind::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-') => {
            let digits = text.replace('_', "");
            integer(&digits).map_or_else(|| float(&digits), Kind::Int)
        }
        Some(b'.') => float(text),
        Some(_) | None => Kind::Text,
    }
}

fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // `from_str_radix` would take a second sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&value)
        .then_some(value)
}

fn float(text: &str) -> Kind {
    // Rust's parser would also take `inf` and `nan`, which are text here.
    let numeric = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        // Go refuses what does not fit, and the value stays text.
        Ok(value) if numeric && value.is_finite() => Kind::Float(value),
        Ok(_) | Err(_) => Kind::Text,
    }
}

/// YAML 1.1's other words for true and false; `yaml.v3` takes them where a bool is wanted.
pub(crate) fn old_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, resolve_plain};

    #[test]
    fn plain_scalars_mean_what_they_mean_to_the_collector() {
        let cases = [
            ("017", Kind::Int(15)),
            ("0o17", Kind::Int(15)),
            ("08", Kind::Float(8.0)),
            ("0x1f", Kind::Int(31)),
            ("-0x1F", Kind::Int(-31)),
            ("0b101", Kind::Int(5)),
            ("1_000", Kind::Int(1000)),
            ("+7", Kind::Int(7)),
            ("18446744073709551615", Kind::Int(i128::from(u64::MAX))),
            ("18446744073709551616", Kind::Float(18_446_744_073_709_551_616.0)),
            ("1.", Kind::Float(1.0)),
            (".5", Kind::Float(0.5)),
            ("1e3", Kind::Float(1000.0)),
            ("-.inf", Kind::Float(f64::NEG_INFINITY)),
            ("on", Kind::Text),
            ("yes", Kind::Text),
            ("True", Kind::Bool(true)),
            ("tRUE", Kind::Text),
            ("~", Kind::Null),
            ("", Kind::Null),
            ("nUll", Kind::Text),
            ("inf", Kind::Text),
            ("-inf", Kind::Text),
            ("1e999", Kind::Text),
            ("+-1", Kind::Text),
            ("0x", Kind::Text),
            ("10s", Kind::Text),
            ("2026-11-21", Kind::Text),
            ("0.0.0.0:4317", Kind::Text),
        ];
        for (text, kind) in cases {
            assert_eq!(resolve_plain(text), kind, "{text}");
        }
        assert!(matches!(resolve_plain(".NaN"), Kind::Float(value) if value.is_nan()));
    }
}
