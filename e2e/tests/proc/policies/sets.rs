//! Random sets of policies, as the text that both collectors read.
//!
//! They stay off the documented differences, see `words` and `traffic`; `differences` has those.

use serde_json::{Value as Json, json};
use tracepipe_e2e::rng::Rng;

use super::words::{Holds, PATTERNS, STRANGE_TEXTS, TEXTS, WANTED_STATES, WORDS, Word};

/// Most policies in a set.
const POLICIES_MAX: u64 = 6;
/// Most members of `and` and `drop`.
const MEMBERS_MAX: u64 = 3;

/// The types that look at a trace, under which a set of its own is made for each; a number, a text and a truth value
/// also inverted.
pub(super) const LOOKS: [Look; 17] = [
    Look::Latency,
    Look::Numeric { invert: false },
    Look::Numeric { invert: true },
    Look::Exact { invert: false },
    Look::Exact { invert: true },
    Look::Regex { invert: false },
    Look::Regex { invert: true },
    Look::Boolean { invert: false },
    Look::Boolean { invert: true },
    Look::StatusCode,
    Look::Probabilistic,
    Look::SpanCount,
    Look::TraceState,
    Look::TraceFlags,
    Look::RateLimiting,
    Look::Composite,
    // Last: see `any_simple`.
    Look::AlwaysSample,
];

/// What a simple policy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    AlwaysSample,
    Latency,
    Numeric {
        invert: bool,
    },
    Exact {
        invert: bool,
    },
    Regex {
        invert: bool,
    },
    Boolean {
        invert: bool,
    },
    StatusCode,
    Probabilistic,
    SpanCount,
    TraceState,
    TraceFlags,
    /// With a rate that is no limit, so that the burst alone decides.
    RateLimiting,
    /// With a rate that is no limit, so that it keeps what any of its members wants. No simple policy: only at the top.
    Composite,
}

/// Tokens a second that fill every bucket between two decisions.
const NO_LIMIT: u64 = 1_000_000_000_000;

/// One `tail_sampling`, without its times and sizes.
#[derive(Debug, Clone)]
pub(super) struct PolicySet {
    /// Its number: with the seed of the run it makes the set again.
    pub(super) number: usize,
    /// A list in one line: JSON, which is YAML.
    pub(super) policies: String,
    pub(super) sample_on_first_match: bool,
    /// The set is this policy alone.
    pub(super) alone: Option<Look>,
}

impl PolicySet {
    /// These, as they are.
    pub(super) fn of(number: usize, policies: &Json) -> Self {
        Self {
            number,
            policies: policies.to_string(),
            sample_on_first_match: false,
            alone: None,
        }
    }

    /// Every second set is one policy alone, whose answer nothing hides. `upper`: latency may have an upper bound.
    pub(super) fn new(seed: u64, number: usize, upper: bool) -> Self {
        let mut rng = Rng::for_item(seed ^ 0x5e75, number as u64);
        let mut maker = Maker {
            rng: &mut rng,
            upper,
            names: 0,
        };
        if number.is_multiple_of(2) {
            let look = LOOKS[number / 2 % LOOKS.len()];
            let policy = if look == Look::Composite {
                maker.composite()
            } else {
                maker.simple(look)
            };
            return Self {
                number,
                policies: escaped(&mut rng, &json!([policy])),
                sample_on_first_match: false,
                alone: Some(look),
            };
        }
        let count = maker.rng.between(1, POLICIES_MAX);
        let policies: Vec<Json> = (0..count).map(|_| maker.policy()).collect();
        Self {
            number,
            policies: escaped(&mut rng, &Json::Array(policies)),
            sample_on_first_match: rng.chance(0.4),
            alone: None,
        }
    }
}

/// JSON that every reader of YAML takes for the same.
fn escaped(rng: &mut Rng, policies: &Json) -> String {
    // Line ends to YAML 1.1, which upstream reads, and text to 1.2, which we do.
    const LINE_ENDS: [(&str, &str); 3] = [
        ("\u{85}", "\\u0085"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ];
    let mut text = policies.to_string();
    for (end, escaped) in LINE_ENDS {
        text = text.replace(end, escaped);
    }
    // A lone `$` is itself, and so is `$$`, unless it begins `${`: people write both.
    if text.contains("${") || text.contains("$$") || rng.chance(0.5) {
        text.replace('$', "$$")
    } else {
        text
    }
}

struct Maker<'a> {
    rng: &'a mut Rng,
    upper: bool,
    names: usize,
}

impl Maker<'_> {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("p{}", self.names)
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.between(0, end as u64 - 1) as usize
    }

    /// A policy of the top level.
    fn policy(&mut self) -> Json {
        match self.rng.between(0, 9) {
            0 | 1 => {
                let members = self.members();
                json!({"name": self.name(), "type": "and", "and": {"and_sub_policy": members}})
            }
            2 => self.not(),
            3 => self.composite(),
            4 | 5 => {
                let members = self.members();
                json!({"name": self.name(), "type": "drop", "drop": {"drop_sub_policy": members}})
            }
            _ => self.any_simple(),
        }
    }

    fn members(&mut self) -> Vec<Json> {
        (0..self.rng.between(1, MEMBERS_MAX))
            .map(|_| {
                if self.rng.chance(0.3) {
                    self.not()
                } else {
                    self.any_simple()
                }
            })
            .collect()
    }

    fn not(&mut self) -> Json {
        let member = self.any_simple();
        json!({"name": self.name(), "type": "not", "not": {"not_sub_policy": member}})
    }

    fn any_simple(&mut self) -> Json {
        // The last one wants everything and would hide the others.
        let most = if self.rng.chance(0.1) {
            LOOKS.len()
        } else {
            LOOKS.len() - 1
        };
        let look = LOOKS[self.below(most)];
        self.simple(if look == Look::Composite {
            Look::RateLimiting
        } else {
            look
        })
    }

    fn simple(&mut self, look: Look) -> Json {
        let name = self.name();
        let (kind, settings) = match look {
            Look::AlwaysSample => return json!({"name": name, "type": "always_sample"}),
            Look::TraceFlags => return json!({"name": name, "type": "trace_flags"}),
            Look::Latency => ("latency", self.latency()),
            Look::Numeric { invert } => ("numeric_attribute", self.numeric(invert)),
            Look::Exact { invert } => ("string_attribute", self.exact(invert)),
            Look::Regex { invert } => ("string_attribute", self.regex(invert)),
            Look::Boolean { invert } => ("boolean_attribute", self.boolean(invert)),
            Look::StatusCode => ("status_code", self.status_code()),
            Look::Probabilistic => ("probabilistic", self.probabilistic()),
            Look::SpanCount => ("span_count", self.span_count()),
            Look::TraceState => ("trace_state", self.trace_state()),
            Look::RateLimiting | Look::Composite => ("rate_limiting", self.rate_limiting()),
        };
        json!({"name": name, "type": kind, kind: settings})
    }

    fn composite(&mut self) -> Json {
        let members: Vec<Json> = (0..self.rng.between(1, MEMBERS_MAX))
            .map(|_| {
                if self.rng.chance(0.3) {
                    let members = self.members();
                    json!({"name": self.name(), "type": "and", "and": {"and_sub_policy": members}})
                } else {
                    self.any_simple()
                }
            })
            .collect();
        let names: Vec<Json> = members.iter().map(|member| member["name"].clone()).collect();
        let mut shares = Vec::new();
        for name in &names {
            if self.rng.chance(0.5) {
                shares.push(json!({"policy": name, "percent": self.rng.between(1, 30)}));
            }
        }
        let mut settings = json!({"max_total_spans_per_second": NO_LIMIT, "composite_sub_policy": members});
        if self.rng.chance(0.5) {
            settings["policy_order"] = json!(names);
        }
        if !shares.is_empty() {
            settings["rate_allocation"] = json!(shares);
        }
        json!({"name": self.name(), "type": "composite", "composite": settings})
    }

    fn rate_limiting(&mut self) -> Json {
        json!({"spans_per_second": NO_LIMIT, "burst_capacity": self.rng.between(1, 9)})
    }

    fn latency(&mut self) -> Json {
        const THRESHOLDS: [u64; 10] = [0, 1, 2, 49, 50, 250, 400, 500, 1_000, 5_000];
        let threshold = THRESHOLDS[self.below(THRESHOLDS.len())];
        let mut settings = json!({"threshold_ms": threshold});
        if self.upper && self.rng.chance(0.6) {
            const UPPER: [u64; 9] = [1, 2, 50, 51, 100, 500, 501, 1_500, 8_000];
            let uppers: Vec<u64> = UPPER.into_iter().filter(|upper| *upper > threshold).collect();
            settings["upper_threshold_ms"] = json!(uppers[self.below(uppers.len())]);
        }
        settings
    }

    fn word(&mut self, holds: &[Holds]) -> &'static Word {
        let words: Vec<&Word> = WORDS
            .iter()
            .filter(|word| !word.key.is_empty() && holds.contains(&word.holds))
            .collect();
        words[self.below(words.len())]
    }

    fn numeric(&mut self, invert: bool) -> Json {
        let word = self.word(&[Holds::Number, Holds::AnyNumber]);
        // None of the bounds is 0: upstream takes that for none.
        let ranges: &[(Option<i64>, Option<i64>)] = if word.holds == Holds::Number {
            &[
                (Some(-10), Some(10)),
                (None, Some(199)),
                (Some(-5), None),
                (Some(404), None),
                (Some(1), Some(1)),
                (Some(i64::MIN), Some(-1)),
                (Some(i64::MIN), Some(100)),
                (Some(-1), Some(i64::MAX)),
            ]
        } else {
            &[
                (Some(200), Some(200)),
                (Some(201), None),
                (Some(400), Some(499)),
                (Some(500), Some(i64::MAX)),
                (None, Some(-1)),
                (Some(i64::MIN), Some(i64::MIN)),
                (Some(i64::MAX), None),
                (Some(1), Some(199)),
                (Some(500), Some(503)),
            ]
        };
        let (min, max) = ranges[self.below(ranges.len())];
        let mut settings = json!({"key": word.key});
        if let Some(min) = min {
            settings["min_value"] = json!(min);
        }
        if let Some(max) = max {
            settings["max_value"] = json!(max);
        }
        self.inverted(settings, invert)
    }

    fn exact(&mut self, invert: bool) -> Json {
        let word = self.word(&[Holds::Text, Holds::StrangeText]);
        let texts: &[&str] = if word.holds == Holds::Text {
            &TEXTS
        } else {
            &STRANGE_TEXTS
        };
        let texts: Vec<&str> = texts.iter().copied().filter(|text| !text.is_empty()).collect();
        let values: Vec<&str> = (0..self.rng.between(1, 4))
            .map(|_| texts[self.below(texts.len())])
            .collect();
        self.inverted(json!({"key": word.key, "values": values}), invert)
    }

    fn regex(&mut self, invert: bool) -> Json {
        let word = self.word(&[Holds::Text, Holds::StrangeText]);
        let patterns: Vec<&str> = PATTERNS
            .iter()
            .filter(|(_, matches_empty)| !matches_empty || word.on_resources == 0.0)
            .map(|(pattern, _)| *pattern)
            .collect();
        let values: Vec<&str> = (0..self.rng.between(1, 2))
            .map(|_| patterns[self.below(patterns.len())])
            .collect();
        let mut settings = json!({"key": word.key, "values": values, "enabled_regex_matching": true});
        match self.rng.between(0, 3) {
            0 => settings["cache_max_size"] = json!(3),
            1 => settings["cache_max_size"] = json!(10_000),
            // Upstream's 128.
            _ => {}
        }
        self.inverted(settings, invert)
    }

    fn boolean(&mut self, invert: bool) -> Json {
        let word = self.word(&[Holds::Flag, Holds::AnyFlag]);
        // What is no truth value is `false` to upstream.
        let value = word.holds == Holds::AnyFlag || self.rng.chance(0.5);
        self.inverted(json!({"key": word.key, "value": value}), invert)
    }

    fn inverted(&mut self, mut settings: Json, invert: bool) -> Json {
        // Both ways of saying no.
        if invert || self.rng.chance(0.2) {
            settings["invert_match"] = json!(invert);
        }
        settings
    }

    fn status_code(&mut self) -> Json {
        const CODES: [&[&str]; 6] = [
            &["ERROR"],
            &["OK"],
            &["UNSET"],
            &["OK", "ERROR"],
            &["UNSET", "ERROR"],
            &["OK", "OK"],
        ];
        json!({"status_codes": CODES[self.below(CODES.len())]})
    }

    fn probabilistic(&mut self) -> Json {
        const SHARES: [f64; 12] = [
            50.0, 10.0, 33.3, 0.5, 25.0, 100.0, 0.0, 99.9, 150.0, 66.67, 5.0, 80.0,
        ];
        let mut settings = json!({"sampling_percentage": SHARES[self.below(SHARES.len())]});
        if self.rng.chance(0.6) {
            settings["hash_salt"] = json!(format!("salt \u{e9} {}", self.rng.between(0, 1_000)));
        }
        settings
    }

    fn span_count(&mut self) -> Json {
        let min = self.rng.between(1, 8);
        let mut settings = json!({"min_spans": min});
        if self.rng.chance(0.6) {
            settings["max_spans"] = json!(min + self.rng.between(0, 3));
        }
        settings
    }

    fn trace_state(&mut self) -> Json {
        let (key, values) = WANTED_STATES[self.below(WANTED_STATES.len())];
        json!({"key": key, "values": values})
    }
}
