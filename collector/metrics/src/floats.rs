//! Doubles as text, in the three forms that Go's programs give them: shortest digits that are read back as the same
//! double, each form with its own place for the point.

/// Shortest digits of a double and where its point is: `0.DIGITS * 10^point`.
struct Decimal<'a> {
    /// Neither begins nor ends with a zero; empty for zero.
    digits: &'a [u8],
    point: i32,
}

/// As `strconv.FormatFloat(value, 'g', -1, 64)`, but `+Inf`, and `0` for both zeros: the values of the text format. An
/// exponent below -4 or above 5 is written as one: `1e+06`.
pub(crate) fn put_go(value: f64, out: &mut Vec<u8>) {
    if value == 0.0 {
        out.push(b'0');
        return;
    }
    if !put_special(value, [b"NaN", b"+Inf", b"-Inf"], out) {
        with_decimal(value, out, |decimal, out| {
            let exponent = decimal.point - 1;
            if (-4..6).contains(&exponent) {
                put_plain_decimal(decimal, out);
            } else {
                put_exponent(decimal, 2, out);
            }
        });
    }
}

/// As [`put_go`], but with a point in every number: `1.0`, `+Inf`, the values of OpenMetrics.
pub(crate) fn put_open_metrics(value: f64, out: &mut Vec<u8>) {
    let start = out.len();
    put_go(value, out);
    if value.is_finite() && !out[start..].iter().any(|byte| matches!(byte, b'.' | b'e')) {
        out.extend_from_slice(b".0");
    }
}

/// As `strconv.FormatFloat(value, 'f', -1, 64)`: never an exponent. The labels `le` and `quantile` of remote write.
pub(crate) fn put_plain(value: f64, out: &mut Vec<u8>) {
    if !put_special(value, [b"NaN", b"+Inf", b"-Inf"], out) {
        with_decimal(value, out, put_plain_decimal);
    }
}

/// As JavaScript writes a number, which is how OpenTelemetry's Collector writes an attribute: an exponent below -6 or
/// above 20, and `Infinity`.
pub(crate) fn put_json(value: f64, out: &mut Vec<u8>) {
    if !put_special(value, [b"NaN", b"Infinity", b"-Infinity"], out) {
        with_decimal(value, out, |decimal, out| {
            if decimal.digits.is_empty() || (-6..21).contains(&(decimal.point - 1)) {
                put_plain_decimal(decimal, out);
            } else {
                put_exponent(decimal, 1, out);
            }
        });
    }
}

/// Writes what is no number by one of these names: not a number, infinite, infinitely small.
fn put_special(value: f64, [nan, infinite, below]: [&[u8]; 3], out: &mut Vec<u8>) -> bool {
    let name = if value.is_nan() {
        nan
    } else if value == f64::INFINITY {
        infinite
    } else if value == f64::NEG_INFINITY {
        below
    } else {
        return false;
    };
    out.extend_from_slice(name);
    true
}

/// Writes the sign, then what `put` makes of the digits. The value is finite.
fn with_decimal(value: f64, out: &mut Vec<u8>, put: impl FnOnce(&Decimal<'_>, &mut Vec<u8>)) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value.abs()).as_bytes();
    let (mantissa, exponent) = match text.iter().position(|byte| *byte == b'e') {
        Some(at) => (&text[..at], read_exponent(&text[at + 1..])),
        None => (text, 0),
    };
    let whole = mantissa
        .iter()
        .position(|byte| *byte == b'.')
        .unwrap_or(mantissa.len());
    // At most 17 digits count; what is longer has zeros around them.
    let mut digits = [0_u8; 32];
    let mut length = 0;
    let mut leading_zeros = 0;
    for byte in mantissa.iter().filter(|byte| **byte != b'.') {
        if length == 0 && *byte == b'0' {
            leading_zeros += 1;
        } else if let Some(digit) = digits.get_mut(length) {
            *digit = *byte;
            length += 1;
        }
    }
    let end = digits[..length]
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(0, |at| at + 1);
    let decimal = Decimal {
        digits: &digits[..end],
        point: i32::try_from(whole).unwrap_or(0) - leading_zeros + exponent,
    };
    put(&decimal, out);
}

fn read_exponent(text: &[u8]) -> i32 {
    str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn put_plain_decimal(decimal: &Decimal<'_>, out: &mut Vec<u8>) {
    let point = usize::try_from(decimal.point).unwrap_or(0);
    let digits = decimal.digits;
    if digits.is_empty() || decimal.point <= 0 {
        out.push(b'0');
    } else {
        out.extend_from_slice(&digits[..point.min(digits.len())]);
        pad(point.saturating_sub(digits.len()), out);
    }
    if point < digits.len() {
        out.push(b'.');
        pad(usize::try_from(-decimal.point).unwrap_or(0), out);
        out.extend_from_slice(&digits[point..]);
    }
}

fn pad(zeros: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + zeros, b'0');
}

fn put_exponent(decimal: &Decimal<'_>, digits_min: usize, out: &mut Vec<u8>) {
    let (first, rest) = decimal.digits.split_at(1);
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    let exponent = decimal.point - 1;
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(exponent.unsigned_abs());
    pad(digits_min.saturating_sub(text.len()), out);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(put: impl FnOnce(f64, &mut Vec<u8>), value: f64) -> String {
        let mut out = Vec::new();
        put(value, &mut out);
        String::from_utf8(out).expect("numbers are ASCII")
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let smallest = f64::from_bits(1);
        // value, 'g', OpenMetrics, 'f', JSON
        let table = [
            (0.0, "0", "0.0", "0", "0"),
            (-0.0, "0", "0.0", "-0", "-0"),
            (1.0, "1", "1.0", "1", "1"),
            (-1.0, "-1", "-1.0", "-1", "-1"),
            (0.5, "0.5", "0.5", "0.5", "0.5"),
            (10.0, "10", "10.0", "10", "10"),
            (0.005, "0.005", "0.005", "0.005", "0.005"),
            (-2.5, "-2.5", "-2.5", "-2.5", "-2.5"),
            (999_999.0, "999999", "999999.0", "999999", "999999"),
            (1e6, "1e+06", "1e+06", "1000000", "1000000"),
            (1_234_567.0, "1.234567e+06", "1.234567e+06", "1234567", "1234567"),
            (123_456.75, "123456.75", "123456.75", "123456.75", "123456.75"),
            (0.0001, "0.0001", "0.0001", "0.0001", "0.0001"),
            (0.00001, "1e-05", "1e-05", "0.00001", "0.00001"),
            (0.000_000_1, "1e-07", "1e-07", "0.0000001", "1e-7"),
            (
                1e20,
                "1e+20",
                "1e+20",
                "100000000000000000000",
                "100000000000000000000",
            ),
            (1e21, "1e+21", "1e+21", "1000000000000000000000", "1e+21"),
            (1.5e300, "1.5e+300", "1.5e+300", "", "1.5e+300"),
            (
                0.1 + 0.2,
                "0.30000000000000004",
                "0.30000000000000004",
                "0.30000000000000004",
                "0.30000000000000004",
            ),
            (
                9_007_199_254_740_993_i64 as f64,
                "9.007199254740992e+15",
                "9.007199254740992e+15",
                "9007199254740992",
                "9007199254740992",
            ),
            // Two are as short and as near: the even one, as Go. Rust's own takes the other.
            (
                7_515_288_798_295_941.0 / 4.0,
                "1.8788221995739852e+15",
                "1.8788221995739852e+15",
                "1878822199573985.2",
                "1878822199573985.2",
            ),
            (
                f64::MAX,
                "1.7976931348623157e+308",
                "1.7976931348623157e+308",
                "",
                "1.7976931348623157e+308",
            ),
            (smallest, "5e-324", "5e-324", "", "5e-324"),
            (f64::NAN, "NaN", "NaN", "NaN", "NaN"),
            (-f64::NAN, "NaN", "NaN", "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf", "Infinity"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf", "-Infinity"),
        ];
        for (value, go, open_metrics, plain, json) in table {
            assert_eq!(text(put_go, value), go, "{value:e}");
            assert_eq!(text(put_open_metrics, value), open_metrics, "{value:e}");
            assert_eq!(text(put_json, value), json, "{value:e}");
            if !plain.is_empty() {
                assert_eq!(text(put_plain, value), plain, "{value:e}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back_as_the_same_double(bits: u64) {
            let value = f64::from_bits(bits);
            let forms: [fn(f64, &mut Vec<u8>); 4] = [put_go, put_open_metrics, put_plain, put_json];
            for put in forms {
                let read: f64 = text(put, value).parse().expect("a number");
                proptest::prop_assert!(read.to_bits() == bits || (read.is_nan() && value.is_nan()) || (read == 0.0 && value == 0.0));
            }
        }

        #[test]
        fn the_plain_form_is_what_rust_writes_where_only_one_is_shortest(digits: i32, exponent in -30..30) {
            let value: f64 = format!("{digits}e{exponent}").parse().expect("a number");
            proptest::prop_assert_eq!(text(put_plain, value), value.to_string());
        }
    }
}
