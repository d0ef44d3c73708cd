//! Values of attributes: such as belong there, and odd ones.

use tracepipe_e2e::rng::Rng;
use tracepipe_otlp::view::{AnyValue, KeyValue};

/// Share of values that do not belong where they are.
const ODD: f64 = 0.06;

/// Texts that something may stumble over.
const TEXTS: [&str; 22] = [
    "",
    " ",
    "0",
    "503",
    "true",
    "null",
    "caf\u{e9} \u{4e2d}\u{6587} \u{1f600}",
    "e\u{301} \u{1d400}\u{24d0}\u{2160}\u{660}",
    "a\tb\nc\rd",
    "quote \" back \\ slash /",
    "<script>&amp;</script>",
    "\u{2028}\u{2029}\u{85}\u{feff}",
    "\u{0}\u{1}\u{7f}",
    "1.5",
    "-1",
    "AWS::SQS",
    "AWS.SDK.SNS",
    "10.1.2.3",
    "2001:db8::1",
    "http://example.com/x?y=1#z",
    "group1&group2&&",
    "{\"a\": 1}",
];

/// Draws values.
pub(crate) struct Draw<'r>(pub(crate) &'r mut Rng);

impl Draw<'_> {
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.0.chance(share)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.between(0, end - 1)
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *self.0.pick(of).expect("something to pick from")
    }

    pub(crate) fn odd_text(&mut self) -> String {
        if self.chance(0.03) {
            // Around the limits of names, keys and values.
            let length = self.one(&[199, 200, 201, 250, 251, 600, 1_001]);
            let unit = self.one(&["x", "\u{e9}", "\u{4e2d}", "a\u{1f600}"]);
            return unit.repeat(length / unit.len() + 1);
        }
        self.one(&TEXTS).to_owned()
    }

    /// Mostly the text that was given.
    pub(crate) fn text(&mut self, text: impl Into<String>) -> AnyValue<'static> {
        if self.chance(ODD) {
            self.any(2)
        } else {
            AnyValue::String(text.into().into())
        }
    }

    pub(crate) fn int(&mut self, number: i64) -> AnyValue<'static> {
        if self.chance(ODD) {
            self.any(2)
        } else {
            AnyValue::Int(number)
        }
    }

    pub(crate) fn texts(&mut self, texts: &[&str]) -> AnyValue<'static> {
        if self.chance(ODD) {
            return self.any(2);
        }
        let length = self.one(&[0, 1, 1, 2, 3]).min(texts.len());
        let items = texts[..length].iter();
        AnyValue::Array(
            items
                .map(|text| AnyValue::String((*text).to_owned().into()))
                .collect(),
        )
    }

    /// A value of any kind.
    pub(crate) fn any(&mut self, depth: u32) -> AnyValue<'static> {
        match self.below(if depth == 0 { 12 } else { 15 }) {
            0..=4 => AnyValue::String(self.odd_text().into()),
            5 | 6 => {
                AnyValue::Int(self.one(&[0, 1, -1, 80, 443, 404, 429, 503, 1 << 53, i64::MAX, i64::MIN]))
            }
            7 | 8 => AnyValue::Double(self.double()),
            9 => AnyValue::Bool(self.chance(0.5)),
            10 => AnyValue::Empty,
            11 => {
                let length = self.below(5) as u8;
                AnyValue::Bytes(
                    (0..length)
                        .map(|it| it.wrapping_mul(97))
                        .collect::<Vec<u8>>()
                        .into(),
                )
            }
            12 | 13 => {
                let length = self.below(4);
                AnyValue::Array((0..length).map(|_| self.any(depth - 1)).collect())
            }
            _ => {
                let length = self.below(4);
                AnyValue::Map(
                    (0..length)
                        .map(|_| {
                            let key = self.one(&["a", "b", "", "otel.resource.x"]);
                            pair(key, self.any(depth - 1))
                        })
                        .collect(),
                )
            }
        }
    }

    fn double(&mut self) -> f64 {
        if self.chance(0.02) {
            // The whole span vanishes.
            return self.one(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        }
        self.one(&[
            0.0,
            -0.0,
            0.1,
            1.0,
            -2.5,
            200.0,
            1e20,
            1e21,
            1.5e300,
            5e-324,
            1e-7,
            123_456.789,
        ])
    }
}

pub(crate) fn pair(key: &str, value: AnyValue<'static>) -> KeyValue<'static> {
    KeyValue {
        key: key.to_owned().into(),
        value,
    }
}
