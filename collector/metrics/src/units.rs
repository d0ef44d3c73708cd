//! Units as parts of names: `By/s` becomes `bytes` and `per_second`.
//!
//! The rules and both tables are those of `otlptranslator` v1.0.0 (`unit_namer.go`), which the exporters of the
//! OpenTelemetry Collector Contrib v0.161.0 and Prometheus use. Values are not scaled: `ms` stays milliseconds.

use std::borrow::Cow;

/// UCUM's short forms that have a word of their own. A unit that is not here stays as it is written.
const MAIN: [(&[u8], &[u8]); 26] = [
    (b"d", b"days"),
    (b"h", b"hours"),
    (b"min", b"minutes"),
    (b"s", b"seconds"),
    (b"ms", b"milliseconds"),
    (b"us", b"microseconds"),
    (b"ns", b"nanoseconds"),
    (b"By", b"bytes"),
    (b"KiBy", b"kibibytes"),
    (b"MiBy", b"mebibytes"),
    (b"GiBy", b"gibibytes"),
    (b"TiBy", b"tibibytes"),
    (b"KBy", b"kilobytes"),
    (b"MBy", b"megabytes"),
    (b"GBy", b"gigabytes"),
    (b"TBy", b"terabytes"),
    (b"m", b"meters"),
    (b"V", b"volts"),
    (b"A", b"amperes"),
    (b"J", b"joules"),
    (b"W", b"watts"),
    (b"g", b"grams"),
    (b"Cel", b"celsius"),
    (b"Hz", b"hertz"),
    // No word for a plain number; gauges of it are named in `names`.
    (b"1", b""),
    (b"%", b"percent"),
];

/// Units of time behind a slash, which have other words than in front of it.
const PER: [(&[u8], &[u8]); 7] = [
    (b"s", b"second"),
    (b"m", b"minute"),
    (b"h", b"hour"),
    (b"d", b"day"),
    (b"w", b"week"),
    (b"mo", b"month"),
    (b"y", b"year"),
];

/// A unit's two parts in words, of the characters `[A-Za-z0-9:_]` alone. Borrowed unless a character had to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitWords<'a> {
    /// In front of the slash; empty when there is none, when it is an annotation (`{requests}`) or `1`. May end in `_`.
    pub main: Cow<'a, [u8]>,
    /// Behind the slash, without the `per_` that a name has in front of it; empty likewise. Does not end in `_`.
    pub per: Cow<'a, [u8]>,
}

impl<'a> UnitWords<'a> {
    /// The words of a metric's `unit`; any bytes are taken.
    pub fn of(unit: &'a [u8]) -> Self {
        let mut parts = unit.splitn(2, |byte| *byte == b'/');
        let main = parts.next().unwrap_or_default();
        let per = parts.next().unwrap_or_default();
        Self {
            main: word(main, &MAIN),
            per: without_last_underscore(word(per, &PER)),
        }
    }

    /// Writes the unit as metadata has it: `bytes_per_second`; nothing when it has no words.
    pub fn put_metadata(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.main.strip_suffix(b"_").unwrap_or(&self.main));
        if !self.per.is_empty() {
            if !self.main.is_empty() {
                out.push(b'_');
            }
            out.extend_from_slice(b"per_");
            out.extend_from_slice(&self.per);
        }
    }
}

/// The word for one half of a unit; empty for an annotation, and if no character of it can stand in a name.
fn word<'a>(half: &'a [u8], table: &[(&[u8], &'static [u8])]) -> Cow<'a, [u8]> {
    let half = trim(half);
    if half.iter().any(|byte| matches!(byte, b'{' | b'}')) {
        return Cow::Borrowed(b"");
    }
    match table.iter().find(|(unit, _)| *unit == half) {
        Some((_, word)) => Cow::Borrowed(word),
        None => clean(half),
    }
}

/// Without white space around it, Unicode's too.
fn trim(text: &[u8]) -> &[u8] {
    str::from_utf8(text).map_or_else(|_| text.trim_ascii(), |text| text.trim().as_bytes())
}

/// With one `_` for each run of characters that a metric's name cannot have, and of `_`; none at the beginning.
fn clean(word: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b':';
    if word.iter().all(is_plain) {
        return Cow::Borrowed(word);
    }
    let mut cleaned = Vec::with_capacity(word.len());
    for byte in word {
        if is_plain(byte) {
            cleaned.push(*byte);
        } else if cleaned.last().is_some_and(|last| *last != b'_') {
            cleaned.push(b'_');
        }
    }
    Cow::Owned(cleaned)
}

fn without_last_underscore(word: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match word {
        Cow::Borrowed(word) => Cow::Borrowed(word.strip_suffix(b"_").unwrap_or(word)),
        Cow::Owned(mut word) => {
            word.pop_if(|last| *last == b'_');
            Cow::Owned(word)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn words(unit: &str) -> (String, String, String) {
        let words = UnitWords::of(unit.as_bytes());
        let mut metadata = Vec::new();
        words.put_metadata(&mut metadata);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("words are ASCII");
        (
            text(words.main.to_vec()),
            text(words.per.to_vec()),
            text(metadata),
        )
    }

    #[test]
    fn units_become_words() {
        let table = [
            ("", "", "", ""),
            ("s", "seconds", "", "seconds"),
            ("s ", "seconds", "", "seconds"),
            ("\u{a0}s", "seconds", "", "seconds"),
            ("By", "bytes", "", "bytes"),
            ("KiBy", "kibibytes", "", "kibibytes"),
            ("TBy", "terabytes", "", "terabytes"),
            ("Cel", "celsius", "", "celsius"),
            ("%", "percent", "", "percent"),
            ("1", "", "", ""),
            ("By/s", "bytes", "second", "bytes_per_second"),
            ("By / s", "bytes", "second", "bytes_per_second"),
            ("m/m", "meters", "minute", "meters_per_minute"),
            ("1/s", "", "second", "per_second"),
            ("{request}", "", "", ""),
            ("{widget}/s", "", "second", "per_second"),
            ("widget/{day}", "widget", "", "widget"),
            ("By/mo", "bytes", "month", "bytes_per_month"),
            ("a/b/c", "a", "b_c", "a_per_b_c"),
            ("foo^2/bar", "foo_2", "bar", "foo_2_per_bar"),
            ("foo_", "foo_", "", "foo"),
            ("__foo", "foo", "", "foo"),
            ("µs", "s", "", "s"),
            // A text with nothing that a name can have, in front of the slash and behind it.
            ("日本", "", "", ""),
            ("/^", "", "", ""),
            ("s/^x^", "seconds", "x", "seconds_per_x"),
            ("/", "", "", ""),
        ];
        for (unit, main, per, metadata) in table {
            let expected = (main.to_owned(), per.to_owned(), metadata.to_owned());
            assert_eq!(words(unit), expected, "unit {unit:?}");
        }
    }

    #[test]
    fn the_documentation_has_exactly_these_units() {
        let listed = |head: &str| {
            let rows = crate::names::tests::documented(head);
            let units = rows.iter().flat_map(|row| row[1].split(", "));
            let pairs = units.map(|unit| unit.split_once(' ').expect("a unit and its word"));
            pairs
                .map(|(unit, word)| (unit.trim_matches('`').to_owned(), word.to_owned()))
                .collect::<BTreeSet<_>>()
        };
        let known = |table: &[(&[u8], &[u8])]| {
            let worded = table.iter().filter(|(_, word)| !word.is_empty());
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
            worded
                .map(|(unit, word)| (text(unit), text(word)))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(listed("| in front of the slash | |"), known(&MAIN));
        assert_eq!(listed("| behind the slash | |"), known(&PER));
    }

    #[test]
    fn a_unit_that_is_no_text_is_cleaned_too() {
        assert_eq!(UnitWords::of(b"\xffa\xfe").main.as_ref(), b"a_");
    }

    #[test]
    fn a_known_unit_takes_no_memory() {
        let words = UnitWords::of(b"By/s");
        assert!(matches!(
            (words.main, words.per),
            (Cow::Borrowed(_), Cow::Borrowed(_))
        ));
    }
}
