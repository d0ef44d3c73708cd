use std::convert::Infallible;

use bytes::Bytes;
use http::Response;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tracepipe_config::{MemoryLimiterSettings, QueueSettings};
use tracepipe_otlp::TraceId;

use super::*;
use crate::account::ExporterAccount;
use crate::batcher::Batcher;
use crate::exporter::SendingQueue;
use crate::ingest::{SampledTrace, SampledTraces};

fn is_retryable(status: &Status) -> bool {
    matches!(classify(status), Failure::Retryable { .. })
}

#[test]
fn resource_exhausted_is_tried_again_only_when_the_server_says_when() {
    assert!(!is_retryable(&Status::resource_exhausted("")));
    let details = proto::Status {
        code: 8,
        message: String::new(),
        details: vec![proto::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
            value: proto::RetryInfo {
                retry_delay: Some(proto::Duration { seconds: 2, nanos: 5 }),
            }
            .encode_to_vec(),
        }],
    };
    let status = Status::with_details(Code::ResourceExhausted, "", details.encode_to_vec().into());
    assert!(is_retryable(&status));
    assert_eq!(retry_info(status.details()), Some(Duration::new(2, 5)));
}

#[test]
fn a_message_that_is_wrong_is_never_sent_twice() {
    assert!(!is_retryable(&Status::invalid_argument("")));
    assert!(is_retryable(&Status::unavailable("")));
    assert!(is_retryable(&Status::out_of_range("of the backend's own")));
}

fn settings(authority: String, compression: Compression) -> OtlpExporterSettings {
    OtlpExporterSettings {
        authority,
        tls: ClientTls::Insecure,
        compression,
        headers: Vec::new(),
        timeout: Duration::from_secs(60),
        queue: QueueSettings {
            num_consumers: 1,
            queue_size: 10,
        },
        retry: RetrySettings {
            enabled: true,
            initial_interval: Duration::ZERO,
            max_interval: Duration::ZERO,
            max_elapsed_time: Duration::ZERO,
            multiplier: 1.0,
            randomization_factor: 0.0,
        },
    }
}

/// A backend that takes everything and says so in `answer_bytes` bytes.
async fn backend(answer_bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |_request| async move {
            let length = u32::try_from(answer_bytes).unwrap().to_be_bytes();
            let message = [&[0][..], &length, &vec![0; answer_bytes]].concat();
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            let frames = [Frame::data(Bytes::from(message)), Frame::trailers(trailers)];
            let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
            let response = Response::builder().header("content-type", "application/grpc");
            Ok::<_, Infallible>(response.body(body).unwrap())
        });
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
            .unwrap();
    });
    authority
}

fn limiter() -> MemoryLimiter {
    MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes: 1 << 30,
        spike_bytes: 0,
    })
}

/// What becomes of a batch of three spans, and the most bytes that the account came to meanwhile.
async fn exported(authority: String, compression: Compression) -> (ExporterAccount, u64) {
    let limiter = limiter();
    let queue = SendingQueue::new("otlp".into(), u64::MAX, u64::MAX);
    queue.expect(3);
    let request = Bytes::from(vec![0; 1000]);
    let released = SampledTraces {
        traces: vec![SampledTrace {
            trace_id: TraceId::default(),
            range: 0..request.len(),
            span_count: 3,
            is_whole: true,
        }],
        since: Duration::ZERO,
        held: limiter.hold(request.len() as u64),
        spans: request,
    };
    let batches = Batcher::new(None).push(released);
    batches.into_iter().for_each(|batch| queue.push(batch));
    let (batch, progress) = queue.take().await.unwrap();
    let waiting = limiter.accounted();
    let exporter = OtlpExporter::build(&settings(authority, compression), limiter.clone()).unwrap();
    let mut most = 0;
    {
        let mut exporting = std::pin::pin!(exporter.export(&*batch, progress));
        std::future::poll_fn(|context| {
            let polled = exporting.as_mut().poll(context);
            most = most.max(limiter.accounted());
            polled
        })
        .await;
    }
    assert_eq!(limiter.accounted(), waiting);
    (queue.account(), most)
}

#[tokio::test]
async fn an_answer_larger_than_allowed_ends_the_batch() {
    let (account, _) = exported(backend(5 << 20).await, Compression::None).await;
    assert_eq!(account.lost, [("answer_too_large", 3)].into());
    assert_eq!((account.requests, account.in_flight), (1, 0));
}

#[tokio::test]
async fn a_batch_is_sent_as_it_lies_and_compressed_within_the_account() {
    for (compression, beside) in [
        (Compression::None, 0..1),
        (Compression::Gzip, 1..1_000),
        (Compression::Zstd, 1..1_000),
    ] {
        let (account, most) = exported(backend(0).await, compression).await;
        let lost: u64 = account.lost.values().sum();
        assert_eq!((account.exported, lost), (3, 0), "{compression:?}");
        assert!(beside.contains(&(most - 1000)), "{compression:?}: {most}");
    }
}

/// What is made of an answer with these headers and without a body.
async fn answered(status: u16, headers: &[(&str, &str)]) -> Failure {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let response = response.body(tonic::body::Body::empty()).unwrap();
    match wire::answer(response, &limiter()).await {
        Err(NoAnswer::Status(status)) => classify(&status),
        Err(NoAnswer::TooLarge) => Failure::Permanent("answer_too_large"),
        Ok(_) => Failure::Permanent("ok"),
    }
}

#[tokio::test]
async fn an_answer_without_a_message_says_what_to_do_in_its_headers() {
    let full = answered(200, &[("grpc-status", "8")]).await;
    assert!(matches!(full, Failure::Permanent("resource_exhausted")));
    let down = answered(200, &[("grpc-status", "14")]).await;
    assert!(matches!(
        down,
        Failure::Retryable {
            reason: "unavailable",
            ..
        }
    ));
    let fine = answered(200, &[("grpc-status", "0")]).await;
    assert!(matches!(fine, Failure::Permanent("ok")));
    let silent = answered(200, &[]).await;
    assert!(matches!(
        silent,
        Failure::Retryable {
            reason: "unknown",
            ..
        }
    ));
}

#[tokio::test]
async fn a_proxy_in_between_says_it_in_http() {
    let proxy = answered(503, &[]).await;
    assert!(matches!(
        proxy,
        Failure::Retryable {
            reason: "unavailable",
            ..
        }
    ));
    let closed = answered(403, &[]).await;
    assert!(matches!(closed, Failure::Permanent("permission_denied")));
}
