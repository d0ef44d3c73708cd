//! What happens in one trace.
//!
//! Attributes follow OpenTelemetry's semantic conventions for HTTP (1.23 and later), databases and messaging as most
//! instrumentation writes them today.

use tracepipe_otlp::{SpanId, TraceId};

use super::Service;
use crate::rng::Rng;
use crate::spans::{Event, Kind, Span, Status, Value};

const MICRO: u64 = 1000;
const MILLI: u64 = 1_000_000;

/// The low byte is W3C's "sampled"; above it, that the SDK knows whether the parent is remote, and that it is.
const FLAGS_LOCAL: u32 = 0x101;
const FLAGS_REMOTE: u32 = 0x301;

/// What a customer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Browse,
    PlaceOrder,
    OrderStatus,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Nothing,
    /// A 401: the customer's fault, nobody's error.
    BadToken,
    SlowCatalogue,
    SlowPayment,
    CatalogueDatabaseDown,
    CardNetworkTimesOut,
    MailBounces,
}

impl Trouble {
    fn draw(rng: &mut Rng, wish: Wish) -> Self {
        let ordering = wish == Wish::PlaceOrder;
        match rng.between(1, 1000) {
            1..=30 => Self::BadToken,
            31..=60 if wish != Wish::OrderStatus => Self::SlowCatalogue,
            61..=80 if wish != Wish::OrderStatus => Self::CatalogueDatabaseDown,
            81..=140 if ordering => Self::SlowPayment,
            141..=220 if ordering => Self::CardNetworkTimesOut,
            221..=260 if ordering => Self::MailBounces,
            _ => Self::Nothing,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "all is well",
            Self::BadToken => "token refused",
            Self::SlowCatalogue => "catalogue is slow",
            Self::SlowPayment => "payment is slow",
            Self::CatalogueDatabaseDown => "catalogue has no database",
            Self::CardNetworkTimesOut => "card network times out",
            Self::MailBounces => "mail bounces",
        }
    }
}

/// Makes up one trace that starts at `start` (nanoseconds since the Unix epoch).
pub(super) fn tell(rng: &mut Rng, start: u64) -> (String, Vec<(Service, Span)>) {
    let wish = match rng.between(1, 100) {
        1..=45 => Wish::Browse,
        46..=80 => Wish::PlaceOrder,
        _ => Wish::OrderStatus,
    };
    let trouble = Trouble::draw(rng, wish);
    let trace_id = TraceId(rng.trace_id());
    let mut teller = Teller {
        rng,
        trouble,
        trace_id,
        spans: Vec::new(),
    };
    let words = match wish {
        Wish::Browse => {
            teller.browse(start);
            "browse"
        }
        Wish::PlaceOrder => {
            teller.place_order(start);
            "place order"
        }
        Wish::OrderStatus => {
            teller.order_status(start);
            "order status"
        }
    };
    (format!("{words}, {}", trouble.words()), teller.spans)
}

struct Teller<'a> {
    rng: &'a mut Rng,
    trouble: Trouble,
    trace_id: TraceId,
    spans: Vec<(Service, Span)>,
}

/// A span that has not ended.
#[derive(Clone, Copy)]
struct Open {
    /// Its place in the list.
    index: usize,
    service: Service,
}

/// How a part of the story ended.
#[derive(Clone, Copy)]
struct Answer {
    /// Nanoseconds since the Unix epoch.
    at: u64,
    status: i64,
}

impl Teller<'_> {
    fn browse(&mut self, start: u64) {
        let (root, at) = self.arrive("GET", "/api/products/{id}", start);
        let login = self.authenticate(root, at);
        let last = if login.status == 200 {
            self.http_call(
                root,
                ("GET", "catalogue", "/products/{id}"),
                login.at,
                Self::catalogue,
            )
        } else {
            login
        };
        self.leave(root, last);
    }

    fn order_status(&mut self, start: u64) {
        let (root, at) = self.arrive("GET", "/api/orders/{id}", start);
        let login = self.authenticate(root, at);
        let last = if login.status == 200 {
            self.http_call(
                root,
                ("GET", "orders", "/orders/{id}"),
                login.at,
                |teller, server, at| {
                    let row = teller.database(server, "SELECT", "orders", at);
                    Answer {
                        at: teller.later(row, 100, 900),
                        status: 200,
                    }
                },
            )
        } else {
            login
        };
        self.leave(root, last);
    }

    fn place_order(&mut self, start: u64) {
        let (root, at) = self.arrive("POST", "/api/orders", start);
        let login = self.authenticate(root, at);
        let last = if login.status == 200 {
            self.http_call(root, ("POST", "orders", "/orders"), login.at, Self::orders)
        } else {
            login
        };
        self.leave(root, last);
    }

    /// The load balancer's own span.
    fn arrive(&mut self, method: &str, route: &str, start: u64) -> (Open, u64) {
        let root = self.open(
            Service::LoadBalancer,
            None,
            (Kind::Server, &format!("{method} {route}")),
            start,
        );
        let client = format!("203.0.113.{}", self.rng.between(1, 254));
        self.note(root, "http.request.method", method);
        self.note(root, "http.route", route);
        self.note(root, "url.path", route);
        self.note(root, "url.scheme", "https");
        self.note(root, "server.address", "shop.example.com");
        self.note(root, "client.address", client);
        self.note(
            root,
            "user_agent.original",
            "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0",
        );
        (root, self.later(start, 80, 400))
    }

    fn leave(&mut self, root: Open, last: Answer) {
        self.note(root, "http.response.status_code", last.status);
        if last.status >= 500 {
            self.fail(root, "");
        }
        let end = self.later(last.at, 60, 300);
        self.close(root, end);
    }

    fn authenticate(&mut self, root: Open, at: u64) -> Answer {
        self.http_call(
            root,
            ("POST", "authentication", "/verify"),
            at,
            |teller, server, at| {
                let session = teller.open(Service::Authentication, Some(server), (Kind::Client, "GET"), at);
                teller.note(session, "db.system", "redis");
                teller.note(session, "db.statement", "GET session:?");
                teller.note(session, "peer.service", "session-store");
                let end = teller.later(at, 200, 1500);
                teller.close(session, end);
                let status = if teller.trouble == Trouble::BadToken {
                    401
                } else {
                    200
                };
                Answer {
                    at: teller.later(end, 100, 700),
                    status,
                }
            },
        )
    }

    fn catalogue(&mut self, server: Open, at: u64) -> Answer {
        let product = self.number(1, 4000);
        self.note(server, "shop.product.id", product);
        let query = self.open(
            Service::Catalogue,
            Some(server),
            (Kind::Client, "SELECT shop.products"),
            at,
        );
        self.note_database(query, "SELECT", "products", "catalogue-db");
        let (millis, down) = match self.trouble {
            Trouble::SlowCatalogue => (self.rng.between(650, 1600), false),
            Trouble::CatalogueDatabaseDown => (self.rng.between(3, 40), true),
            Trouble::Nothing
            | Trouble::BadToken
            | Trouble::SlowPayment
            | Trouble::CardNetworkTimesOut
            | Trouble::MailBounces => (self.rng.between(2, 30), false),
        };
        let end = at + millis * MILLI;
        if down {
            let what = ("ConnectionRefusedError", "connect ECONNREFUSED catalogue-db:5432");
            self.throw(
                query,
                what,
                "    at Pool.query (/app/db/pool.js:71:15)\n    at find (/app/products.js:18:9)",
                end,
            );
        }
        self.close(query, end);
        if down {
            self.fail(server, "the product could not be read");
        }
        Answer {
            at: self.later(end, 200, 2000),
            status: if down { 500 } else { 200 },
        }
    }

    fn orders(&mut self, server: Open, at: u64) -> Answer {
        let tier = *self.rng.pick(&["bronze", "silver", "gold"]).unwrap_or(&"bronze");
        let order = format!("A-{}", self.rng.between(100_000, 999_999));
        self.note(server, "shop.order.id", order.clone());
        self.note(server, "shop.customer.tier", tier);
        let price = self.open(
            Service::Orders,
            Some(server),
            (Kind::Internal, "price basket"),
            at,
        );
        let items = self.number(1, 9);
        self.note(price, "shop.basket.items", items);
        let basket = self.http_call(
            price,
            ("GET", "catalogue", "/products/{id}"),
            at + 50 * MICRO,
            Self::catalogue,
        );
        let priced = self.later(basket.at, 100, 900);
        self.note(price, "shop.basket.discounted", tier == "gold");
        if basket.status >= 500 {
            self.fail(price, "no price");
            self.close(price, priced);
            self.fail(server, "the basket has no price");
            return Answer {
                at: self.later(priced, 50, 200),
                status: 502,
            };
        }
        self.close(price, priced);
        let charge = self.http_call(server, ("POST", "payment", "/charges"), priced, Self::payment);
        if charge.status >= 500 {
            let thrown = self.later(charge.at, 20, 90);
            let stack = "Traceback (most recent call last):\n  File \"/app/orders/api.py\", line 88, in place_order\n    \
                         charge = payment.charge(order)\n  File \"/app/orders/payment.py\", line 31, in charge\n    \
                         raise PaymentFailed(order.id)\norders.payment.PaymentFailed: order was not charged";
            self.throw(
                server,
                ("orders.payment.PaymentFailed", "order was not charged"),
                stack,
                thrown,
            );
            return Answer {
                at: thrown,
                status: 502,
            };
        }
        let stored = self.database(server, "INSERT", "orders", charge.at);
        let published = self.publish(server, &order, stored);
        Answer {
            at: self.later(published, 80, 300),
            status: 201,
        }
    }

    fn payment(&mut self, server: Open, at: u64) -> Answer {
        let amount = self.rng.between(500, 25_000) as f64 / 100.0;
        self.note(server, "shop.payment.amount", Value::Double(amount));
        let card = self.open(Service::Payment, Some(server), (Kind::Client, "POST"), at);
        self.note(card, "http.request.method", "POST");
        self.note(card, "url.full", "https://api.cards.example/v3/charges");
        self.note(card, "server.address", "api.cards.example");
        self.note(card, "peer.service", "api.cards.example");
        let (millis, lost) = match self.trouble {
            Trouble::SlowPayment => (self.rng.between(700, 2500), false),
            Trouble::CardNetworkTimesOut => (self.rng.between(1000, 1020), true),
            Trouble::Nothing
            | Trouble::BadToken
            | Trouble::SlowCatalogue
            | Trouble::CatalogueDatabaseDown
            | Trouble::MailBounces => (self.rng.between(20, 120), false),
        };
        let end = at + millis * MILLI;
        if lost {
            let stack = "com.example.shop.payment.GatewayTimeout: no answer from the card network after 1000 ms\n\
                         \tat com.example.shop.payment.Gateway.charge(Gateway.java:88)\n\
                         \tat com.example.shop.payment.ChargeResource.post(ChargeResource.java:41)\n\
                         Caused by: java.net.SocketTimeoutException: Read timed out\n\
                         \tat java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:280)";
            let what = (
                "com.example.shop.payment.GatewayTimeout",
                "no answer from the card network after 1000 ms",
            );
            self.throw(card, what, stack, end);
            self.fail(server, "the card network did not answer");
        } else {
            self.note(card, "http.response.status_code", 200_i64);
        }
        self.close(card, end);
        Answer {
            at: self.later(end, 100, 900),
            status: if lost { 504 } else { 200 },
        }
    }

    /// The order goes into a queue; notification works on it later, in the same trace.
    fn publish(&mut self, server: Open, order: &str, at: u64) -> u64 {
        let publish = self.open(
            Service::Orders,
            Some(server),
            (Kind::Producer, "order-events publish"),
            at,
        );
        self.note_queue(publish, "publish");
        let end = self.later(at, 300, 2500);
        self.close(publish, end);

        let taken = self.later(end, 4_000, 60_000);
        let process = self.open(
            Service::Notification,
            Some(publish),
            (Kind::Consumer, "order-events process"),
            taken,
        );
        self.note_queue(process, "process");
        self.note(process, "shop.order.id", order.to_owned());
        let mail_at = self.later(taken, 200, 1500);
        let mail = self.open(
            Service::Notification,
            Some(process),
            (Kind::Client, "POST"),
            mail_at,
        );
        self.note(mail, "http.request.method", "POST");
        self.note(mail, "url.full", "https://mail.example/send");
        self.note(mail, "server.address", "mail.example");
        self.note(mail, "peer.service", "mail.example");
        let sent = self.later(mail_at, 5_000, 60_000);
        let bounces = self.trouble == Trouble::MailBounces;
        self.note(
            mail,
            "http.response.status_code",
            if bounces { 550_i64 } else { 202 },
        );
        if bounces {
            self.fail(mail, "550 mailbox unavailable");
            let stack = "   at Shop.Notification.Mailer.Send(Order order) in /src/Mailer.cs:line 54";
            self.throw(
                process,
                ("Shop.Notification.MailBounced", "mailbox unavailable"),
                stack,
                sent,
            );
        }
        self.close(mail, sent);
        let done = self.later(sent, 100, 800);
        self.close(process, done);
        end
    }

    /// A client span, the server span below it and what the server does.
    fn http_call(
        &mut self,
        parent: Open,
        (method, to, route): (&str, &str, &str),
        at: u64,
        serve: impl FnOnce(&mut Self, Open, u64) -> Answer,
    ) -> Answer {
        let client = self.open(parent.service, Some(parent), (Kind::Client, method), at);
        self.note(client, "http.request.method", method);
        self.note(
            client,
            "url.full",
            format!("http://{to}.shop.svc.cluster.local:8080{route}"),
        );
        self.note(client, "server.address", format!("{to}.shop.svc.cluster.local"));
        self.note(client, "server.port", 8080_i64);
        self.note(client, "peer.service", to);
        let service = Service::ALL
            .into_iter()
            .find(|service| service.name() == to)
            .unwrap_or(parent.service);
        let received = self.later(at, 150, 1200);
        let server = self.open(
            service,
            Some(client),
            (Kind::Server, &format!("{method} {route}")),
            received,
        );
        self.note(server, "http.request.method", method);
        self.note(server, "http.route", route);
        self.note(server, "url.path", route);
        self.note(server, "url.scheme", "http");
        self.note(server, "server.address", format!("{to}.shop.svc.cluster.local"));
        let begun = self.later(received, 50, 300);
        let answer = serve(self, server, begun);
        for span in [client, server] {
            self.note(span, "http.response.status_code", answer.status);
        }
        if answer.status >= 500 {
            // Instrumentation sets the status; a message only where the code gave one.
            self.fail_if_not_yet(server);
            self.fail(client, "");
        }
        self.close(server, answer.at);
        let end = self.later(answer.at, 150, 900);
        self.close(client, end);
        Answer {
            at: end,
            status: answer.status,
        }
    }

    fn database(&mut self, parent: Open, verb: &str, table: &str, at: u64) -> u64 {
        let query = self.open(
            parent.service,
            Some(parent),
            (Kind::Client, &format!("{verb} shop.{table}")),
            at,
        );
        self.note_database(query, verb, table, &format!("{}-db", parent.service.name()));
        let end = self.later(at, 1_000, 25_000);
        self.close(query, end);
        end
    }

    fn note_database(&mut self, query: Open, verb: &str, table: &str, host: &str) {
        let statement = match verb {
            "INSERT" => format!("INSERT INTO {table} (id, customer, total) VALUES ($1, $2, $3)"),
            _ => format!("SELECT * FROM {table} WHERE id = $1"),
        };
        self.note(query, "db.system", "postgresql");
        self.note(query, "db.name", "shop");
        self.note(query, "db.user", "shop");
        self.note(query, "db.statement", statement);
        self.note(query, "server.address", host);
        self.note(query, "peer.service", host);
    }

    fn note_queue(&mut self, span: Open, operation: &str) {
        self.note(span, "messaging.system", "kafka");
        self.note(span, "messaging.destination.name", "order-events");
        self.note(span, "messaging.operation.type", operation);
    }

    fn number(&mut self, low: u32, high: u32) -> i64 {
        i64::try_from(self.rng.between(low.into(), high.into())).unwrap_or(i64::MAX)
    }

    fn later(&mut self, at: u64, min_micros: u64, max_micros: u64) -> u64 {
        at + self.rng.between(min_micros * MICRO, max_micros * MICRO)
    }

    fn open(
        &mut self,
        service: Service,
        parent: Option<Open>,
        (kind, name): (Kind, &str),
        start: u64,
    ) -> Open {
        let remote = matches!(kind, Kind::Server | Kind::Consumer) && parent.is_some();
        let parent = parent
            .and_then(|parent| self.spans.get(parent.index))
            .map(|(_, span)| span.span_id);
        let span = Span {
            trace_id: self.trace_id,
            span_id: SpanId(self.rng.span_id()),
            parent,
            flags: if remote { FLAGS_REMOTE } else { FLAGS_LOCAL },
            name: name.to_owned(),
            kind,
            start_unix_nano: start,
            end_unix_nano: start,
            attributes: Vec::new(),
            events: Vec::new(),
            status: Status::Unset,
        };
        self.spans.push((service, span));
        Open {
            index: self.spans.len() - 1,
            service,
        }
    }

    fn note(&mut self, span: Open, key: &str, value: impl Into<Value>) {
        if let Some((_, span)) = self.spans.get_mut(span.index) {
            span.attributes.push((key.to_owned(), value.into()));
        }
    }

    fn fail(&mut self, span: Open, message: &str) {
        if let Some((_, span)) = self.spans.get_mut(span.index) {
            span.status = Status::Error(message.to_owned());
        }
    }

    fn fail_if_not_yet(&mut self, span: Open) {
        if self
            .spans
            .get(span.index)
            .is_some_and(|(_, span)| span.status == Status::Unset)
        {
            self.fail(span, "");
        }
    }

    /// An exception event, and the status that goes with it.
    fn throw(&mut self, span: Open, (kind, message): (&str, &str), stack: &str, at: u64) {
        self.fail(span, message);
        let attributes = [
            ("exception.type", kind),
            ("exception.message", message),
            ("exception.stacktrace", stack),
        ];
        if let Some((_, span)) = self.spans.get_mut(span.index) {
            span.events.push(Event {
                time_unix_nano: at,
                name: "exception".into(),
                attributes: attributes
                    .map(|(key, value)| (key.to_owned(), value.into()))
                    .to_vec(),
            });
        }
    }

    fn close(&mut self, span: Open, end: u64) {
        if let Some((_, span)) = self.spans.get_mut(span.index) {
            span.end_unix_nano = end;
        }
    }
}
