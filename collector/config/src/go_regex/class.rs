//! Sets of characters, as Go writes them.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::names;

/// A set of characters that is being put together.
pub(super) struct Members {
    class: ClassUnicode,
}

const LAST: u32 = char::MAX as u32;

/// `\d`, `\s` and `\w` as Go has them: ASCII, and no vertical tab among the spaces.
const DIGIT: &[(u8, u8)] = &[(b'0', b'9')];
const PERL_SPACE: &[(u8, u8)] = &[(b'\t', b'\n'), (0x0c, b'\r'), (b' ', b' ')];
const WORD: &[(u8, u8)] = &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')];

/// The names between `[:` and `:]`.
const POSIX: &[(&str, &[(u8, u8)])] = &[
    ("alnum", &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
    ("alpha", &[(b'A', b'Z'), (b'a', b'z')]),
    ("ascii", &[(0, 0x7f)]),
    ("blank", &[(b'\t', b'\t'), (b' ', b' ')]),
    ("cntrl", &[(0, 0x1f), (0x7f, 0x7f)]),
    ("digit", DIGIT),
    ("graph", &[(b'!', b'~')]),
    ("lower", &[(b'a', b'z')]),
    ("print", &[(b' ', b'~')]),
    ("punct", &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')]),
    ("space", &[(b'\t', b'\r'), (b' ', b' ')]),
    ("upper", &[(b'A', b'Z')]),
    ("word", WORD),
    ("xdigit", &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
];

// === impl Members ===

impl Members {
    /// Every character.
    pub(super) fn all() -> Self {
        Self::range(0, LAST, false)
    }

    /// Every character but the newline.
    pub(super) fn all_but_newline() -> Self {
        Self::range(u32::from('\n'), u32::from('\n'), false).negated(true)
    }

    /// Characters by number, both ends included; with `fold` those that differ by case only, too.
    pub(super) fn range(first: u32, last: u32, fold: bool) -> Self {
        // No text holds a surrogate: a range of those alone is empty, and one that begins or ends there is cut.
        const SURROGATES: std::ops::RangeInclusive<u32> = 0xd800..=0xdfff;
        let first = if SURROGATES.contains(&first) {
            0xe000
        } else {
            first
        };
        let last = if SURROGATES.contains(&last) { 0xd7ff } else { last };
        let ends = (char::from_u32(first), char::from_u32(last));
        let range = match ends {
            (Some(first), Some(last)) if first <= last => Some(ClassUnicodeRange::new(first, last)),
            (Some(_) | None, Some(_) | None) => None,
        };
        Self::folded(ClassUnicode::new(range), fold)
    }

    /// With everything that differs by case only.
    fn folded(mut class: ClassUnicode, fold: bool) -> Self {
        if fold && class.try_case_fold_simple().is_err() {
            // The tables are built in: a feature of the dependency.
            debug_assert!(false, "no tables for case folding");
        }
        Self { class }
    }

    fn ascii(ranges: &[(u8, u8)], fold: bool) -> Self {
        let ranges = ranges
            .iter()
            .map(|(first, last)| ClassUnicodeRange::new(char::from(*first), char::from(*last)));
        Self::folded(ClassUnicode::new(ranges), fold)
    }

    fn negated(mut self, negate: bool) -> Self {
        if negate {
            self.class.negate();
        }
        self
    }

    /// The set as the engine has it.
    pub(super) fn into_class(self) -> ClassUnicode {
        self.class
    }
}

/// Reads `[...]` at the beginning of a text, and gives what follows it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn bracketed(text: &str, fold: bool) -> Result<(ClassUnicode, &str), String> {
    let inside = &text[1..];
    let (negate, mut rest) = match inside.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, inside),
    };
    let mut class = ClassUnicode::empty();
    let mut first = true;
    loop {
        // The first member may be a bracket.
        if !first && let Some(after) = rest.strip_prefix(']') {
            let members = Members { class }.negated(negate);
            return Ok((members.into_class(), after));
        }
        first = false;
        let (members, after) = match named(rest, fold)? {
            Some(found) => found,
            None => match escaped(rest, fold)? {
                Some(found) => found,
                None => range(rest, fold)?,
            },
        };
        class.union(&members.class);
        rest = after;
    }
}

/// Reads `\d`, `\pL`, `\p{Greek}` and the like at the beginning of a text. `None` when there is none.
///
/// # Errors
/// When no set has the name.
pub(super) fn escaped(text: &str, fold: bool) -> Result<Option<(Members, &str)>, String> {
    let Some(escaped) = text.strip_prefix('\\') else {
        return Ok(None);
    };
    let mut chars = escaped.chars();
    let Some(letter) = chars.next() else {
        return Ok(None);
    };
    let ranges = match letter {
        'd' | 'D' => DIGIT,
        's' | 'S' => PERL_SPACE,
        'w' | 'W' => WORD,
        'p' | 'P' => return unicode(escaped, fold).map(Some),
        _ => return Ok(None),
    };
    let members = Members::ascii(ranges, fold).negated(letter.is_ascii_uppercase());
    Ok(Some((members, chars.as_str())))
}

/// Reads one character at the beginning of a text, which may be escaped, and gives its number.
///
/// # Errors
/// When the text is at its end, or the escape has no meaning.
pub(super) fn rune(text: &str) -> Result<(u32, &str), String> {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return Err("a character class does not end: ] is missing".to_owned());
    };
    if first != '\\' {
        return Ok((u32::from(first), chars.as_str()));
    }
    let Some(escaped) = chars.next() else {
        return Err("ends with a backslash".to_owned());
    };
    let rest = chars.as_str();
    let simple = match escaped {
        '0'..='7' => octal(&text[1..]),
        'x' => hexadecimal(rest),
        'a' => Some((0x07, rest)),
        'f' => Some((0x0c, rest)),
        'n' => Some((0x0a, rest)),
        'r' => Some((0x0d, rest)),
        't' => Some((0x09, rest)),
        'v' => Some((0x0b, rest)),
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => Some((u32::from(other), rest)),
        _ => None,
    };
    simple.ok_or_else(|| format!("the escape \\{escaped} has no meaning"))
}

/// One to three digits; a single one that is not 0 would be a reference to a group.
fn octal(text: &str) -> Option<(u32, &str)> {
    let len = text
        .bytes()
        .take(3)
        .take_while(|byte| matches!(byte, b'0'..=b'7'))
        .count();
    let (digits, rest) = text.split_at(len);
    if len == 1 && digits != "0" {
        return None;
    }
    u32::from_str_radix(digits, 8).ok().map(|rune| (rune, rest))
}

/// Two digits, or any number of them in braces.
fn hexadecimal(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = match text.strip_prefix('{') {
        Some(text) => text.split_once('}')?,
        None => text.split_at_checked(2)?,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some((0, rest));
    }
    let rune = u32::from_str_radix(digits, 16).ok()?;
    (rune <= LAST).then_some((rune, rest))
}

/// Reads `[:name:]` at the beginning of a text. `None` when there is none.
fn named(text: &str, fold: bool) -> Result<Option<(Members, &str)>, String> {
    let Some((name, rest)) = text.strip_prefix("[:").and_then(|text| text.split_once(":]")) else {
        return Ok(None);
    };
    let (negate, wanted) = match name.strip_prefix('^') {
        Some(name) => (true, name),
        None => (false, name),
    };
    match POSIX.iter().find(|(known, _)| *known == wanted) {
        Some((_, ranges)) => Ok(Some((Members::ascii(ranges, fold).negated(negate), rest))),
        None => Err(format!("there is no class [:{name}:]")),
    }
}

/// Reads one character or a range of two.
fn range(text: &str, fold: bool) -> Result<(Members, &str), String> {
    let (first, rest) = rune(text)?;
    let second = rest
        .strip_prefix('-')
        .filter(|after| !after.is_empty() && !after.starts_with(']'));
    let (last, rest) = match second {
        Some(after) => rune(after)?,
        None => (first, rest),
    };
    if last < first {
        let written = &text[..text.len() - rest.len()];
        return Err(format!("the range {written} ends before it begins"));
    }
    Ok((Members::range(first, last, fold), rest))
}

/// Reads what follows the backslash of `\pL`, `\p{Greek}`, `\P{^Greek}`.
fn unicode(text: &str, fold: bool) -> Result<(Members, &str), String> {
    let mut negate = text.starts_with('P');
    let name_on = &text[1..];
    let (name, rest) = match name_on.strip_prefix('{') {
        Some(braced) => braced
            .split_once('}')
            .ok_or("the name of a class does not end: } is missing")?,
        None => {
            let len = name_on.chars().next().map_or(0, char::len_utf8);
            name_on.split_at(len)
        }
    };
    let plain = match name.strip_prefix('^') {
        Some(plain) => {
            negate = !negate;
            plain
        }
        None => name,
    };
    let class = names::class(plain).ok_or_else(|| format!("there is no class \\p{{{name}}}"))?;
    Ok((Members::folded(class, fold).negated(negate), rest))
}
