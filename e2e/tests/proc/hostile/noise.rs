//! Bytes that are no request at all, on every port.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracepipe_e2e::rng::Rng;

use super::site::{Honest, Site, soon};
use super::{MIB, bodies, http2};

const CONNECTIONS: u64 = 100;

/// The beginning of a TLS handshake.
const TLS_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

fn throws() -> Vec<Vec<u8>> {
    let mut lengths = Rng::new(1);
    let mut throws: Vec<Vec<u8>> = (0..CONNECTIONS)
        .map(|number| bodies::noise(number, lengths.between(1, 10_000) as usize))
        .collect();
    throws.push(bodies::noise(1, 4 * MIB));
    throws.push(vec![0; 4 * MIB]);
    throws.push(TLS_HELLO.to_vec());
    // Good beginnings, of the other port's protocol too.
    for start in [
        http2::preface(),
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n".to_vec(),
    ] {
        throws.push([&start[..], &bodies::noise(2, 5_000)].concat());
        throws.push(start);
    }
    throws
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_on_every_port_is_refused_or_closed() {
    let site = Site::open().await;
    for (server, port) in site.ports() {
        for bytes in throws() {
            let stream = soon("a connection", TcpStream::connect(port)).await.unwrap();
            let (mut read, mut write) = stream.into_split();
            let writing = tokio::spawn(async move {
                // A server that has closed is seen by the reader.
                write.write_all(&bytes).await.ok();
                write.shutdown().await.ok();
            });
            let mut answer = Vec::new();
            // A reset is a close, too.
            soon("the end of the connection", read.read_to_end(&mut answer))
                .await
                .ok();
            writing.await.unwrap();
            let is_http2 = server == "otlp_grpc";
            assert!(
                answer.is_empty() || is_http2 || answer.starts_with(b"HTTP/1.1 4"),
                "{server}: {}",
                String::from_utf8_lossy(&answer)
            );
        }
    }
    site.close(Honest::AllAccepted, 0).await;
}
