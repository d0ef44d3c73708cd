//! `http`, and the attributes that it takes whether there is one or not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};
use tracepipe_otlp::view::{AnyValue, Event, SpanKind};

use super::input::{Attributes, Input, Remaining, int, text, text_or_int};
use super::make::int_of;
use super::{Version, put_text};

/// What the walk over the attributes found.
#[derive(Debug, Default)]
struct Found<'a> {
    method: &'a str,
    client_ip: &'a str,
    user_agent: &'a str,
    status: Option<i64>,
    /// Parts of the URL by the older names.
    url: BTreeMap<&'static str, String>,
    is_http: bool,
    has_url: bool,
    is_peer_address: bool,
}

/// What is left of the attributes, and `http`.
pub(super) fn http<'a>(version: Version, input: &Input<'a>) -> (Remaining<'a>, Option<Value>) {
    let mut found = Found::default();
    let mut remaining = Remaining::new();
    for (key, value) in input.attributes.iter() {
        if !found.take(version, key, value) {
            remaining.insert(key, value);
        }
    }
    let http = found.is_http.then(|| found.write(version, input));
    (remaining, http)
}

impl<'a> Found<'a> {
    /// Whether the attribute is one of those that it takes.
    fn take(&mut self, version: Version, key: &str, value: &'a AnyValue<'a>) -> bool {
        self.take_request(key, value) || self.take_url(version, key, value) || self.take_address(key, value)
    }

    fn take_request(&mut self, key: &str, value: &'a AnyValue<'a>) -> bool {
        match key {
            "http.method" | "http.request.method" => self.method = text(value),
            "http.client_ip" => self.client_ip = text(value),
            "http.user_agent" | "user_agent.original" => self.user_agent = text(value),
            "http.status_code" | "http.response.status_code" => self.status = Some(int(value)),
            _ => return false,
        }
        self.is_http = true;
        true
    }

    fn take_url(&mut self, version: Version, key: &str, value: &AnyValue<'_>) -> bool {
        // The name among the parts, whether it makes the span one of HTTP, whether there is a URL to be made.
        let (part, is_http, has_url) = match key {
            "http.url" | "url.full" => ("http.url", true, true),
            "http.scheme" | "url.scheme" => ("http.scheme", true, false),
            "http.host" => ("http.host", true, true),
            "http.target" => ("http.target", true, false),
            "http.server_name" => ("http.server_name", true, true),
            "net.host.port" => ("net.host.port", true, false),
            "host.name" => ("host.name", false, true),
            "net.host.name" => ("net.host.name", false, true),
            "net.peer.name" => ("net.peer.name", false, true),
            "net.peer.port" => ("net.peer.port", false, false),
            "url.path" => ("url.path", true, false),
            // To the older version it was the newer name of the target.
            "url.query" if version == Version::V0_120 => ("http.target", true, false),
            "url.query" => ("url.query", true, false),
            "server.address" => ("server.address", false, true),
            "server.port" => ("server.port", false, false),
            _ => return false,
        };
        let value = if part.ends_with(".port") {
            text_or_int(value)
        } else {
            text(value).to_owned()
        };
        self.url.insert(part, value);
        self.is_http |= is_http;
        self.has_url |= has_url;
        true
    }

    fn take_address(&mut self, key: &str, value: &'a AnyValue<'a>) -> bool {
        let address = text(value);
        let is_ip = address.parse::<IpAddr>().is_ok();
        match key {
            "net.peer.ip" => {
                self.url.insert("net.peer.ip", address.to_owned());
            }
            "network.peer.address" if is_ip => {}
            "client.address" if is_ip => {
                self.client_ip = address;
                return true;
            }
            "network.peer.address" | "client.address" => return true,
            _ => return false,
        }
        if self.client_ip.is_empty() {
            self.client_ip = address;
        }
        self.is_peer_address = true;
        self.has_url = true;
        true
    }

    fn write(&self, version: Version, input: &Input<'_>) -> Value {
        let mut request = Map::new();
        put_text(&mut request, "method", self.method);
        put_text(&mut request, "client_ip", self.client_ip);
        put_text(&mut request, "user_agent", self.user_agent);
        if !self.client_ip.is_empty() && !self.is_peer_address {
            request.insert("x_forwarded_for".into(), true.into());
        }
        if self.has_url {
            let url = if input.span.kind == SpanKind::Server {
                self.server_url()
            } else {
                self.client_url(version)
            };
            put_text(&mut request, "url", &url);
        }
        let mut response = Map::new();
        response.extend(self.status.map(|status| ("status".to_owned(), status.into())));
        response.insert("content_length".into(), content_length(input).into());
        json!({ "request": request, "response": response })
    }

    fn part(&self, name: &str) -> Option<&str> {
        self.url.get(name).map(String::as_str)
    }

    fn client_url(&self, version: Version) -> String {
        if let Some(url) = self.part("http.url") {
            return url.to_owned();
        }
        let (host, port) = match self.part("http.host") {
            Some(host) => (host, ""),
            None => (
                self.part("net.peer.name")
                    .or(self.part("net.peer.ip"))
                    .unwrap_or_default(),
                self.part("net.peer.port").unwrap_or_default(),
            ),
        };
        let mut url = self.origin(host, port);
        match version {
            Version::V0_120 => url.push_str(self.part("http.target").unwrap_or("/")),
            Version::V0_161 => self.push_path(&mut url),
        }
        url
    }

    fn server_url(&self) -> String {
        if let Some(url) = self.part("http.url") {
            return url.to_owned();
        }
        let (host, port) = match self.part("http.host") {
            Some(host) => (host, ""),
            None => (
                ["http.server_name", "net.host.name", "host.name", "server.address"]
                    .into_iter()
                    .find_map(|name| self.part(name))
                    .unwrap_or_default(),
                self.part("net.host.port")
                    .or(self.part("server.port"))
                    .unwrap_or_default(),
            ),
        };
        let mut url = self.origin(host, port);
        self.push_path(&mut url);
        url
    }

    fn origin(&self, host: &str, port: &str) -> String {
        let scheme = self.part("http.scheme").unwrap_or("http");
        let is_default = matches!((scheme, port), ("http", "80") | ("https", "443"));
        if port.is_empty() || is_default {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }

    fn push_path(&self, url: &mut String) {
        if let Some(target) = self.part("http.target") {
            url.push_str(target);
            return;
        }
        url.push_str(self.part("url.path").unwrap_or("/"));
        if let Some(query) = self.part("url.query") {
            if !query.starts_with('?') {
                url.push('?');
            }
            url.push_str(query);
        }
    }
}

fn content_length(input: &Input<'_>) -> i64 {
    let of_events = || {
        let sizes = input
            .span
            .events
            .iter()
            .map(|event: &Event<'_>| received_size(&Attributes::new(&event.attributes)));
        sizes.into_iter().find(|size| *size != 0)
    };
    match received_size(&input.attributes) {
        0 => of_events().unwrap_or(0),
        size => size,
    }
}

fn received_size(attributes: &Attributes<'_>) -> i64 {
    if attributes.text("message.type") == "RECEIVED" {
        int_of(attributes.get("messaging.message_payload_size_bytes"))
    } else {
        0
    }
}
