//! Looks for the policies' predicates while requests are walked, span by span and attribute by attribute.

mod keys;
mod text;
mod trace_state;
mod value;

use std::ops::Range;

use tracepipe_config::predicates::Predicate;
use tracepipe_otlp::watch::Watch;

use keys::KeyTable;
use text::TextMatcher;
use trace_state::TraceStateCheck;
use value::Value;

/// What the walk shows spans to. One for each walk; it remembers nothing from one span to the next but what texts
/// regular expressions matched.
///
/// For most attributes the answer is that no policy looks at one whose key is so long: a load and a comparison.
#[derive(Debug, Clone)]
pub struct PolicyWatch {
    keys: KeyTable,
    /// For each key of `keys` its checks.
    of_key: Vec<Range<u32>>,
    checks: Vec<Check>,
    trace_states: Vec<(TraceStateCheck, u128)>,
    resource: Sight,
    span: Sight,
    /// Of the span's last trace state.
    span_trace_state: u128,
}

/// What was seen of a resource, or of a span, so far.
#[derive(Debug, Clone, Copy, Default)]
struct Sight {
    /// The bits of the checks that hold.
    found: u128,
    /// The keys that came: of two attributes with one key the first counts, as for upstream, which looks it up.
    keys: u128,
}

/// A question about the value of an attribute, and the bit that says yes.
#[derive(Debug, Clone)]
struct Check {
    test: Test,
    bit: u128,
}

// A condition on whole spans (upstream's ottl_condition) is another kind of predicate, with a bit like these: the watch
// would need to be shown the span at its end.
#[derive(Debug, Clone)]
enum Test {
    Number { min: i64, max: i64 },
    Text(TextMatcher),
    Truth(bool),
}

// === impl PolicyWatch ===

impl PolicyWatch {
    /// Looks for these; the place of each is its bit.
    ///
    /// # Errors
    /// What is wrong with a regular expression, after its pattern.
    pub(crate) fn new(predicates: &[Predicate<'_>]) -> Result<Self, String> {
        let mut trace_states = Vec::new();
        let mut by_key: Vec<(&str, Vec<Check>)> = Vec::new();
        for (place, predicate) in predicates.iter().enumerate() {
            let bit = bit(place);
            let (key, test) = match predicate {
                Predicate::Number { key, min, max } => (key, Test::Number { min: *min, max: *max }),
                Predicate::Text { key, matcher } => (key, Test::Text(TextMatcher::new(matcher)?)),
                Predicate::Truth { key, value } => (key, Test::Truth(*value)),
                Predicate::TraceState { key, values } => {
                    trace_states.push((TraceStateCheck::new(key, values), bit));
                    continue;
                }
            };
            let check = Check { test, bit };
            match by_key.iter_mut().find(|(known, _)| known == key) {
                Some((_, checks)) => checks.push(check),
                None => by_key.push((key, vec![check])),
            }
        }

        // In the order of the table, so that a place in it is a place in `of_key`.
        let (keys, order) = KeyTable::new(by_key.iter().map(|(key, _)| key.as_bytes()));
        let mut checks = Vec::new();
        let of_key = order
            .into_iter()
            .map(|place| {
                let first = checks.len() as u32;
                checks.append(&mut by_key[place].1);
                first..checks.len() as u32
            })
            .collect();
        Ok(Self {
            keys,
            of_key,
            checks,
            trace_states,
            resource: Sight::default(),
            span: Sight::default(),
            span_trace_state: 0,
        })
    }

    /// A watch for the same things that remembers no text yet.
    #[must_use]
    pub fn without_memory(&self) -> Self {
        let mut empty = self.clone();
        for check in &mut empty.checks {
            if let Test::Text(matcher) = &mut check.test {
                matcher.forget();
            }
        }
        empty
    }

    /// Bytes that remembered texts take. They stay; for each policy with regular expressions they are at most a mebibyte
    /// and a quarter.
    pub fn memory_bytes(&self) -> usize {
        let texts = self.checks.iter().filter_map(|check| match &check.test {
            Test::Text(matcher) => Some(matcher.memory_bytes()),
            Test::Number { .. } | Test::Truth(_) => None,
        });
        texts.sum()
    }

    /// Adds what the value of the key at this place fulfils, unless the key came before.
    fn look(&mut self, place: usize, value: &[u8], mut sight: Sight) -> Sight {
        let key = bit(place);
        if sight.keys & key != 0 {
            return sight;
        }
        sight.keys |= key;
        let checks = self.of_key[place].clone();
        let value = Value::read(value);
        for check in &mut self.checks[checks.start as usize..checks.end as usize] {
            if check.test.holds(value) {
                sight.found |= check.bit;
            }
        }
        sight
    }
}

impl Watch for PolicyWatch {
    #[inline]
    fn wants_attributes(&self) -> bool {
        !self.of_key.is_empty()
    }

    #[inline]
    fn wants_trace_state(&self) -> bool {
        !self.trace_states.is_empty()
    }

    fn reset(&mut self) {
        self.resource = Sight::default();
        self.span = Sight::default();
        self.span_trace_state = 0;
    }

    #[inline]
    fn begin_resource(&mut self) {
        self.resource = Sight::default();
    }

    #[inline]
    fn resource_attribute(&mut self, key: &[u8], value: &[u8]) {
        if let Some(place) = self.keys.find(key) {
            self.resource = self.look(place, value, self.resource);
        }
    }

    #[inline]
    fn end_resource(&mut self) -> u128 {
        std::mem::take(&mut self.resource).found
    }

    #[inline]
    fn span_attribute(&mut self, key: &[u8], value: &[u8]) {
        if let Some(place) = self.keys.find(key) {
            self.span = self.look(place, value, self.span);
        }
    }

    fn trace_state(&mut self, text: &[u8]) {
        self.span_trace_state = trace_state::found(&self.trace_states, text);
    }

    #[inline]
    fn end_span(&mut self) -> u128 {
        std::mem::take(&mut self.span).found | std::mem::take(&mut self.span_trace_state)
    }
}

impl Test {
    fn holds(&mut self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Number { min, max }, Value::Int(number)) => (*min..=*max).contains(&number),
            (Self::Number { min, max }, Value::Double(number)) => value::is_within(number, *min, *max),
            // An empty text never matches, whatever the expression, in a resource as in a span.
            (Self::Text(matcher), Value::Text(text)) => !text.is_empty() && matcher.matches(text),
            (Self::Truth(wanted), Value::Bool(truth)) => *wanted == truth,
            (
                Self::Number { .. } | Self::Text(_) | Self::Truth(_),
                Value::Int(_) | Value::Double(_) | Value::Text(_) | Value::Bool(_) | Value::Other,
            ) => false,
        }
    }
}

/// The bit of a place: there are at most 128 places.
fn bit(place: usize) -> u128 {
    1u128.checked_shl(place as u32).unwrap_or(0)
}

#[cfg(test)]
mod tests;
