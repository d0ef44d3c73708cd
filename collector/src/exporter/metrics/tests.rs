//! The exporters that make series, each between batches and whom it serves.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracepipe_config::{
    ClientTls, LabelUnderscores, PrometheusSettings, RemoteWriteSettings, ResourcePromotion, RetrySettings,
    TranslationSettings, TranslationStrategy,
};

use super::*;
use crate::clock::Clock;
use crate::metrics::MetricsBatch;
use crate::metrics::testing::{batch, limiter, request, series};

const LIMIT: u64 = 256 << 20;

fn translation() -> TranslationSettings {
    TranslationSettings {
        namespace: None,
        strategy: TranslationStrategy::UnderscoreEscapingWithSuffixes,
        label_underscores: LabelUnderscores::Collapse,
        promote: ResourcePromotion::None,
        scope_info: false,
    }
}

fn exporter(kind: MetricsExporterKind) -> MetricsExporterSettings {
    MetricsExporterSettings {
        id: "sink".into(),
        kind,
    }
}

fn room(settings: &MetricsExporterSettings, limiter: &MemoryLimiter, queue_bytes_max: u64) -> Room {
    Room::of(std::slice::from_ref(settings), limiter, queue_bytes_max)
}

fn prometheus() -> MetricsExporterSettings {
    exporter(MetricsExporterKind::Prometheus(PrometheusSettings {
        endpoint: "127.0.0.1:0".parse().unwrap(),
        translation: translation(),
        const_labels: Vec::new(),
        send_timestamps: false,
        metric_expiration: Duration::from_secs(300),
        enable_open_metrics: true,
        max_series: 50_000,
    }))
}

/// To a port where nobody is.
fn remote_write() -> MetricsExporterSettings {
    exporter(MetricsExporterKind::RemoteWrite(Box::new(RemoteWriteSettings {
        endpoint: "http://127.0.0.1:9/api/v1/write".into(),
        auth: None,
        headers: Vec::new(),
        tls: ClientTls::Insecure,
        proxy_url: None,
        translation: translation(),
        external_labels: Vec::new(),
        target_info: true,
        target_info_interval: Duration::from_secs(60),
        send_metadata: false,
        metadata_interval: Duration::from_secs(60),
        timeout: Duration::from_secs(1),
        shards: 2,
        queue_size: 1_000,
        max_batch_size_bytes: 1_000_000,
        max_samples_per_send: 2_000,
        batch_send_deadline: Duration::from_secs(1),
        retry: RetrySettings {
            enabled: true,
            initial_interval: Duration::from_millis(50),
            max_interval: Duration::from_secs(5),
            max_elapsed_time: Duration::ZERO,
            multiplier: 2.0,
            randomization_factor: 1.0,
        },
        bisect: true,
        inject_zero: false,
        sample_age_limit: Duration::from_secs(3600),
        out_of_order_window: Duration::from_secs(60),
        max_streams: 100_000,
        max_stale: Duration::from_secs(300),
        max_native_buckets: 160,
    })))
}

async fn push(exporter: &MetricsExporter, batch: &Arc<MetricsBatch>) {
    exporter.expect(batch.points);
    exporter.push(batch).await;
}

/// Every data point handed on has come to one end.
fn assert_exact(account: &MetricsExporterAccount, handed_on: u64) {
    let lost: u64 = account.points.lost.values().sum();
    let dropped: u64 = account.dropped.values().sum();
    let it = &account.points;
    assert_eq!(
        it.exported + dropped + lost + it.waiting + it.in_flight,
        handed_on,
        "{account:?}"
    );
    if let Some(samples) = &account.samples {
        let lost: u64 = samples.lost.values().sum();
        let ends = samples.written + lost + samples.waiting + samples.in_flight;
        assert_eq!(samples.translated, ends, "{samples:?}");
    }
}

/// The head and the body of an answer.
async fn get(address: std::net::SocketAddr, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.to_ascii_lowercase(), answer[end + 4..].to_vec())
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    #[expect(clippy::disallowed_types, reason = "the test's own page")]
    flate2::read::GzDecoder::new(bytes)
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// One that is scraped, and where.
async fn page(limiter: &MemoryLimiter) -> (MetricsExporter, std::net::SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let settings = prometheus();
    let room = room(&settings, limiter, LIMIT);
    let exporter = MetricsExporter::build(&settings, Some(socket), limiter, room).await;
    (exporter.unwrap(), address)
}

#[tokio::test]
async fn series_that_nobody_scrapes_leave_the_memory_to_others() {
    let test = async {
        let limiter = limiter(16 << 20);
        let (exporter, _) = page(&limiter).await;
        let batch = batch(&limiter, &[series(20_000, Clock::unix_now())]);
        push(&exporter, &batch).await;
        let account = exporter.account();
        assert_exact(&account, batch.points);
        assert!(account.dropped["series_full"] > 0, "{account:?}");
        drop(batch);
        assert!(limiter.accounted() <= 2 << 20, "{}", limiter.accounted());
    };
    tokio::task::LocalSet::new().run_until(Box::pin(test)).await;
}

#[tokio::test]
async fn a_scraper_sees_the_last_values_in_the_format_that_it_takes() {
    let test = async {
        let limiter = limiter(LIMIT);
        let (exporter, address) = page(&limiter).await;
        let mut tasks = MetricsTasks::default();
        exporter.spawn(&mut tasks).unwrap();

        let count = 20_000;
        let batch = batch(&limiter, &[series(count, Clock::unix_now()), request(3, 1)]);
        push(&exporter, &batch).await;
        let account = exporter.account();
        assert_exact(&account, batch.points);
        assert!(account.points.exported >= count as u64, "{account:?}");
        let held = account.series.unwrap();
        assert!(held.series >= count, "{held:?}");
        drop(batch);
        // What is held is in the memory account.
        assert_eq!(limiter.accounted(), held.bytes as u64);

        let (head, page) = get(address, "/metrics", "").await;
        assert!(head.starts_with("http/1.0 200"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("\nup{k=\"19999\"} 1.5\n"));
        let accept = "accept: application/openmetrics-text;version=1.0.0\r\naccept-encoding: gzip\r\n";
        let (head, zipped) = get(address, "/metrics", accept).await;
        assert!(head.contains("content-encoding: gzip"), "{head}");
        assert!(
            head.contains("application/openmetrics-text; version=1.0.0"),
            "{head}"
        );
        assert!(zipped.len() < page.len() / 3);
        let unzipped = gunzip(&zipped);
        assert!(unzipped.contains("up{k=\"19999\"} 1.5\n") && unzipped.ends_with("# EOF\n"));

        let (head, body) = get(address, "/", "").await;
        assert!(head.starts_with("http/1.0 404"), "{head}");
        assert_eq!(body, b"the series are at /metrics\n");
        // The pages are given back.
        assert_eq!(
            limiter.accounted(),
            exporter.account().series.unwrap().bytes as u64
        );
    };
    tokio::task::LocalSet::new().run_until(Box::pin(test)).await;
}

/// A page of 20 MB, more than the buffers of a connection take.
async fn long_page(limiter: &MemoryLimiter) -> (MetricsExporter, MetricsTasks, std::net::SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let mut settings = prometheus();
    if let MetricsExporterKind::Prometheus(settings) = &mut settings.kind {
        settings.translation.promote = ResourcePromotion::All {
            exclude_service_attributes: false,
        };
    }
    let exporter =
        MetricsExporter::build(&settings, Some(socket), limiter, room(&settings, limiter, LIMIT)).await;
    let exporter = exporter.unwrap();
    let mut tasks = MetricsTasks::default();
    exporter.spawn(&mut tasks).unwrap();
    let long = below_a_large_resource(&series(10_000, Clock::unix_now()), 2_000);
    push(&exporter, &batch(limiter, &[long])).await;
    assert_eq!(exporter.account().points.exported, 10_000);
    (exporter, tasks, address)
}

/// A scraper that asks, sees the head of the answer, and reads no further.
async fn ask_and_wait(address: std::net::SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    (stream, String::from_utf8(head.to_vec()).unwrap())
}

#[tokio::test]
async fn scrapers_that_do_not_read_hold_little_and_are_few() {
    let test = async {
        let limiter = limiter(LIMIT);
        let (_exporter, _tasks, address) = long_page(&limiter).await;
        let before = limiter.accounted();

        let mut readers = Vec::new();
        for _ in 0..8 {
            let (stream, head) = ask_and_wait(address).await;
            assert_eq!(head, "HTTP/1.0 200");
            readers.push(stream);
        }
        let (_, refused) = ask_and_wait(address).await;
        assert_eq!(refused, "HTTP/1.0 503");
        let held = limiter.accounted() - before;
        assert!((8..=12 << 20).contains(&held), "{held}");

        // One that goes makes room.
        drop(readers.pop());
        while limiter.accounted() - before >= held {
            tokio::task::yield_now().await;
        }
        let (_stream, head) = ask_and_wait(address).await;
        assert_eq!(head, "HTTP/1.0 200");
    };
    tokio::task::LocalSet::new().run_until(Box::pin(test)).await;
}

#[tokio::test]
async fn one_scraper_at_a_time_is_answered_though_memory_is_short() {
    let test = async {
        let limiter = limiter(LIMIT);
        let (_exporter, _tasks, address) = long_page(&limiter).await;
        let _others = limiter.hold(LIMIT);
        let (_stream, head) = ask_and_wait(address).await;
        assert_eq!(head, "HTTP/1.0 200");
        let (head, body) = get(address, "/metrics", "").await;
        assert!(head.starts_with("http/1.0 503"), "{head}");
        assert!(head.contains("retry-after: 5"), "{head}");
        assert!(String::from_utf8(body).unwrap().contains("memory is short"));
    };
    tokio::task::LocalSet::new().run_until(Box::pin(test)).await;
}

#[tokio::test]
async fn what_becomes_samples_waits_for_its_receiver_and_is_told_of_at_the_end() {
    let test = async {
        let limiter = limiter(LIMIT);
        let exporter = MetricsExporter::build(
            &remote_write(),
            None,
            &limiter,
            room(&remote_write(), &limiter, 8 << 20),
        )
        .await
        .unwrap();
        let mut tasks = MetricsTasks::default();
        exporter.spawn(&mut tasks).unwrap();
        let batch = batch(&limiter, &[series(3_000, Clock::unix_now()), request(4, 1)]);
        push(&exporter, &batch).await;
        let account = exporter.account();
        assert_exact(&account, batch.points);
        assert_eq!(account.points.exported, 3_000);
        assert_eq!(account.dropped, [("no_timestamp", 4)].into());
        assert_eq!(account.samples.as_ref().unwrap().translated, 3_000);
        drop(batch);
        assert!(limiter.accounted() > 0);

        exporter.drain(Duration::from_millis(200));
        while tasks.senders.join_next().await.is_some() {}
        let account = exporter.account();
        assert_exact(&account, 3_004);
        let samples = account.samples.unwrap();
        assert_eq!((samples.waiting, samples.in_flight, samples.written), (0, 0, 0));
        assert!(account.points.requests > 0, "nobody was asked");
        tasks.services.shutdown().await;
        drop(exporter);
        assert_eq!(limiter.accounted(), 0);
    };
    tokio::task::LocalSet::new().run_until(Box::pin(test)).await;
}

/// Each of its points repeats a resource of 100 kB: all at once they would be gigabytes.
#[tokio::test]
async fn a_hostile_request_is_translated_within_the_queue() {
    let test = async {
        let limiter = limiter(LIMIT);
        let mut settings = remote_write();
        if let MetricsExporterKind::RemoteWrite(settings) = &mut settings.kind {
            settings.translation.promote = ResourcePromotion::All {
                exclude_service_attributes: false,
            };
        }
        let queue_bytes_max = 4 << 20;
        let exporter = MetricsExporter::build(
            &settings,
            None,
            &limiter,
            room(&settings, &limiter, queue_bytes_max),
        )
        .await
        .unwrap();
        let hostile = below_a_large_resource(&series(20_000, Clock::unix_now()), 40_000);
        let batch = batch(&limiter, &[hostile]);
        let of_batch = limiter.accounted();
        exporter.expect(batch.points);
        let mut most = 0;
        let mut pushing = std::pin::pin!(exporter.push(&batch));
        std::future::poll_fn(|context| {
            let polled = pushing.as_mut().poll(context);
            most = most.max(limiter.accounted() - of_batch);
            polled
        })
        .await;
        assert_exact(&exporter.account(), batch.points);
        let remembered_max = limiter.series_bytes_max(1);
        assert!(most <= queue_bytes_max + remembered_max + (64 << 10), "{most}");
    };
    tokio::task::LocalSet::new().run_until(Box::pin(test)).await;
}

#[tokio::test]
async fn series_without_end_leave_memory_to_what_comes_in() {
    let test = async {
        let limiter = limiter(64 << 20);
        let mut settings = remote_write();
        if let MetricsExporterKind::RemoteWrite(settings) = &mut settings.kind {
            settings.translation.promote = ResourcePromotion::All {
                exclude_service_attributes: false,
            };
        }
        let queue_bytes_max = limiter.export_queue_bytes_max();
        let exporter = MetricsExporter::build(
            &settings,
            None,
            &limiter,
            room(&settings, &limiter, queue_bytes_max),
        )
        .await
        .unwrap();
        let mut points = 0;
        for number in 0..300 {
            // Each of a resource of its own, which each of its series repeats.
            let new = below_a_large_resource(&series(20, Clock::unix_now()), 30_000 + number);
            let batch = batch(&limiter, &[new]);
            push(&exporter, &batch).await;
            points += batch.points;
            drop(batch);
            assert!(
                limiter.try_reserve(8 << 20).is_ok(),
                "after {number}: {}",
                limiter.accounted()
            );
        }
        assert!(
            limiter.accounted() > queue_bytes_max,
            "the queue is full, and more is remembered"
        );
        assert_exact(&exporter.account(), points);
    };
    tokio::task::LocalSet::new().run_until(Box::pin(test)).await;
}

#[tokio::test]
async fn a_data_point_that_is_too_large_is_lost_alone() {
    let test = async {
        let limiter = limiter(LIMIT);
        let exporter = MetricsExporter::build(
            &remote_write(),
            None,
            &limiter,
            room(&remote_write(), &limiter, 8 << 20),
        )
        .await
        .unwrap();
        let small = series(2_000, Clock::unix_now());
        let large = below_a_large_resource(&series(3, Clock::unix_now()), 200_000);
        let batch = batch(&limiter, &[small, large]);
        push(&exporter, &batch).await;
        let account = exporter.account();
        assert_exact(&account, 2_003);
        assert_eq!(account.points.exported, 2_000);
        assert_eq!(account.points.lost, [("too_large", 3)].into());
    };
    tokio::task::LocalSet::new().run_until(Box::pin(test)).await;
}

fn below_a_large_resource(request: &Bytes, attribute_bytes: usize) -> Bytes {
    use tracepipe_otlp::edit::{ResourceEdit, ResourceEditOp, Value, edit_metrics};
    let edit = ResourceEdit {
        key: "large".into(),
        op: ResourceEditOp::Upsert(Value::String("x".repeat(attribute_bytes))),
    };
    let mut edited = Vec::new();
    edit_metrics(request, &[edit], &mut edited);
    edited.into()
}
