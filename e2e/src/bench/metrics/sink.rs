//! The receiving end of remote write over TLS: takes everything, counts the samples and adds up their times.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};

use crate::bench::metrics::payload::{Owed, Samples};
use crate::fake_xray::TestTls;
use crate::server::{Body, CloseConnection, Listen, Server};
use crate::snappy;
use crate::wire::{Field, Malformed, Reader};

/// Far above what a collector writes in one request.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Says of a resource what it is, as often as the program likes: no sample of anybody's.
const TARGET_INFO: &[u8] = b"target_info";

/// A running sink. It ends when dropped.
pub struct MetricsSink {
    tally: Arc<Mutex<Tally>>,
    server: Server,
    ca: tempfile::NamedTempFile,
}

/// What came so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests with samples or metadata that were taken.
    pub requests: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Series in them, `target_info` among them.
    pub series: u64,
    /// Samples, and their times, but those of `target_info`.
    pub came: Owed,
    /// Requests without a signature.
    pub unsigned: u64,
    /// Requests that could not be read.
    pub malformed: u64,
}

impl Tally {
    /// Samples of both kinds.
    pub(super) fn samples(&self) -> u64 {
        self.came.samples.floats + self.came.samples.natives
    }
}

impl MetricsSink {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When nothing can be bound, or the certificate cannot be made.
    pub async fn start() -> anyhow::Result<Self> {
        let tls = TestTls::new(&[])?;
        let ca = tempfile::Builder::new().suffix(".pem").tempfile()?;
        std::fs::write(ca.path(), tls.ca_pem())?;
        let tally = Arc::new(Mutex::new(Tally::default()));
        let listen = Listen {
            at: None,
            tls: Some(tls.acceptor()),
        };
        let of_server = Arc::clone(&tally);
        let server = Server::start(listen, move |request| take(Arc::clone(&of_server), request)).await?;
        Ok(Self { tally, server, ca })
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The file of its authority, PEM.
    pub fn ca_file(&self) -> &Path {
        self.ca.path()
    }

    /// What was counted.
    pub fn tally(&self) -> Tally {
        *lock(&self.tally)
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(
    tally: Arc<Mutex<Tally>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, CloseConnection> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
        return Err(CloseConnection);
    };
    let body = body.to_bytes();
    let mut tally = lock(&tally);
    tally.requests += 1;
    tally.bytes += body.len() as u64;
    let signed = parts.headers.get("authorization");
    let is_signed = signed.is_some_and(|value| value.as_bytes().starts_with(b"AWS4-HMAC-SHA256 "));
    tally.unsigned += u64::from(!is_signed);
    let read = match snappy::decode(&body, REQUEST_BYTES_MAX) {
        Ok(message) => count(&message, &mut tally).is_ok(),
        Err(snappy::Malformed(_)) => false,
    };
    tally.malformed += u64::from(!read);
    drop(tally);
    let mut response = Response::new(Full::new(Bytes::new()).boxed_unsync());
    if !read {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

/// Fields of `prompb`: request 1 = series; there 1 = label, 2 = sample, 4 = native histogram; there the time is 2 and 15.
fn count(message: &[u8], tally: &mut Tally) -> Result<(), Malformed> {
    for field in Reader::new(message) {
        if let (1, Field::Bytes(series)) = field? {
            tally.series += 1;
            if !is_target_info(series)? {
                count_series(series, &mut tally.came)?;
            }
        }
    }
    Ok(())
}

fn count_series(series: &[u8], came: &mut Owed) -> Result<(), Malformed> {
    let Samples { floats, natives } = &mut came.samples;
    for field in Reader::new(series) {
        let time = match field? {
            (2, Field::Bytes(sample)) => {
                *floats += 1;
                varint(sample, 2)?
            }
            (4, Field::Bytes(histogram)) => {
                *natives += 1;
                varint(histogram, 15)?
            }
            _ => 0,
        };
        came.times = came.times.wrapping_add(time);
    }
    Ok(())
}

fn is_target_info(series: &[u8]) -> Result<bool, Malformed> {
    for field in Reader::new(series) {
        let (1, Field::Bytes(label)) = field? else {
            return Ok(false);
        };
        let mut fields = Reader::new(label);
        if let Some(Ok((1, Field::Bytes(b"__name__")))) = fields.next() {
            return Ok(matches!(fields.next(), Some(Ok((2, Field::Bytes(TARGET_INFO))))));
        }
    }
    Ok(false)
}

fn varint(message: &[u8], wanted: u32) -> Result<u64, Malformed> {
    for field in Reader::new(message) {
        if let (number, Field::Varint(value)) = field?
            && number == wanted
        {
            return Ok(value);
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{Tally, count};
    use crate::remote_write::{Histogram, Sample, TimeSeries, WriteRequest};

    #[test]
    fn samples_are_counted_and_target_info_is_none() {
        let series = |name: &str, samples: usize, natives: usize| TimeSeries {
            labels: vec![
                ("A".to_owned(), "b".to_owned()),
                ("__name__".to_owned(), name.to_owned()),
            ],
            samples: vec![
                Sample {
                    bits: 1,
                    timestamp: 1_700_000_000_000,
                };
                samples
            ],
            histograms: vec![
                Histogram {
                    timestamp: 5,
                    ..Histogram::default()
                };
                natives
            ],
            ..TimeSeries::default()
        };
        let request = WriteRequest {
            series: vec![
                series("up", 2, 0),
                series("target_info", 7, 0),
                series("size", 0, 3),
            ],
            ..WriteRequest::default()
        };
        let mut tally = Tally::default();
        assert_eq!(count(&request.encode(), &mut tally), Ok(()));
        assert_eq!((tally.came.samples.floats, tally.came.samples.natives), (2, 3));
        assert_eq!(tally.came.times, 2 * 1_700_000_000_000 + 3 * 5);
        assert_eq!((tally.series, tally.samples()), (3, 5));
    }
}
