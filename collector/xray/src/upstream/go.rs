//! What Go's standard library does to text.

use std::num::IntErrorKind;

use crate::letters;

/// `unicode.IsLetter`.
pub(super) fn is_letter(it: char) -> bool {
    if it.is_ascii() {
        it.is_ascii_alphabetic()
    } else if u32::from(it) < 0x1_0000 {
        letters::is_letter(it)
    } else {
        // Above, what is alphabetic and no letter are circled letters.
        it.is_alphabetic() && !('\u{1f130}'..='\u{1f189}').contains(&it)
    }
}

/// Bytes of a string as `encoding/json` writes them: each that is no part of a character is U+FFFD.
pub(super) fn text_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    text
}

/// `strconv.Atoi` with its error thrown away: 0 for what is no number, the last number there is for what is beyond it.
pub(super) fn atoi(text: &str) -> i64 {
    match text.parse() {
        Ok(number) => number,
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => i64::MAX,
        Err(error) if *error.kind() == IntErrorKind::NegOverflow => i64::MIN,
        Err(_) => 0,
    }
}

/// `url.Parse` and `Hostname`: nothing when the former refuses it.
pub(super) fn url_host(url: &str) -> Option<String> {
    if url.bytes().any(|it| it < b' ' || it == 0x7f) {
        return None;
    }
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    unescaped(fragment)?;
    let (scheme, rest) = scheme(url)?;
    let rest = rest.split_once('?').map_or(rest, |(path, _)| path);
    if !rest.starts_with('/') {
        let first = rest.split('/').next().unwrap_or_default();
        let is_refused = scheme.is_empty() && first.contains(':');
        return (!is_refused).then(String::new);
    }
    let Some(rest) = rest
        .strip_prefix("//")
        .filter(|it| !scheme.is_empty() || !it.starts_with('/'))
    else {
        unescaped(rest)?;
        return Some(String::new());
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    unescaped(path)?;
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    authority_host(authority, is_http)
}

/// Scheme and the rest; an empty scheme when there is none.
fn scheme(url: &str) -> Option<(&str, &str)> {
    for (index, it) in url.bytes().enumerate() {
        match it {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return None,
            b':' => {
                return url
                    .split_at_checked(index)
                    .map(|(scheme, rest)| (scheme, &rest[1..]));
            }
            _ => return Some(("", url)),
        }
    }
    Some(("", url))
}

/// Since Go 1.26 an `http` URL has one colon at most in it; others may have several, for lists of hosts.
fn authority_host(authority: &str, is_http: bool) -> Option<String> {
    let (user, host) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    if let Some(user) = user {
        let is_valid = |it: char| it.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(it);
        if !user.chars().all(is_valid) {
            return None;
        }
        unescaped(user)?;
    }
    if let Some(inside) = host.strip_prefix('[') {
        let (address, port) = inside.rsplit_once(']')?;
        let is_valid = is_port(port) && address.parse::<std::net::Ipv6Addr>().is_ok();
        return is_valid.then(|| address.to_owned());
    }
    let colon = if is_http { host.find(':') } else { host.rfind(':') };
    let (name, port) = match colon {
        Some(colon) => host.split_at_checked(colon)?,
        None => (host, ""),
    };
    let is_valid =
        |it: char| !it.is_ascii() || it.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"".contains(it);
    (is_port(port) && name.chars().all(is_valid)).then(|| name.to_owned())
}

/// Nothing, or a colon and any number of digits.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|it| it.is_ascii_digit()))
}

/// Nothing when a percent sign is not followed by two hex digits.
fn unescaped(text: &str) -> Option<()> {
    let is_hex = |it: &u8| it.is_ascii_hexdigit();
    let mut parts = text.split('%').skip(1);
    parts
        .all(|part| part.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(is_hex)))
        .then_some(())
}
