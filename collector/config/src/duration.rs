//! Durations as Go writes them (package `time`, `ParseDuration`): `1h2m3.5s`, `500ms`, `-1us`, `0`.

use std::fmt;
use std::time::Duration;

/// A duration in nanoseconds, as Go has it: it may be negative, and is at most about 292 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GoDuration(pub i64);

/// Units of Go, longest name first where one is another's beginning. There are no days and weeks.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// More digits after the point than this cannot change a whole nanosecond: an hour has 3.6e12 of them.
const FRACTION_DIGITS_MAX: usize = 18;

impl GoDuration {
    /// Parses a text.
    ///
    /// # Errors
    /// What is wrong with it, in words that fit behind the setting's path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse =
            |why: &str| format!("`{text}` is not a duration ({why}); write for example 10s, 500ms or 1m30s");
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) | None => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(refuse("it is empty"));
        }
        let mut nanos: i128 = 0;
        while !rest.is_empty() {
            let (amount, after) = amount(rest).ok_or_else(|| refuse("a number is missing"))?;
            let end = after
                .find(|c: char| c == '.' || c.is_ascii_digit())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let unit = unit_nanos(unit).map_err(|why| refuse(&why))?;
            nanos += amount.nanos(unit).ok_or_else(|| refuse("it is too long"))?;
            rest = after;
        }
        let nanos = if negative { -nanos } else { nanos };
        i64::try_from(nanos)
            .map(Self)
            .map_err(|_| refuse("it is too long"))
    }

    /// As the standard library has it; None if it is negative.
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

fn unit_nanos(unit: &str) -> Result<u64, String> {
    match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, nanos)) => Ok(*nanos),
        None if unit.is_empty() => Err("it has no unit".to_owned()),
        None if unit == "d" => Err("there are no days: write 24h".to_owned()),
        None => Err("units are h, m, s, ms, us and ns".to_owned()),
    }
}

struct Amount<'a> {
    whole: &'a str,
    fraction: &'a str,
}

/// The number at the beginning of a text and what follows it.
fn amount(text: &str) -> Option<(Amount<'_>, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    (!whole.is_empty() || !fraction.is_empty()).then_some((Amount { whole, fraction }, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

impl Amount<'_> {
    /// None when it does not fit; below a nanosecond it is cut off.
    fn nanos(&self, unit: u64) -> Option<i128> {
        let unit = i128::from(unit);
        // 2^63 nanoseconds is the most that Go holds, and it has 19 digits.
        let whole = match self.whole.trim_start_matches('0') {
            "" => 0,
            digits if digits.len() > 19 => return None,
            digits => digits.parse::<i128>().ok()?,
        };
        let fraction = &self.fraction[..self.fraction.len().min(FRACTION_DIGITS_MAX)];
        let part = if fraction.is_empty() {
            0
        } else {
            let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
            fraction.parse::<i128>().ok()? * unit / scale
        };
        let nanos = whole.checked_mul(unit)?.checked_add(part)?;
        (nanos <= i128::from(i64::MAX) + 1).then_some(nanos)
    }
}

impl fmt::Display for GoDuration {
    /// As Go prints it, but with `us` for microseconds: `1h2m3.5s`, `500ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        let (unit, name) = match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            1_000_000_000.. => {
                let (hours, minutes) = (nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60);
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if hours > 0 || minutes > 0 {
                    write!(f, "{minutes}m")?;
                }
                return write_decimal(f, nanos % 60_000_000_000, 1_000_000_000, "s");
            }
        };
        write_decimal(f, nanos, unit, name)
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", nanos / unit)?;
    if !nanos.is_multiple_of(unit) {
        let width = unit.ilog10() as usize;
        let fraction = format!("{:0width$}", nanos % unit);
        write!(f, ".{}", fraction.trim_end_matches('0'))?;
    }
    f.write_str(name)
}

#[cfg(test)]
mod tests {
    use super::GoDuration;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("1h2m3.5s", 3_723_500_000_000),
            ("500ms", 500_000_000),
            ("1us", 1_000),
            ("1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("-1.5h", -5_400_000_000_000),
            ("+5s", 5_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1h1h", 7_200_000_000_000),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ];
        for (text, nanos) in cases {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration(nanos)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "-",
            "5",
            "1d",
            "1w",
            "1M",
            "1 m",
            "s",
            ".s",
            "1.2.3s",
            "9223372036854775808ns",
            "3000000h",
            "5 s",
            "1e3s",
        ] {
            assert!(GoDuration::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos: i64) {
            prop_assert_eq!(GoDuration::parse(&GoDuration(nanos).to_string()), Ok(GoDuration(nanos)));
        }

        #[test]
        fn small_durations_too(nanos in -100_000_000_000_i64..100_000_000_000) {
            prop_assert_eq!(GoDuration::parse(&GoDuration(nanos).to_string()), Ok(GoDuration(nanos)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,24}|[-+0-9.hmsun]{0,60}") {
            drop(GoDuration::parse(&text));
        }
    }
}
