//! `name` and `namespace`: which node of the service map a document belongs to.

use std::borrow::Cow;

use tracepipe_otlp::view::{AnyValue, Span, SpanKind};

use crate::attributes::Attributes;
use crate::letters::is_letter;
use crate::limits::{NAME_MAX, cut};

/// The name of what would have none: X-Ray refuses a document without.
const NAMELESS: &str = "span";

/// `namespace`: whose the called service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// AWS's.
    Aws,
    /// Somebody else's.
    Remote,
}

impl Namespace {
    /// As X-Ray has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Remote => "remote",
        }
    }
}

/// What a document is called.
#[derive(Debug)]
pub(crate) struct Naming<'t> {
    /// Clean and not empty.
    pub(crate) name: Cow<'t, str>,
    /// None for the service's own work.
    pub(crate) namespace: Option<Namespace>,
}

impl<'t> Naming<'t> {
    /// Of a segment, which is a node of the service map: the service, whatever the span is about.
    pub(crate) fn of_service(span: &'t Span<'t>, attributes: &Attributes<'t>, service_name: &'t str) -> Self {
        let name = clean(Cow::Borrowed(attributes.text("aws.local.service")))
            .or_else(|| clean(Cow::Borrowed(service_name)))
            .unwrap_or_else(|| Self::new(span, attributes).name);
        Self {
            name,
            namespace: None,
        }
    }

    /// Of a subsegment: what is called, or what is done. The first name that has a character which X-Ray takes.
    pub(crate) fn new(span: &'t Span<'t>, attributes: &Attributes<'t>) -> Self {
        let calls = matches!(span.kind, SpanKind::Client | SpanKind::Producer);
        let before = given(span, attributes).map(Cow::Borrowed).into_iter();
        let before = before
            .chain([Cow::Borrowed(attributes.text("peer.service"))])
            .find_map(clean);
        // An AWS service is one by this attribute, even when the attribute is empty; but not when something else
        // has named the document already.
        let is_aws = is_aws_call(attributes) || (before.is_none() && attributes.has("aws.service"));
        let namespace = match (is_aws, calls) {
            (true, _) => Some(Namespace::Aws),
            (false, true) => Some(Namespace::Remote),
            (false, false) => None,
        };
        let of = |key| clean(Cow::Borrowed(attributes.text(key)));
        let name = before
            .or_else(|| of("aws.service"))
            .or_else(|| clean(database(attributes)))
            .or_else(|| of("rpc.service"))
            // The queue is what is called, not the broker that holds it.
            .or_else(|| {
                if calls {
                    clean(destination(attributes).into())
                } else {
                    None
                }
            })
            .or_else(|| of("http.host"))
            .or_else(|| of("net.peer.name"))
            // For every other kind it is the span's own address.
            .or_else(|| if calls { of("server.address") } else { None })
            .or_else(|| clean(Cow::Borrowed(&span.name)))
            .unwrap_or(Cow::Borrowed(NAMELESS));
        Self { name, namespace }
    }
}

/// The queue or topic of a message, from both generations of the semantic conventions. One that is made for a single
/// reply has no name that says anything.
fn destination<'t>(attributes: &Attributes<'t>) -> &'t str {
    let is = |key| {
        attributes
            .find(key)
            .is_some_and(|found| *found.value == AnyValue::Bool(true))
    };
    match attributes.text("messaging.destination.template") {
        "" if is("messaging.destination.temporary") || is("messaging.destination.anonymous") => "",
        "" => attributes.first_text(&["messaging.destination.name", "messaging.destination"]),
        template => template,
    }
}

/// The remote service that an agent found, without the prefix that names the SDK instead.
pub(crate) fn remote_service<'t>(attributes: &Attributes<'t>) -> &'t str {
    let service = attributes.text("aws.remote.service");
    if !is_aws_call(attributes) {
        return service;
    }
    service
        .strip_prefix("AWS.SDK.")
        .or_else(|| service.strip_prefix("AWS::"))
        .unwrap_or(service)
}

/// A name with the characters that X-Ray takes (guide and schema, see [`crate::limits`]) and no others, at most
/// [`NAME_MAX`] long; none if no letter, digit or mark is left. Of white space only the plain space is kept, as
/// upstream.
pub(crate) fn clean(name: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let mut name = match name.chars().all(is_allowed) {
        true => name,
        false => Cow::Owned(name.chars().filter(|character| is_allowed(*character)).collect()),
    };
    let kept = cut(&name, NAME_MAX).len();
    if kept < name.len() {
        name = Cow::Owned(name[..kept].to_owned());
    }
    if name.trim().is_empty() { None } else { Some(name) }
}

fn is_allowed(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        ' ' | '_' | '.' | ':' | '/' | '%' | '&' | '#' | '=' | '+' | '-' | '@' => true,
        _ => is_letter(character),
    }
}

fn is_aws_call(attributes: &Attributes<'_>) -> bool {
    attributes.text("rpc.system") == "aws-api"
}

/// The name that an agent gave.
fn given<'t>(span: &Span<'_>, attributes: &Attributes<'t>) -> Option<&'t str> {
    match span.kind {
        SpanKind::Server => Some(attributes.text("aws.local.service")),
        SpanKind::Client | SpanKind::Producer | SpanKind::Consumer => Some(remote_service(attributes)),
        SpanKind::Internal | SpanKind::Unspecified => None,
    }
}

/// `database@host`, or the database alone.
fn database<'t>(attributes: &Attributes<'t>) -> Cow<'t, str> {
    let database = attributes.first_text(&["db.name", "db.namespace"]);
    // That of Redis is the number of one of its databases.
    if database.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed("");
    }
    // The newer conventions have no connection string.
    let host = host_of(attributes.text("db.connection_string"))
        .unwrap_or_else(|| attributes.first_text(&["server.address", "net.peer.name"]));
    if host.is_empty() {
        Cow::Borrowed(database)
    } else {
        Cow::Owned(format!("{database}@{host}"))
    }
}

/// The host of a URL (RFC 3986), which may have `jdbc:` before it.
fn host_of(connection: &str) -> Option<&str> {
    let url = connection.strip_prefix("jdbc:").unwrap_or(connection);
    let (_, rest) = url.split_once("//")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let address = authority
        .rsplit_once('@')
        .map_or(authority, |(_, address)| address);
    let (host, port) = match address.strip_prefix('[') {
        Some(literal) => literal.split_once(']')?,
        None => address
            .rfind(':')
            .map_or((address, ""), |colon| address.split_at(colon)),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_port && !host.is_empty() {
        Some(host)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{clean, host_of};

    fn cleaned(name: &str) -> Option<String> {
        clean(Cow::Borrowed(name)).map(Cow::into_owned)
    }

    #[test]
    fn names_keep_what_xray_takes() {
        let good = "EP @ test_15.testing-d\u{f6}main.org#GO /%&=+:";
        assert_eq!(cleaned(good).as_deref(), Some(good));
        assert_eq!(cleaned("a<b>,c\\d\n\t;e\u{1f600}").as_deref(), Some("abcde"));
        assert_eq!(cleaned("<>"), None);
        assert_eq!(cleaned("  \n"), None);
        assert_eq!(cleaned(""), None);
    }

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(cleaned(&"x".repeat(201)), Some("x".repeat(200)));
        assert_eq!(cleaned(&"\u{e9}".repeat(300)), Some("\u{e9}".repeat(200)));
    }

    #[test]
    fn the_host_of_a_connection_string() {
        for (connection, expected) in [
            ("jdbc:postgresql://h:5432", Some("h")),
            (
                "mysql://user:p@ss@db.example.com:3306/orders?x=1",
                Some("db.example.com"),
            ),
            ("postgresql://[2001:db8::1]:5432/d", Some("2001:db8::1")),
            ("redis://h", Some("h")),
            ("//h/d", Some("h")),
            ("jdbc:sqlserver://h:1433;databaseName=x", None),
            ("jdbc:h2:mem:test", None),
            ("file:///tmp/x", None),
            ("postgresql://[::1", None),
            ("", None),
        ] {
            assert_eq!(host_of(connection), expected, "{connection}");
        }
    }
}
