//! `http`: request and response, from both generations of the semantic conventions (`http.method` and
//! `http.request.method`, ...).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use tracepipe_otlp::view::{AnyValue, KeyValue, Span, SpanKind};

use crate::attributes::{Attributes, Found, integer, is_ip, lookup, lookup_text, text};
use crate::json::Json;
use crate::limits::{SHORT_TEXT_MAX, cut};

/// The `http` block.
#[derive(Debug, Default)]
pub(crate) struct Http<'t> {
    method: &'t str,
    url: String,
    user_agent: &'t str,
    client_ip: &'t str,
    x_forwarded_for: bool,
    status: Option<i64>,
    content_length: i64,
}

impl<'t> Http<'t> {
    /// The block of a span that has an attribute of HTTP, and none of any other. Attributes that are written whole
    /// are marked so; the others stay, among them those that would say the same again.
    pub(crate) fn new(span: &Span<'_>, attributes: &mut Attributes<'t>) -> Option<Self> {
        let seen = Seen::collect(attributes);
        if !seen.is_http {
            return None;
        }
        let is_server = span.kind == SpanKind::Server;
        let mut http = Self {
            content_length: content_length(span),
            ..Self::default()
        };
        http.method = short(seen.method, attributes);
        http.user_agent = short(seen.user_agent, attributes);
        // A peer is the client only where requests come in.
        let peer = seen.peer_ip.or(seen.peer_address);
        http.client_ip = short(seen.client_ip.or(peer.filter(|_| is_server)), attributes);
        // An address that is not the peer's can only come from a header.
        http.x_forwarded_for = is_server && peer.is_none() && !http.client_ip.is_empty();
        if let Some(found) = seen.status {
            http.status = integer(found.value);
            if http.status.is_some() {
                attributes.written(found.index);
            }
        }
        if seen.has_address {
            let url = if is_server {
                seen.server_url()
            } else {
                seen.client_url()
            };
            http.url = url.finish(attributes);
        }
        Some(http)
    }

    /// Writes the value of `http`.
    pub(crate) fn write(&self, json: &mut Json) {
        json.object(|json| {
            json.key("request").object(|json| {
                if self.x_forwarded_for {
                    json.key("x_forwarded_for").bool(true);
                }
                json.text_member("method", self.method);
                json.text_member("url", &self.url);
                json.text_member("user_agent", self.user_agent);
                json.text_member("client_ip", self.client_ip);
            });
            json.key("response").object(|json| {
                if let Some(status) = self.status {
                    json.key("status").int(status);
                }
                json.key("content_length").int(self.content_length);
            });
        });
    }
}

/// The response code: of the old name first, as upstream.
pub(crate) fn status_code(attributes: &Attributes<'_>) -> Option<i64> {
    let found = attributes.find_any(&["http.status_code", "http.response.status_code"])?;
    integer(found.value)
}

/// A host for a URL: IPv6 addresses stand in brackets there (RFC 3986, section 3.2.2).
pub(crate) fn bracketed(host: &str) -> Cow<'_, str> {
    if host.parse::<Ipv6Addr>().is_ok() {
        Cow::Owned(format!("[{host}]"))
    } else {
        Cow::Borrowed(host)
    }
}

/// What was found of HTTP and of addresses. Of names that mean the same the last one counts, as upstream.
#[derive(Debug, Default)]
struct Seen<'t> {
    /// There is an attribute that only spans of HTTP have.
    is_http: bool,
    /// There is enough for a URL.
    has_address: bool,
    method: Option<Found<'t>>,
    user_agent: Option<Found<'t>>,
    status: Option<Found<'t>>,
    /// What says itself to be the client's address.
    client_ip: Option<Found<'t>>,
    url: Option<Found<'t>>,
    scheme: Option<Found<'t>>,
    host: Option<Found<'t>>,
    target: Option<Found<'t>>,
    server_name: Option<Found<'t>>,
    local_name: Option<Found<'t>>,
    local_port: Option<Found<'t>>,
    machine: Option<Found<'t>>,
    peer_name: Option<Found<'t>>,
    peer_port: Option<Found<'t>>,
    peer_ip: Option<Found<'t>>,
    /// The newer name of `peer_ip`; it may also be the path of a socket, so only if it is an IP address.
    peer_address: Option<Found<'t>>,
    path: Option<Found<'t>>,
    query: Option<Found<'t>>,
    server_address: Option<Found<'t>>,
    server_port: Option<Found<'t>>,
}

impl<'t> Seen<'t> {
    fn collect(attributes: &Attributes<'t>) -> Self {
        let mut seen = Self::default();
        for (index, entry) in attributes.all() {
            seen.take(
                &entry.key,
                Found {
                    index,
                    value: &entry.value,
                },
            );
        }
        seen
    }

    fn take(&mut self, key: &str, found: Found<'t>) {
        let is_ip = || is_ip(text(found.value));
        // What the name shows: a span of HTTP, an address.
        let (slot, is_http, is_address) = match key {
            "http.method" | "http.request.method" => (&mut self.method, true, false),
            "http.user_agent" | "user_agent.original" => (&mut self.user_agent, true, false),
            "http.status_code" | "http.response.status_code" => (&mut self.status, true, false),
            "http.client_ip" => (&mut self.client_ip, true, false),
            "client.address" if is_ip() => (&mut self.client_ip, false, false),
            "http.url" | "url.full" => (&mut self.url, true, true),
            "http.scheme" | "url.scheme" => (&mut self.scheme, true, false),
            "http.host" => (&mut self.host, true, true),
            "http.target" => (&mut self.target, true, false),
            "http.server_name" => (&mut self.server_name, true, true),
            "net.host.port" => (&mut self.local_port, true, false),
            "url.path" => (&mut self.path, true, false),
            "url.query" => (&mut self.query, true, false),
            "host.name" => (&mut self.machine, false, true),
            "net.host.name" => (&mut self.local_name, false, true),
            "net.peer.name" => (&mut self.peer_name, false, true),
            "net.peer.ip" => (&mut self.peer_ip, false, true),
            "network.peer.address" if is_ip() => (&mut self.peer_address, false, true),
            "server.address" => (&mut self.server_address, false, true),
            "net.peer.port" => (&mut self.peer_port, false, false),
            "server.port" => (&mut self.server_port, false, false),
            _ => return,
        };
        *slot = Some(found);
        self.is_http |= is_http;
        self.has_address |= is_address;
    }

    fn server_url(&self) -> Url {
        let named = self
            .server_name
            .or(self.local_name)
            .or(self.machine)
            .or(self.server_address);
        let port = self.local_port.or(self.server_port);
        self.url_to(self.host.or(named), port.filter(|_| self.host.is_none()))
    }

    fn client_url(&self) -> Url {
        // `server.address` means the peer by its name, so it comes before the peer's number.
        if self.host.is_some() {
            self.url_to(self.host, None)
        } else if self.peer_name.is_none() && self.server_address.is_some() {
            self.url_to(self.server_address, self.server_port)
        } else {
            self.url_to(self.peer_name.or(self.peer_ip), self.peer_port)
        }
    }

    fn url_to(&self, host: Option<Found<'t>>, port: Option<Found<'t>>) -> Url {
        let mut url = Url::default();
        if let Some(whole) = self.url {
            url.push(whole, text(whole.value));
            return url;
        }
        match self.scheme {
            Some(scheme) => url.push(scheme, text(scheme.value)),
            None => url.text.push_str("http"),
        }
        let default_port = match url.text.as_str() {
            "http" => "80",
            "https" => "443",
            _ => "",
        };
        url.text.push_str("://");
        if let Some(host) = host {
            url.push(host, &bracketed(text(host.value)));
        }
        if let Some(port) = port {
            let number = port_text(port.value);
            if number == default_port {
                url.parts.push(port.index);
            } else if !number.is_empty() {
                url.text.push(':');
                url.push(port, &number);
            }
        }
        self.push_path(&mut url);
        url
    }

    fn push_path(&self, url: &mut Url) {
        if let Some(target) = self.target {
            url.push(target, text(target.value));
            return;
        }
        match self.path {
            Some(path) => url.push(path, text(path.value)),
            None => url.text.push('/'),
        }
        if let Some(query) = self.query {
            let query_text = text(query.value);
            if !query_text.starts_with('?') {
                url.text.push('?');
            }
            url.push(query, query_text);
        }
    }
}

/// A URL and the attributes it is made of.
#[derive(Debug, Default)]
struct Url {
    text: String,
    parts: Vec<usize>,
}

impl Url {
    fn push(&mut self, part: Found<'_>, text: &str) {
        if !text.is_empty() {
            self.text.push_str(text);
            self.parts.push(part.index);
        }
    }

    fn finish(mut self, attributes: &mut Attributes<'_>) -> String {
        let fits = cut(&self.text, SHORT_TEXT_MAX).len();
        if fits == self.text.len() {
            self.parts.into_iter().for_each(|part| attributes.written(part));
        }
        self.text.truncate(fits);
        self.text
    }
}

/// A text that X-Ray wants short. When it is cut, the attribute stays to be stored whole.
fn short<'t>(found: Option<Found<'t>>, attributes: &mut Attributes<'t>) -> &'t str {
    let Some(found) = found else { return "" };
    let whole = text(found.value);
    let short = cut(whole, SHORT_TEXT_MAX);
    if !short.is_empty() && short.len() == whole.len() {
        attributes.written(found.index);
    }
    short
}

fn port_text<'t>(value: &'t AnyValue<'_>) -> Cow<'t, str> {
    let as_text = text(value);
    match integer(value) {
        Some(number) if as_text.is_empty() => Cow::Owned(number.to_string()),
        Some(_) | None => Cow::Borrowed(as_text),
    }
}

/// Bytes of the message that a span or one of its events says to have received; 0 when none does.
fn content_length(span: &Span<'_>) -> i64 {
    let of = |list: &[KeyValue<'_>]| {
        if lookup_text(list, "message.type") != "RECEIVED" {
            return None;
        }
        lookup(list, "messaging.message_payload_size_bytes")
            .and_then(integer)
            .filter(|size| *size > 0)
    };
    of(&span.attributes)
        .or_else(|| span.events.iter().find_map(|event| of(&event.attributes)))
        .unwrap_or(0)
}
