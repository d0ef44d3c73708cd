//! URLs of backends.

/// An `http` or `https` URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url<'u> {
    pub(super) is_https: bool,
    /// Without brackets around an IPv6 address, as written.
    pub(super) host: &'u str,
}

/// Takes apart an `http` or `https` URL that may have a port, a path and a query.
///
/// # Errors
/// What is wrong, without the URL: it may hold a password.
pub(super) fn parse(text: &str) -> Result<Url<'_>, String> {
    let (is_https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("write a URL that begins with https:// or http://".to_owned()),
    };
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a URL has no spaces, and letters other than ASCII's stand as %XX".to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("credentials do not belong into a URL".to_owned());
    }
    if text.contains('#') {
        return Err("a fragment (what follows `#`) is not sent to a server; take it away".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            Some(_) | None => return Err("what stands in brackets is not an IPv6 address".to_owned()),
        },
        None => match authority.find(':') {
            Some(colon) => authority.split_at(colon),
            None => (authority, ""),
        },
    };
    let is_name = |host: &str| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    };
    if host.is_empty() || !(authority.starts_with('[') || is_name(host)) {
        return Err("the URL has no host, or one with characters that no host has".to_owned());
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => {}
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse() != Ok(0_u16) => {
            if digits.parse::<u16>().is_err() {
                return Err("the port is a number from 1 to 65535".to_owned());
            }
        }
        Some(_) | None => return Err("the port is a number from 1 to 65535".to_owned()),
    }
    Ok(Url { is_https, host })
}
