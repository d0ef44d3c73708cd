//! AWS's Query protocol, which STS and IAM speak: a form in, XML out.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::server::Body;

/// Reads `application/x-www-form-urlencoded`. None: it is malformed, or a name stands there twice.
pub(crate) fn form(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut fields = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if fields.insert(decode(name)?, decode(value)?).is_some() {
            return None;
        }
    }
    Some(fields)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                // `from_str_radix` would take a sign.
                if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = rest.get(2..)?;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// RFC 3986: all but the unreserved characters become `%XX`.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// `<name>` with text in it.
pub(crate) fn element(name: &str, text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    format!("<{name}>{escaped}</{name}>")
}

/// The answer to an action that went well; `result` is XML, None for an action that has none.
pub(crate) fn answer(namespace: &str, action: &str, result: Option<&str>, request_id: &str) -> String {
    let id = element("RequestId", request_id);
    let result = result.map_or_else(String::new, |xml| {
        format!("<{action}Result>{xml}</{action}Result>")
    });
    format!(
        "<{action}Response xmlns=\"{namespace}\">{result}\
         <ResponseMetadata>{id}</ResponseMetadata></{action}Response>"
    )
}

/// The answer to an action that did not.
pub(crate) fn error(namespace: &str, status: u16, code: &str, message: &str, request_id: &str) -> String {
    let fault = if status >= 500 { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse xmlns=\"{namespace}\"><Error>{}{}{}</Error>{}</ErrorResponse>",
        element("Type", fault),
        element("Code", code),
        element("Message", message),
        element("RequestId", request_id),
    )
}

/// XML as a response.
pub(crate) fn respond(status: StatusCode, body: String) -> Response<Body> {
    let body = Full::new(Bytes::from(body)).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("text/xml"));
    response
}

#[cfg(test)]
mod tests {
    use super::{element, form, percent_encode};

    #[test]
    fn a_form_is_decoded() {
        let fields = form(b"Action=A&RoleArn=arn%3Aaws%3aiam&Name=a+b&Empty=&Bare").unwrap();
        let expected = [
            ("Action", "A"),
            ("Bare", ""),
            ("Empty", ""),
            ("Name", "a b"),
            ("RoleArn", "arn:aws:iam"),
        ];
        assert_eq!(
            fields,
            expected
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        );
    }

    #[test]
    fn a_malformed_form_is_refused() {
        for body in [&b"a=%"[..], b"a=%4", b"a=%+1", b"a=%ff", b"a=1&a=2", b"\xff"] {
            assert_eq!(form(body), None);
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        let text = "{\"a\": \"b c~d/é+&\"}";
        assert_eq!(
            percent_encode(text),
            "%7B%22a%22%3A%20%22b%20c~d%2F%C3%A9%2B%26%22%7D"
        );
        let body = format!("Text={}", percent_encode(text));
        assert_eq!(form(body.as_bytes()).unwrap()["Text"], text);
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(
            element("Message", "a<b>&\"c"),
            "<Message>a&lt;b&gt;&amp;&quot;c</Message>"
        );
    }
}
