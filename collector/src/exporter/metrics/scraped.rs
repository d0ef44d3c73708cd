//! `prometheus`: the last value of each series, for whoever scrapes it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracepipe_config::PrometheusSettings;
use tracepipe_metrics::scrape::{BYTES_MAX, Format, Registry};

use super::page::{PageBody, Rooms};
use super::translated::{Points, unix_now, until};
use crate::account::MetricsExporterAccount;
use crate::http_port::{of_type, serve};
use crate::limiter::{Held, MemoryLimiter};
use crate::metrics::MetricsBatch;

/// Where the page is, as upstream has it.
const PATH: &str = "/metrics";

/// Series that nobody scrapes may take this part of the memory limit: most of it is for what comes in.
const LIMIT_PART: u64 = 8;

/// The exporter; clones share it.
#[derive(Clone)]
pub struct Scraped {
    shared: Rc<Shared>,
}

struct Shared {
    points: Points,
    registry: Rc<RefCell<Registry>>,
    enable_open_metrics: bool,
    /// Until it is spawned.
    socket: RefCell<Option<std::net::TcpListener>>,
    /// The place of what is held in the memory account.
    held: RefCell<Held>,
    rooms: Rooms,
    /// Told when there is something that may expire.
    changed: Notify,
}

// === impl Scraped ===

impl Scraped {
    pub(super) fn new(
        id: &str,
        settings: &PrometheusSettings,
        socket: Option<std::net::TcpListener>,
        limiter: &MemoryLimiter,
    ) -> Self {
        let part = usize::try_from(limiter.ceiling() / LIMIT_PART).unwrap_or(usize::MAX);
        let registry = Registry::new(settings).with_bytes_max(part.min(BYTES_MAX));
        Self {
            shared: Rc::new(Shared {
                points: Points::new(id),
                registry: Rc::new(RefCell::new(registry)),
                enable_open_metrics: settings.enable_open_metrics,
                socket: RefCell::new(socket),
                held: RefCell::new(limiter.hold(0)),
                rooms: Rooms::new(limiter),
                changed: Notify::new(),
            }),
        }
    }

    pub(super) fn spawn(&self, services: &mut JoinSet<()>) -> anyhow::Result<()> {
        let socket = self.shared.socket.take().context("the page has no socket")?;
        let listener = TcpListener::from_std(socket).context("a socket cannot be used")?;
        let shared = Rc::clone(&self.shared);
        services.spawn_local(serve("prometheus", listener, async move |request| {
            shared.answer(&request)
        }));
        services.spawn_local(Rc::clone(&self.shared).expire());
        Ok(())
    }

    pub(super) fn expect(&self, points: u64) {
        self.shared.points.expect(points);
    }

    pub(super) async fn push(&self, batch: &Arc<MetricsBatch>) {
        let shared = &self.shared;
        let apply = |part: &[u8], now| {
            let done = shared.registry.borrow_mut().apply(part, now);
            shared.account_for_memory();
            done
        };
        shared.points.translate(batch, apply).await;
        shared.changed.notify_one();
    }

    pub(super) fn account(&self) -> MetricsExporterAccount {
        MetricsExporterAccount {
            series: Some(self.shared.registry.borrow().held()),
            ..self.shared.points.account()
        }
    }
}

// === impl Shared ===

impl Shared {
    fn answer(&self, request: &Request<Incoming>) -> Response<PageBody> {
        if request.uri().path() != PATH {
            return plain(StatusCode::NOT_FOUND, "the series are at /metrics\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        }
        let Some(room) = self.rooms.take() else {
            let mut response = plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many pages are being read, or memory is short: try again\n",
            );
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static("5"));
            return response;
        };
        let accept = joined(request.headers(), header::ACCEPT);
        let format = Format::negotiate(&accept, self.enable_open_metrics);
        let is_gzip = takes_gzip(&joined(request.headers(), header::ACCEPT_ENCODING));
        let body = PageBody::new(Rc::clone(&self.registry), format, is_gzip, room);
        let mut response = of_type(format.content_type(), Response::new(body));
        let headers = response.headers_mut();
        // A cache must not give one scraper's page to another.
        headers.insert(
            header::VARY,
            http::HeaderValue::from_static("Accept, Accept-Encoding"),
        );
        if is_gzip {
            headers.insert(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        }
        response
    }

    /// Forgets series whose time has come, whether anybody scrapes or not.
    async fn expire(self: Rc<Self>) {
        loop {
            let next = self.registry.borrow_mut().expire(unix_now());
            self.account_for_memory();
            match next {
                Some(next) => until(next).await,
                None => self.changed.notified().await,
            }
        }
    }

    fn account_for_memory(&self) {
        let bytes = self.registry.borrow().memory_bytes();
        self.held.borrow_mut().set(bytes);
    }
}

/// All values of a header, as if they were one.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// Whether gzip is among the codings, and not with a quality of zero (RFC 9110, section 12.5.3).
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_gzip
            && quality.is_none_or(|quality| quality.trim().parse().is_ok_and(|quality: f32| quality > 0.0))
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<PageBody> {
    let mut response = Response::new(PageBody::of(text));
    *response.status_mut() = status;
    of_type("text/plain; charset=utf-8", response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for accepted in ["gzip", "deflate, GZIP;q=0.5", "gzip;q=1.0,identity", "br, gzip"] {
            assert!(takes_gzip(accepted), "{accepted}");
        }
        for refused in ["", "identity", "gzip;q=0", "gzip; q=0.0", "x-gzip", "*"] {
            assert!(!takes_gzip(refused), "{refused}");
        }
    }
}
