//! The way to a real socket.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::exporter::remote_write::transport::{Answer, Fault};

/// The head of a request, of which the body is read too.
async fn request(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    socket.read_exact(&mut body).await.unwrap();
    assert_eq!(body, b"body");
    head
}

async fn listen(change: impl FnOnce(&mut RemoteWriteSettings)) -> (TcpListener, Transport) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = RemoteWriteSettings {
        endpoint: format!("http://{}/write", listener.local_addr().unwrap()),
        tls: ClientTls::Insecure,
        ..settings()
    };
    change(&mut settings);
    let way = network::Way {
        setting: "exporters.prometheusremotewrite",
        proxy: None,
        proxy_key: "proxy_url",
        ca_file: None,
        is_secure: false,
        is_of_aws: false,
    };
    let connector = network::connector(&way, &|_| None).unwrap();
    (listener, Transport::new(&settings, connector, None).unwrap())
}

#[tokio::test]
async fn a_connection_is_used_again_whatever_was_answered_and_a_long_body_is_cut() {
    let (listener, transport) = listen(|_| ()).await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = request(&mut socket).await;
        assert!(head.starts_with("post /write http/1.1\r\n"), "{head}");
        let long = "x".repeat(5000);
        let answer =
            format!("HTTP/1.1 400 Bad Request\r\nretry-after: 7\r\ncontent-length: 5000\r\n\r\n{long}");
        socket.write_all(answer.as_bytes()).await.unwrap();
        request(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
    });
    let refused = transport.send(Bytes::from_static(b"body")).await.unwrap();
    assert_eq!((refused.status, refused.body.len()), (400, 1024));
    assert_eq!(refused.retry_after.as_deref(), Some("7"));
    let taken = transport.send(Bytes::from_static(b"body")).await.unwrap();
    assert_eq!(
        taken,
        Answer {
            status: 204,
            code: String::new(),
            retry_after: None,
            date: None,
            is_signed_off: false,
            body: Vec::new(),
        }
    );
    server.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_or_is_refused_is_a_fault_that_says_why() {
    let (listener, transport) = listen(|_| ()).await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        request(&mut socket).await;
    });
    let broken = transport.send(Bytes::from_static(b"body")).await.unwrap_err();
    assert!(matches!(broken, Fault::Connection { .. }), "{broken:?}");
    assert!(broken.is_out(), "the receiver had it: {broken:?}");
    server.await.unwrap();
    // Nobody listens any more.
    let refused = transport.send(Bytes::from_static(b"body")).await.unwrap_err();
    assert!(
        refused.cause().is_some_and(|cause| cause.contains("refused")),
        "{refused:?}"
    );
    assert!(!refused.is_out(), "nobody can have it: {refused:?}");
}

#[tokio::test]
async fn nobody_has_what_waits_for_the_handshake_of_tls() {
    let (listener, transport) = listen(|settings| {
        settings.endpoint = settings.endpoint.replace("http://", "https://");
        settings.timeout = Duration::from_millis(200);
    })
    .await;
    let late = transport.send(Bytes::from_static(b"body")).await.unwrap_err();
    assert_eq!(late, Fault::Timeout { is_out: false });
    drop(listener);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let (listener, transport) = listen(|settings| settings.timeout = seconds(1)).await;
    let late = transport.send(Bytes::from_static(b"body")).await.unwrap_err();
    assert_eq!(late, Fault::Timeout { is_out: true }, "the receiver may have it");
    drop(listener);
}
