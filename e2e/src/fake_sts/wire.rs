//! AWS's Query protocol: a form in, XML out.

use std::collections::BTreeMap;

use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::server::Body;

/// The namespace of STS's answers, which is also its API version.
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Reads `application/x-www-form-urlencoded`. None: it is malformed, or a name stands there twice.
pub(super) fn form(body: &[u8]) -> Option<BTreeMap<String, String>> {
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

/// `<name>` with text in it.
pub(super) fn element(name: &str, text: &str) -> String {
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

/// The answer to an action that went well; `result` is XML.
pub(super) fn answer(action: &str, result: &str, request_id: &str) -> Response<Body> {
    let id = element("RequestId", request_id);
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata>{id}</ResponseMetadata></{action}Response>"
    );
    respond(StatusCode::OK, body)
}

/// The answer to an action that did not.
pub(super) fn error(status: StatusCode, code: &str, message: &str, request_id: &str) -> Response<Body> {
    let fault = if status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error>{}{}{}</Error>{}</ErrorResponse>",
        element("Type", fault),
        element("Code", code),
        element("Message", message),
        element("RequestId", request_id),
    );
    respond(status, body)
}

fn respond(status: StatusCode, body: String) -> Response<Body> {
    let body = Full::new(bytes::Bytes::from(body)).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("text/xml"));
    response
}

#[cfg(test)]
mod tests {
    use super::{element, form};

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
    fn text_stays_text() {
        assert_eq!(
            element("Message", "a<b>&\"c"),
            "<Message>a&lt;b&gt;&amp;&quot;c</Message>"
        );
    }
}
