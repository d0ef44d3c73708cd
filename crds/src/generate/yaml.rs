//! YAML for people: block style, long texts folded.

use serde_json::{Map, Value};

/// Texts from this length on are folded.
const FOLDED: usize = 72;
/// Characters of a line of a folded text, but for words that are longer.
const WIDTH: usize = 110;
/// Characters of a folded text in a line, however far it is indented: deep texts would take more spaces than letters.
const TEXT_WIDTH_MIN: usize = 80;

/// Writes an object. Lists in lists, which no schema has, are written in flow style.
///
/// # Errors
/// When `serde_saphyr` cannot write a scalar, which would be a fault of it.
pub(super) fn write(members: &Map<String, Value>) -> Result<String, serde_saphyr::ser::Error> {
    let mut out = String::new();
    object(members, 0, &mut out)?;
    Ok(out)
}

fn object(
    members: &Map<String, Value>,
    indent: usize,
    out: &mut String,
) -> Result<(), serde_saphyr::ser::Error> {
    for (index, (key, value)) in members.iter().enumerate() {
        // The first member of a list's item follows its dash.
        if index > 0 || !out.ends_with("- ") {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&scalar(&Value::String(key.clone()))?);
        out.push(':');
        below(value, indent, out)?;
    }
    Ok(())
}

/// The value of a key that stands at `indent`.
fn below(value: &Value, indent: usize, out: &mut String) -> Result<(), serde_saphyr::ser::Error> {
    if let Some(members) = members_of(value) {
        out.push('\n');
        return object(members, indent + 2, out);
    }
    if let Some(words) = words_of(value) {
        line(&format!(" [{}]", words.join(", ")), out);
        return Ok(());
    }
    if let Some(items) = value.as_array().filter(|items| !items.is_empty()) {
        out.push('\n');
        for item in items {
            out.push_str(&" ".repeat(indent));
            out.push_str("- ");
            match members_of(item) {
                Some(members) => object(members, indent + 2, out)?,
                None => line(&scalar(item)?, out),
            }
        }
        return Ok(());
    }
    out.push(' ');
    match value
        .as_str()
        .filter(|text| text.chars().count() >= FOLDED && folds(text))
    {
        Some(text) => {
            out.push_str(">-\n");
            fold(text, indent + 2, out);
        }
        None => line(&scalar(value)?, out),
    }
    Ok(())
}

/// An object that has members; `{}` is written as a scalar is.
fn members_of(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object().filter(|members| !members.is_empty())
}

/// The items of a list of plain words, which stands in one line: a list of choices says more at one glance.
fn words_of(value: &Value) -> Option<Vec<&str>> {
    let is_plain = |word: &&str| {
        let alphanumeric = word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        alphanumeric && scalar(&Value::from(*word)).is_ok_and(|text| text == *word)
    };
    let words = value.as_array().filter(|items| !items.is_empty())?.iter();
    words.map(|word| word.as_str().filter(is_plain)).collect()
}

fn line(text: &str, out: &mut String) {
    out.push_str(text);
    out.push('\n');
}

/// Whether each line break of the folded form means one space and nothing else.
fn folds(text: &str) -> bool {
    text.split(' ').all(|word| !word.is_empty()) && !text.contains(['\n', '\r', '\t'])
}

fn fold(text: &str, indent: usize, out: &mut String) {
    let width = WIDTH.max(indent + TEXT_WIDTH_MIN);
    let mut length = width;
    for word in text.split(' ') {
        let word_length = word.chars().count();
        if length + 1 + word_length > width {
            if !out.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&" ".repeat(indent));
            length = indent;
        } else {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += word_length;
    }
    out.push('\n');
}

fn scalar(value: &Value) -> Result<String, serde_saphyr::ser::Error> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(value, options)?;
    Ok(text.trim_end().to_owned())
}
