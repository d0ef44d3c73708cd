//! Hundreds of connections at a time that begin something and do not go on, on each port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Interval, interval};
use tracepipe_e2e::clock;
use tracepipe_e2e::http_get::http_get;

use super::bodies::{self, claim, framed};
use super::http1::{Connection, head, request};
use super::http2::{self, After, Client, END_HEADERS, Feed, Kind};
use super::site::{Honest, Site, soon, within};

const CROWD: usize = 500;
/// Others that stall at another point meanwhile.
const SIDE_CROWD: usize = 100;

/// Both ends of a connection are open files, and a process may often have 1024 only: then one crowd comes at a time.
static ROOM: LazyLock<Semaphore> = LazyLock::new(|| {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let files = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    Semaphore::new(files.map_or(1, |files: usize| (files / 1000).max(1)))
});

/// Heads and bodies have 10 s (15 s on the collector's own ports). A busy machine may be late, and no honest client may
/// be given up much earlier.
const GIVEN_UP_AFTER: Range<Duration> = Duration::from_secs(9)..Duration::from_secs(20);

/// Scrapes give up after 10 s by default, the kubelet's probes when three of 1 s in a row fail. Machines that run tests
/// are busier than nodes.
const PROBE_TIME_MAX: Duration = Duration::from_secs(5);
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// What one of the crowd does after it has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    AByteASecond,
}

impl Then {
    fn of(number: usize) -> Self {
        if number.is_multiple_of(2) {
            Self::Nothing
        } else {
            Self::AByteASecond
        }
    }

    /// Writes after what `connection` has begun until there is an answer, or the connection is closed.
    async fn feed(self, connection: Connection, byte: &[u8]) -> (Connection, Option<super::http1::Answer>) {
        match self {
            Self::Nothing => connection.feed(&[], 0, None).await,
            Self::AByteASecond => connection.feed(byte, 60, Some(a_second())).await,
        }
    }
}

fn a_second() -> Interval {
    interval(Duration::from_secs(1))
}

/// Runs a crowd to its end.
async fn crowd<F>(size: usize, one: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut crowd = JoinSet::new();
    for number in 0..size {
        crowd.spawn(one(number));
    }
    while let Some(ended) = crowd.join_next().await {
        ended.unwrap();
    }
}

fn assert_given_up_in_time(started: std::time::Instant, what: &str) {
    let waited = clock::now().saturating_duration_since(started);
    assert!(GIVEN_UP_AFTER.contains(&waited), "{what}: after {waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_requests_that_do_not_come_time_out_and_hold_up_nobody() {
    let _room = ROOM.acquire().await.unwrap();
    let site = Site::open().await;
    let http = site.http();
    let bodies = crowd(CROWD, |number| http_body_that_does_not_come(http, number));
    let heads = crowd(SIDE_CROWD, |number| async move {
        let mut connection = Connection::open(http).await;
        connection.write(b"POST /v1/traces HTTP/1.1\r\nx: ").await;
        let started = clock::now();
        let (mut connection, answer) = Then::of(number).feed(connection, b"x").await;
        assert_given_up_in_time(started, "a head");
        assert!(answer.is_none_or(|answer| answer.status == 408));
        connection.rest().await;
    });
    tokio::join!(bodies, heads);
    let account = site.close(Honest::AllAccepted, 0).await;
    let refused = account.by_label("tracepipe_requests_refused", "reason");
    assert_eq!(refused, BTreeMap::from([("too_slow".to_owned(), CROWD as u64)]));
}

async fn http_body_that_does_not_come(http: SocketAddr, number: usize) {
    let (form, coding, byte): (_, _, &[u8]) = if number % 4 < 2 {
        ("application/json", "content-length: 1000000", b" ")
    } else {
        (
            "application/x-protobuf",
            "transfer-encoding: chunked",
            b"1\r\nx\r\n",
        )
    };
    let kind = format!("content-type: {form}");
    let mut connection = Connection::open(http).await;
    connection.write(&head("POST /v1/traces", &[&kind, coding])).await;
    let started = clock::now();
    let (mut connection, answer) = Then::of(number).feed(connection, byte).await;
    let answer = answer.expect("an answer");
    assert_given_up_in_time(started, "a body");
    // 4 is DEADLINE_EXCEEDED.
    let told = (
        answer.status,
        answer.rpc_status().code,
        answer.header("content-type"),
    );
    assert_eq!(told, (408, 4, Some(form)));
    assert!(answer.says_close());
    assert_eq!(connection.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_requests_that_do_not_come_time_out_and_hold_up_nobody() {
    let _room = ROOM.acquire().await.unwrap();
    let site = Site::open().await;
    let grpc = site.grpc();
    let bodies = crowd(CROWD, |number| grpc_body_that_does_not_come(grpc, number));
    let preface = http2::preface();
    // Nothing, a part of HTTP/2's preface, and all of it without the settings that must follow.
    let beginnings = [Vec::new(), preface[..10].to_vec(), preface[..24].to_vec()];
    let prefaces = crowd(SIDE_CROWD, |number| {
        let begun = beginnings[number % beginnings.len()].clone();
        async move {
            let stream = soon("a connection", TcpStream::connect(grpc)).await.unwrap();
            let (mut read, mut write) = stream.into_split();
            let started = clock::now();
            write.write_all(&begun).await.unwrap();
            let ended = http2::end_of(&mut read);
            within(
                "the end of a connection that does not begin",
                GIVEN_UP_AFTER.end,
                ended,
            )
            .await;
            assert_given_up_in_time(started, "a preface");
        }
    });
    tokio::join!(bodies, prefaces);
    let account = site.close(Honest::AllAccepted, CROWD as u64).await;
    let refused = account.by_label("tracepipe_requests_refused", "reason");
    assert_eq!(refused, BTreeMap::from([("too_slow".to_owned(), CROWD as u64)]));
}

async fn grpc_body_that_does_not_come(grpc: SocketAddr, number: usize) {
    let mut client = Client::open(grpc).await;
    // Half of them announce a message, the others nothing.
    let begun = if number % 4 < 2 {
        claim(0, 1_000_000).to_vec()
    } else {
        Vec::new()
    };
    let after = match Then::of(number) {
        Then::Nothing => After::Silence,
        Then::AByteASecond => After::Drip(a_second()),
    };
    let started = clock::now();
    let answer = client.export(&[], Feed::new(begun, after)).await;
    assert_given_up_in_time(started, "a body");
    // DEADLINE_EXCEEDED, which OTLP calls retryable.
    assert_eq!(answer.code, 4, "{answer:?}");
    // It was the call that was too slow; the connection carries the next.
    let good = client.export(&[], Feed::whole(framed(0, &bodies::good()))).await;
    assert_eq!(good.code, 0, "{good:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_headers_do_not_end_hold_up_nobody() {
    let _room = ROOM.acquire().await.unwrap();
    let site = Site::open().await;
    let mut begun = http2::preface();
    // END_HEADERS does not come.
    http2::frame(&mut begun, (Kind::Headers, 0), 1, &http2::export_headers());
    let mut open = Vec::new();
    for _ in 0..CROWD {
        let mut stream = soon("a connection", TcpStream::connect(site.grpc()))
            .await
            .unwrap();
        stream.write_all(&begun).await.unwrap();
        open.push(stream);
    }
    let answer = http2::export(site.grpc(), &[], Feed::whole(framed(0, &bodies::good()))).await;
    assert_eq!(answer.code, 0);
    // An endless header block ends the connection long before it fills the memory.
    let mut endless = begun;
    for _ in 0..2_000 {
        http2::frame(&mut endless, (Kind::Continuation, 0), 1, &http2::export_headers());
    }
    assert!(matches!(
        http2::provoke(site.grpc(), &endless).await,
        http2::End::Goaway(_)
    ));
    drop(open);
    site.close(Honest::AllAccepted, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection_and_hold_up_nobody() {
    let site = Site::open().await;
    let mut burst = http2::preface();
    let headers = http2::export_headers();
    for call in 0..20_000 {
        let stream = call * 2 + 1;
        http2::frame(&mut burst, (Kind::Headers, END_HEADERS), stream, &headers);
        // CANCEL.
        http2::frame(&mut burst, (Kind::RstStream, 0), stream, &8_u32.to_be_bytes());
    }
    for _ in 0..10 {
        // ENHANCE_YOUR_CALM.
        assert_eq!(http2::provoke(site.grpc(), &burst).await, http2::End::Goaway(11));
    }
    site.close(Honest::AllAccepted, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collectors_own_ports_answer_through_a_crowd() {
    let _room = ROOM.acquire().await.unwrap();
    let site = Site::open().await;
    let [_, _, (_, metrics), (_, health)] = site.ports();
    let attack = crowd(CROWD, |number| async move {
        let port = if number % 4 < 2 { metrics } else { health };
        let mut connection = Connection::open(port).await;
        let started = clock::now();
        connection.write(b"GET /metrics HTTP/1.1\r\nx: ").await;
        let (mut connection, answer) = Then::of(number).feed(connection, b"x").await;
        // Some may be turned away at once.
        assert!(answer.is_none_or(|answer| [408, 503].contains(&answer.status)));
        connection.rest().await;
        let waited = clock::now().saturating_duration_since(started);
        assert!(waited < GIVEN_UP_AFTER.end, "a head: after {waited:?}");
    });
    let mut ticks = interval(PROBE_INTERVAL);
    let probes = async {
        loop {
            ticks.tick().await;
            for (port, path) in [(metrics, "/metrics"), (health, "/livez"), (health, "/readyz")] {
                let (status, text) = within(path, PROBE_TIME_MAX, http_get(port, path)).await.unwrap();
                assert_eq!(status, 200, "{path}: {text}");
            }
        }
    };
    tokio::select! {
        () = attack => {}
        () = probes => {}
    }
    site.close(Honest::AllAccepted, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collectors_own_ports_read_no_bodies() {
    let site = Site::open().await;
    for (server, port) in &site.ports()[2..] {
        for line in [
            "POST /metrics",
            "POST /livez",
            "GET /metrics",
            "PUT /",
            "DELETE /readyz",
        ] {
            for length in ["content-length: 104857600", "transfer-encoding: chunked"] {
                // A body that never comes, and one that comes whole.
                for pieces in [0, 100] {
                    let mut connection = Connection::open(*port).await;
                    connection.write(&head(line, &[length])).await;
                    let piece = vec![b'x'; super::MIB];
                    let (mut connection, answer) = connection.feed(&piece, pieces, None).await;
                    let answer = answer.expect("an answer");
                    assert!(
                        [200, 404, 405].contains(&answer.status),
                        "{server} {line}: {}",
                        answer.status
                    );
                    connection.rest().await;
                }
            }
        }
        let mut connection = Connection::open(*port).await;
        let lost = connection.ask(&request("GET /v1/traces", &[], b"")).await;
        assert_eq!(lost.status, 404, "{server}");
    }
    site.close(Honest::AllAccepted, 0).await;
}
