//! Which texts `string_attribute` looks for.

use std::cmp::Ordering;

use tracepipe_config::StringMatcher;
use tracepipe_config::go_regex::GoRegex;

/// Matches the texts of attributes.
#[derive(Debug, Clone)]
pub(super) enum TextMatcher {
    /// Sorted by [`by_length`].
    Exact(Vec<Box<[u8]>>),
    Regex {
        patterns: Vec<GoRegex>,
        results: Results,
    },
}

/// Longer texts are matched anew each time.
const REMEMBERED_BYTES_MAX: usize = 256;

/// Most results remembered, whatever is configured: with texts at most a mebibyte and a quarter.
const RESULTS_MAX: usize = 4096;

/// Places that one text may have. Senders choose the texts, so a lookup must not become a walk over all of them; at
/// worst such texts push each other out.
const WAYS: usize = 4;

/// What was matched lately, and the answer.
#[derive(Debug, Clone)]
pub(super) struct Results {
    /// Sets of up to `WAYS` places each; empty until the first text.
    places: Vec<Remembered>,
    /// Room of all texts.
    text_bytes: usize,
    sets: usize,
    ways: usize,
    /// Which place of a set goes next.
    next: usize,
}

#[derive(Debug, Clone, Default)]
struct Remembered {
    hash: u64,
    text: Vec<u8>,
    matched: bool,
}

// === impl TextMatcher ===

impl TextMatcher {
    /// # Errors
    /// A pattern that does not compile, and why.
    pub(super) fn new(matcher: &StringMatcher) -> Result<Self, String> {
        match matcher {
            StringMatcher::Exact(values) => {
                let mut values: Vec<Box<[u8]>> = values.iter().map(|value| value.as_bytes().into()).collect();
                values.sort_by(|a, b| by_length(a, b));
                Ok(Self::Exact(values))
            }
            StringMatcher::Regex {
                patterns,
                cache_max_size,
            } => {
                let patterns: Result<Vec<GoRegex>, String> = patterns
                    .iter()
                    .map(|pattern| GoRegex::new(pattern).map_err(|error| format!("{pattern:?} {error}")))
                    .collect();
                Ok(Self::Regex {
                    patterns: patterns?,
                    results: Results::new(*cache_max_size),
                })
            }
        }
    }

    pub(super) fn matches(&mut self, text: &[u8]) -> bool {
        match self {
            Self::Exact(values) => values.binary_search_by(|value| by_length(value, text)).is_ok(),
            Self::Regex { patterns, results } => {
                results.get_or(text, |text| patterns.iter().any(|pattern| pattern.is_match(text)))
            }
        }
    }

    /// Remembers no text any more.
    pub(super) fn forget(&mut self) {
        if let Self::Regex { results, .. } = self {
            results.places = Vec::new();
            results.text_bytes = 0;
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Exact(_) => 0,
            Self::Regex { results, .. } => results.memory_bytes(),
        }
    }
}

/// Cheap where lengths differ.
fn by_length(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

// === impl Results ===

impl Results {
    /// Remembers at most `size` results; 0 for none.
    fn new(size: u64) -> Self {
        let size = usize::try_from(size).unwrap_or(RESULTS_MAX).min(RESULTS_MAX);
        let ways = size.min(WAYS);
        // A power of two, so that a hash finds its set by its low bits.
        let sets = size.checked_div(ways).map_or(0, |sets| {
            sets.next_power_of_two() >> usize::from(!sets.is_power_of_two())
        });
        Self {
            places: Vec::new(),
            text_bytes: 0,
            sets,
            ways,
            next: 0,
        }
    }

    /// The remembered answer, or that of `ask`, which is remembered. Places are used again with their room, so that
    /// after a while nothing is allocated.
    fn get_or(&mut self, text: &[u8], ask: impl FnOnce(&[u8]) -> bool) -> bool {
        if self.sets == 0 || text.len() > REMEMBERED_BYTES_MAX {
            return ask(text);
        }
        if self.places.is_empty() {
            self.places.resize(self.sets * self.ways, Remembered::default());
        }
        let hash = hash(text);
        let first = (hash as usize & (self.sets - 1)) * self.ways;
        let set = &mut self.places[first..first + self.ways];
        if let Some(known) = set.iter().find(|known| known.hash == hash && known.text == text) {
            return known.matched;
        }
        let matched = ask(text);
        self.next = (self.next + 1) % self.ways;
        let place = &mut set[self.next];
        place.hash = hash;
        place.text.clear();
        let had = place.text.capacity();
        place.text.reserve_exact(text.len());
        self.text_bytes += place.text.capacity() - had;
        place.text.extend_from_slice(text);
        place.matched = matched;
        matched
    }

    fn memory_bytes(&self) -> usize {
        self.places.capacity() * size_of::<Remembered>() + self.text_bytes
    }
}

/// Spreads texts over the sets, eight bytes at a time. Never 0, which is the hash of an empty place.
fn hash(text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = text.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let hash = words.iter().fold(text.len() as u64, |hash, word| {
        mix(hash, u64::from_le_bytes(*word))
    });
    let last = rest.iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
    let hash = mix(hash, last);
    (hash ^ (hash >> 32)) | 1 << 63
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(patterns: &[&str], cache_max_size: u64) -> TextMatcher {
        TextMatcher::new(&StringMatcher::Regex {
            patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            cache_max_size,
        })
        .unwrap()
    }

    #[test]
    fn exact_texts_are_compared_whole_and_any_of_them_counts() {
        let values = ["b", "aa", "a", "ab", "long text"].map(str::to_owned);
        let mut matcher = TextMatcher::new(&StringMatcher::Exact(values.to_vec())).unwrap();
        for value in &values {
            assert!(matcher.matches(value.as_bytes()), "{value}");
        }
        for other in ["c", "A", "aaa", "long", "long text ", "\u{e9}"] {
            assert!(!matcher.matches(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_pattern_matches_anywhere_and_any_of_them_counts() {
        let mut matcher = regex(&["heal", "^GET$"], 128);
        for text in ["healthz", "/health", "GET"] {
            assert!(matcher.matches(text.as_bytes()), "{text}");
            assert!(matcher.matches(text.as_bytes()), "remembered: {text}");
        }
        for text in ["GETS", "get", "hea"] {
            assert!(!matcher.matches(text.as_bytes()), "{text}");
            assert!(!matcher.matches(text.as_bytes()), "remembered: {text}");
        }
    }

    #[test]
    fn answers_do_not_depend_on_how_many_are_remembered() {
        for size in [0, 1, 2, 3, 5, 128, u64::MAX] {
            let mut matcher = regex(&["^[a-f]*[13579]$"], size);
            for round in 0..3 {
                for n in 0..2_000u32 {
                    let text = format!("{}{n}", "a".repeat(n as usize % 300));
                    let expected = n < 10 && n % 2 == 1;
                    assert_eq!(matcher.matches(text.as_bytes()), expected, "{size} {round} {n}");
                }
            }
        }
    }

    #[test]
    fn a_remembered_text_is_not_matched_again_and_memory_is_bounded() {
        let mut results = Results::new(128);
        assert_eq!(results.memory_bytes(), 0);
        let mut asked = 0;
        for _ in 0..10 {
            results.get_or(b"text", |_| {
                asked += 1;
                true
            });
        }
        assert_eq!(asked, 1);
        assert_eq!(results.places.len(), 128);
        assert_eq!(
            Results::new(7).sets * Results::new(7).ways,
            4,
            "not more than configured"
        );

        let mut results = Results::new(u64::MAX);
        for n in 0..100_000u32 {
            let mut text = [b'x'; 2 * REMEMBERED_BYTES_MAX];
            text[..4].copy_from_slice(&n.to_le_bytes());
            results.get_or(&text[..n as usize % text.len()], |_| false);
        }
        let most = RESULTS_MAX * (size_of::<Remembered>() + REMEMBERED_BYTES_MAX);
        assert!(results.memory_bytes() <= most, "{}", results.memory_bytes());
    }
}
