//! The fields of a form, held to the constraints of the API's model.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::problem::Problem;
use crate::query;

/// The model's `roleNameType`.
const ROLE_NAME_MAX: usize = 64;
/// The model's `policyNameType`.
const POLICY_NAME_MAX: usize = 128;
/// The model's `pathType`.
const PATH_MAX: usize = 512;
/// The model's `policyDocumentType`.
const DOCUMENT_MAX: usize = 131_072;
/// The model's `roleDescriptionType`.
const DESCRIPTION_MAX: usize = 1000;
/// The model's `arnType`.
const ARN: RangeInclusive<usize> = 20..=2048;
/// The model's `tagKeyType` and `tagValueType`.
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;
/// The model's `tagListType` and `tagKeyListType`.
const TAGS_MAX: usize = 50;
/// The model's `markerType`.
const MARKER_MAX: usize = 320;

const NAME: Pattern = Pattern {
    text: r"[\w+=,.@-]+",
    fits: |text| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    },
};
const PATH: Pattern = Pattern {
    text: r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)",
    fits: |text| {
        let inner = |text: &str| text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        text == "/" || (text.len() > 2 && text.starts_with('/') && text.ends_with('/') && inner(text))
    },
};
const DOCUMENT: Pattern = Pattern {
    text: r"[\u0009\u000A\u000D\u0020-\u00FF]+",
    fits: |text| {
        text.chars()
            .all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}'))
    },
};
const DESCRIPTION: Pattern = Pattern {
    text: r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*",
    fits: |text| {
        text.chars()
            .all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a1}'..='\u{ff}'))
    },
};
const TAG: Pattern = Pattern {
    text: r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*",
    fits: |text| text.chars().all(is_of_tag),
};
const ANY: Pattern = Pattern {
    text: ".*",
    fits: |_| true,
};

struct Pattern {
    /// In the model's words.
    text: &'static str,
    fits: fn(&str) -> bool,
}

/// The separators (`\p{Z}`) are fewer than what is white space: neither tabs nor line ends.
fn is_of_tag(c: char) -> bool {
    let is_separator = matches!(
        c,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    );
    c.is_alphabetic() || c.is_numeric() || is_separator || "_.:/=+-@".contains(c)
}

/// A request's fields by their names.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// None: the body is no form.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        query::form(body).map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The fields that are none of `known`. Those of a list begin with its name.
    pub(super) fn other_than(&self, known: &[&str]) -> Option<&str> {
        let is_known = |field: &&String| {
            let (name, _) = field.split_once('.').unwrap_or((field, ""));
            known.contains(&name) || ["Action", "Version"].contains(&name)
        };
        self.0.keys().find(|field| !is_known(field)).map(String::as_str)
    }

    pub(super) fn role_name(&self) -> Result<String, Problem> {
        self.required("RoleName", 1..=ROLE_NAME_MAX, &NAME)
    }

    pub(super) fn policy_name(&self) -> Result<String, Problem> {
        self.required("PolicyName", 1..=POLICY_NAME_MAX, &NAME)
    }

    pub(super) fn arn(&self, name: &str) -> Result<String, Problem> {
        self.required(name, ARN, &ANY)
    }

    pub(super) fn optional_arn(&self, name: &str) -> Result<Option<String>, Problem> {
        self.optional(name, ARN, &ANY)
    }

    pub(super) fn document(&self, name: &str) -> Result<String, Problem> {
        self.required(name, 1..=DOCUMENT_MAX, &DOCUMENT)
    }

    pub(super) fn path(&self) -> Result<Option<String>, Problem> {
        self.optional("Path", 1..=PATH_MAX, &PATH)
    }

    pub(super) fn description(&self) -> Result<Option<String>, Problem> {
        self.optional("Description", 0..=DESCRIPTION_MAX, &DESCRIPTION)
    }

    pub(super) fn marker(&self) -> Result<Option<String>, Problem> {
        self.optional("Marker", 1..=MARKER_MAX, &DOCUMENT)
    }

    pub(super) fn number(&self, name: &str, allowed: RangeInclusive<u32>) -> Result<Option<u32>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if allowed.contains(&number) => Ok(Some(number)),
            Ok(number) => {
                let constraint = if number < *allowed.start() {
                    format!(
                        "Member must have value greater than or equal to {}",
                        allowed.start()
                    )
                } else {
                    format!("Member must have value less than or equal to {}", allowed.end())
                };
                Err(Problem::validation(text, &at(name), &constraint))
            }
            Err(_) => Err(Problem::new(
                400,
                "MalformedInput",
                format!("{name} is no number"),
            )),
        }
    }

    /// An empty list is a field without value; without the field there is no list.
    pub(super) fn require_list(&self, list: &str) -> Result<(), Problem> {
        let prefix = format!("{list}.");
        let is_there = |name: &String| name == list || name.starts_with(&prefix);
        if self.0.keys().any(is_there) {
            Ok(())
        } else {
            Err(missing(list))
        }
    }

    /// `Tags.member.1.Key` and on; no two keys are the same but for their case.
    pub(super) fn tags(&self) -> Result<BTreeMap<String, String>, Problem> {
        let mut tags = BTreeMap::new();
        for number in self.members("Tags", ".Key")? {
            let key = self.tag_key(&format!("Tags.member.{number}.Key"))?;
            let value = format!("Tags.member.{number}.Value");
            let value = self.required(&value, 0..=TAG_VALUE_MAX, &TAG)?;
            if tags.keys().any(|known: &String| same_key(known, &key)) {
                return Err(Problem::invalid_input(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
            tags.insert(key, value);
        }
        Ok(tags)
    }

    /// `TagKeys.member.1` and on.
    pub(super) fn tag_keys(&self) -> Result<Vec<String>, Problem> {
        let numbers = self.members("TagKeys", "")?.into_iter();
        numbers
            .map(|number| self.tag_key(&format!("TagKeys.member.{number}")))
            .collect()
    }

    /// The value of a tag, whether the request is right or not.
    pub(super) fn tag(&self, key: &str) -> Option<String> {
        let (field, _) = self
            .0
            .iter()
            .find(|(field, text)| field.ends_with(".Key") && *text == key)?;
        let value = format!("{}.Value", field.trim_end_matches(".Key"));
        self.get(&value).map(str::to_owned)
    }

    fn tag_key(&self, field: &str) -> Result<String, Problem> {
        let key = self.required(field, 1..=TAG_KEY_MAX, &TAG)?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            let message = "aws: prefixed tag key names are not allowed for external use.";
            return Err(Problem::invalid_input(message));
        }
        Ok(key)
    }

    /// The numbers of a list's members, which begin with 1 and leave none out.
    fn members(&self, list: &str, field: &str) -> Result<Vec<usize>, Problem> {
        let numbers: Vec<usize> = (1..)
            .take_while(|number| self.0.contains_key(&format!("{list}.member.{number}{field}")))
            .collect();
        let fields = if field.is_empty() { 1 } else { 2 };
        let prefix = format!("{list}.");
        let sent = self.0.keys().filter(|name| name.starts_with(&prefix)).count();
        if sent > numbers.len() * fields {
            return Err(Problem::new(400, "MalformedInput", format!("{list} is no list")));
        }
        if numbers.len() > TAGS_MAX {
            let constraint = format!("Member must have length less than or equal to {TAGS_MAX}");
            return Err(Problem::validation("[...]", &at(list), &constraint));
        }
        Ok(numbers)
    }

    fn required(
        &self,
        name: &str,
        lengths: RangeInclusive<usize>,
        pattern: &Pattern,
    ) -> Result<String, Problem> {
        self.optional(name, lengths, pattern)?
            .ok_or_else(|| missing(name))
    }

    fn optional(
        &self,
        name: &str,
        lengths: RangeInclusive<usize>,
        pattern: &Pattern,
    ) -> Result<Option<String>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let length = text.chars().count();
        let constraint = if length > *lengths.end() {
            format!("Member must have length less than or equal to {}", lengths.end())
        } else if length < *lengths.start() {
            format!(
                "Member must have length greater than or equal to {}",
                lengths.start()
            )
        } else if !(pattern.fits)(text) {
            format!("Member must satisfy regular expression pattern: {}", pattern.text)
        } else {
            return Ok(Some(text.to_owned()));
        };
        Err(Problem::validation(text, &at(name), &constraint))
    }
}

fn missing(field: &str) -> Problem {
    let message = format!(
        "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
        at(field)
    );
    Problem::new(400, "ValidationError", message)
}

/// "Tag keys are not case sensitive, but case is preserved" (IAM User Guide, "Tags for IAM resources").
pub(super) fn same_key(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// As messages name a field: `Tags.member.1.Key` is `tags.1.member.key`.
fn at(field: &str) -> String {
    let lowered = |part: &str| {
        let mut chars = part.chars();
        chars.next().map_or_else(String::new, |first| {
            first.to_ascii_lowercase().to_string() + chars.as_str()
        })
    };
    let parts: Vec<String> = field.split('.').map(lowered).collect();
    match parts.as_slice() {
        [list, _, number, rest @ ..] => [&[list.clone(), number.clone(), "member".to_owned()], rest]
            .concat()
            .join("."),
        _ => parts.join("."),
    }
}
