//! YAML for people: block style, long texts folded.

use serde_json::{Map, Value};

/// Texts from this length on are folded.
const FOLDED: usize = 72;
/// Characters of a line of a folded text, but for words that are longer.
const WIDTH: usize = 110;

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

fn line(text: &str, out: &mut String) {
    out.push_str(text);
    out.push('\n');
}

/// Whether each line break of the folded form means one space and nothing else.
fn folds(text: &str) -> bool {
    text.split(' ').all(|word| !word.is_empty()) && !text.contains(['\n', '\r', '\t'])
}

fn fold(text: &str, indent: usize, out: &mut String) {
    let mut length = WIDTH;
    for word in text.split(' ') {
        let word_length = word.chars().count();
        if length + 1 + word_length > WIDTH {
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
