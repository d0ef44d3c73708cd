//! Go's syntax, read into the engine's tree.

use std::str::Chars;

use regex_syntax::hir::{Class, ClassUnicode, Hir, Look, Repetition};

use super::class::{self, Members};

/// Most groups inside each other, and most repetitions around one thing. Go has 1,000 levels of its own tree.
const DEPTH_MAX: usize = 200;

/// Largest number in braces, and largest product of such numbers inside each other, as in Go.
const REPEAT_MAX: u32 = 1000;

/// Reads a pattern.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(pattern: &str) -> Result<Hir, String> {
    let mut parser = Parser {
        rest: pattern,
        flags: Flags::default(),
        groups: vec![Group::default()],
        after_repeat: false,
    };
    while !parser.rest.is_empty() {
        parser.step()?;
    }
    match parser.groups.pop() {
        Some(whole) if parser.groups.is_empty() => Ok(whole.end().hir),
        Some(_) | None => Err("a group does not end: ) is missing".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    /// `i`
    fold: bool,
    /// `m`
    lines: bool,
    /// `s`
    dot_all: bool,
}

struct Parser<'p> {
    rest: &'p str,
    flags: Flags,
    /// The open groups; the first is the whole pattern.
    groups: Vec<Group>,
    /// The last thing read was a repetition, which must not be repeated.
    after_repeat: bool,
}

/// An open group.
#[derive(Default)]
struct Group {
    /// The flags around it, which hold again after it.
    flags: Flags,
    /// The alternatives that are whole.
    alternatives: Vec<Item>,
    /// The alternative that is being read.
    items: Vec<Item>,
}

/// Something that a repetition can follow.
struct Item {
    hir: Hir,
    /// The largest product of numbers in braces inside each other.
    repeats: u32,
    /// How many repetitions stand inside each other.
    depth: usize,
}

// === impl Parser ===

impl<'p> Parser<'p> {
    /// Reads one thing.
    fn step(&mut self) -> Result<(), String> {
        let after_repeat = std::mem::take(&mut self.after_repeat);
        let mut chars = self.rest.chars();
        let Some(first) = chars.next() else { return Ok(()) };
        match first {
            '(' => return self.open(),
            '[' => {
                let (class, rest) = class::bracketed(self.rest, self.flags.fold)?;
                self.rest = rest;
                self.push(class_hir(class));
                return Ok(());
            }
            '\\' => return self.escape(),
            '*' => return self.repeat((0, None), chars.as_str(), after_repeat),
            '+' => return self.repeat((1, None), chars.as_str(), after_repeat),
            '?' => return self.repeat((0, Some(1)), chars.as_str(), after_repeat),
            '{' => {
                if let Some((count, rest)) = braces(chars.as_str())? {
                    return self.repeat(count, rest, after_repeat);
                }
                self.literal(u32::from('{'));
            }
            '|' => self.group().end_alternative(),
            ')' => self.close()?,
            '^' if self.flags.lines => self.push(Hir::look(Look::StartLF)),
            '^' => self.push(Hir::look(Look::Start)),
            '$' if self.flags.lines => self.push(Hir::look(Look::EndLF)),
            '$' => self.push(Hir::look(Look::End)),
            '.' if self.flags.dot_all => self.push(class_hir(Members::all().into_class())),
            '.' => self.push(class_hir(Members::all_but_newline().into_class())),
            other => self.literal(u32::from(other)),
        }
        self.rest = chars.as_str();
        Ok(())
    }

    /// After a backslash.
    fn escape(&mut self) -> Result<(), String> {
        let mut chars = self.rest.chars();
        chars.next();
        let look = match chars.next() {
            Some('A') => Some(Look::Start),
            Some('z') => Some(Look::End),
            Some('b') => Some(Look::WordAscii),
            Some('B') => Some(Look::WordAsciiNegate),
            Some('Q') => {
                let quoted = chars.as_str();
                let (quoted, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                quoted.chars().for_each(|char| self.literal(u32::from(char)));
                self.rest = rest;
                return Ok(());
            }
            Some(_) | None => None,
        };
        if let Some(look) = look {
            self.rest = chars.as_str();
            self.push(Hir::look(look));
        } else if let Some((members, rest)) = class::escaped(self.rest, self.flags.fold)? {
            self.rest = rest;
            self.push(class_hir(members.into_class()));
        } else {
            let (rune, rest) = class::rune(self.rest)?;
            self.rest = rest;
            self.literal(rune);
        }
        Ok(())
    }

    /// After `(`: a group, or flags for the rest of this one.
    fn open(&mut self) -> Result<(), String> {
        let Some(special) = self.rest.strip_prefix("(?") else {
            self.rest = &self.rest[1..];
            return self.open_with(self.flags);
        };
        let named = special.strip_prefix("P<").or_else(|| special.strip_prefix('<'));
        if let Some(named) = named {
            let (name, rest) = named.split_once('>').ok_or("the name of a group does not end")?;
            if name.is_empty()
                || !name
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
            {
                return Err(format!("a group cannot be named {name:?}"));
            }
            self.rest = rest;
            return self.open_with(self.flags);
        }
        let mut chars = special.chars();
        let flags = flags(self.flags, &mut chars).ok_or_else(|| {
            let read = self.rest.len() - chars.as_str().len();
            format!("there is no group of the form {}", &self.rest[..read])
        })?;
        self.rest = chars.as_str();
        match flags {
            (flags, ':') => self.open_with(flags),
            (flags, _) => {
                self.flags = flags;
                Ok(())
            }
        }
    }

    fn open_with(&mut self, inside: Flags) -> Result<(), String> {
        if self.groups.len() > DEPTH_MAX {
            return Err(format!("has more than {DEPTH_MAX} groups inside each other"));
        }
        self.groups.push(Group {
            flags: self.flags,
            ..Group::default()
        });
        self.flags = inside;
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let group = if self.groups.len() > 1 {
            self.groups.pop()
        } else {
            None
        };
        let group = group.ok_or("a group ends that did not begin: ) without (")?;
        self.flags = group.flags;
        let item = group.end();
        self.group().items.push(item);
        Ok(())
    }

    /// `rest` is what follows the operator.
    fn repeat(&mut self, (min, max): Count, rest: &'p str, after_repeat: bool) -> Result<(), String> {
        // Lazy or greedy: a match is there or not.
        let rest = rest.strip_prefix('?').unwrap_or(rest);
        let operator = &self.rest[..self.rest.len() - rest.len()];
        let item = self.group().items.pop();
        let item = item.ok_or_else(|| format!("there is nothing before {operator} to be repeated"))?;
        if after_repeat {
            return Err(format!("{operator} follows a repetition"));
        }
        let depth = item.depth + 1;
        if depth > DEPTH_MAX {
            return Err(format!("has more than {DEPTH_MAX} repetitions inside each other"));
        }
        let repeats = match max {
            Some(0) => 1,
            Some(times) => times * item.repeats,
            None => min.max(1) * item.repeats,
        };
        if repeats > REPEAT_MAX && (min >= 2 || max.is_some_and(|max| max >= 2)) {
            return Err(format!("{operator} repeats more than {REPEAT_MAX} times"));
        }
        let hir = Hir::repetition(Repetition {
            min,
            max,
            greedy: true,
            sub: Box::new(item.hir),
        });
        self.group().items.push(Item { hir, repeats, depth });
        self.rest = rest;
        self.after_repeat = true;
        Ok(())
    }

    fn literal(&mut self, rune: u32) {
        let class = Members::range(rune, rune, self.flags.fold).into_class();
        self.push(class_hir(class));
    }

    fn push(&mut self, hir: Hir) {
        let (repeats, depth) = (1, 0);
        self.group().items.push(Item { hir, repeats, depth });
    }

    fn group(&mut self) -> &mut Group {
        if self.groups.is_empty() {
            self.groups.push(Group::default());
        }
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }
}

// === impl Group ===

impl Group {
    fn end_alternative(&mut self) {
        let items = std::mem::take(&mut self.items);
        self.alternatives.push(Item::of(items, Hir::concat));
    }

    fn end(mut self) -> Item {
        self.end_alternative();
        Item::of(self.alternatives, Hir::alternation)
    }
}

impl Item {
    fn of(parts: Vec<Self>, join: fn(Vec<Hir>) -> Hir) -> Self {
        let repeats = parts.iter().map(|part| part.repeats).max().unwrap_or(1);
        let depth = parts.iter().map(|part| part.depth).max().unwrap_or(0);
        let hir = join(parts.into_iter().map(|part| part.hir).collect());
        Self { hir, repeats, depth }
    }
}

fn class_hir(class: ClassUnicode) -> Hir {
    Hir::class(Class::Unicode(class))
}

/// How often something is repeated: at least and, if there is a bound, at most.
type Count = (u32, Option<u32>);

/// After `{`: the numbers and what follows `}`. `None` when it is no repetition: then `{` is itself.
fn braces(text: &str) -> Result<Option<(Count, &str)>, String> {
    let Some((min, rest)) = number(text) else {
        return Ok(None);
    };
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => match number(rest) {
            Some((max, rest)) => (Some(max), rest),
            None => return Ok(None),
        },
    };
    let Some(rest) = rest.strip_prefix('}') else {
        return Ok(None);
    };
    if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || max < min) {
        let written = &text[..text.len() - rest.len()];
        return Err(format!(
            "{{{written} is no count: numbers go to {REPEAT_MAX}, the smaller first"
        ));
    }
    Ok(Some(((min, max), rest)))
}

/// Digits without leading zeros; a number too large to be allowed is only that.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

/// After `(?`: the flags that hold from here, and `:` or `)`. `None` when that is not there.
fn flags(mut flags: Flags, chars: &mut Chars<'_>) -> Option<(Flags, char)> {
    let mut on = true;
    let mut named = false;
    loop {
        match chars.next()? {
            'i' => flags.fold = on,
            'm' => flags.lines = on,
            's' => flags.dot_all = on,
            // Greedy or lazy: see above.
            'U' => {}
            '-' if on => {
                on = false;
                named = false;
                continue;
            }
            end @ (':' | ')') if on || named => return Some((flags, end)),
            _ => return None,
        }
        named = true;
    }
}
