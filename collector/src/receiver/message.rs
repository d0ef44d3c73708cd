//! From a body as it came to the bytes of an OTLP request: inflated, and in protobuf.

use tracepipe_otlp::json::{metrics_bytes_max, metrics_json_to_protobuf, traces_json_to_protobuf};

use super::body::{Admitted, Compression};
use super::inflate::{Bounds, Inflater, Stop};
use super::rejection::Rejection;
use crate::account::Signal;
use crate::limiter::MemoryLimiter;

/// The content type of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/x-protobuf`, and everything over gRPC.
    Protobuf,
    /// `application/json`.
    Json,
}

/// A body as it came, and what is known of it.
#[derive(Debug)]
pub(crate) struct Message {
    /// Its bytes, without gRPC's prefix.
    pub(crate) admitted: Admitted,
    /// How they are compressed.
    pub(crate) compression: Option<Compression>,
    /// What they are when they are not.
    pub(crate) format: Format,
    /// What the request carries.
    pub(crate) signal: Signal,
}

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// The bytes of a request in protobuf, not yet looked at.
    Whole(Signal, Admitted),
    /// It is longer than what is worked on at a stretch.
    TooLongHere(Message),
}

// === impl Message ===

impl Message {
    /// Inflates the message and makes protobuf of it.
    ///
    /// # Errors
    /// [`Rejection`] when there is no room for it, it is too large, or not what it is said to be.
    pub(crate) fn decode(
        self,
        inflater: &Inflater,
        bounds: Bounds,
        limiter: &MemoryLimiter,
    ) -> Result<Decoded, Rejection> {
        if self.admitted.bytes.len() as u64 > bounds.here_max {
            return Ok(Decoded::TooLongHere(self));
        }
        let inflated = match self.compression {
            None => self.admitted,
            Some(compression) => match inflater.inflate(&self.admitted.bytes, compression, bounds, limiter) {
                Ok((bytes, reservation)) => Admitted { bytes, reservation },
                Err(Stop::TooLongHere) => return Ok(Decoded::TooLongHere(self)),
                Err(Stop::Rejected(rejection)) => return Err(rejection),
            },
        };
        match self.format {
            Format::Protobuf => Ok(Decoded::Whole(self.signal, inflated)),
            Format::Json => Ok(Decoded::Whole(self.signal, transcode(self.signal, inflated)?)),
        }
    }
}

/// JSON becomes protobuf bytes, so that everything after the receiver knows one form.
fn transcode(signal: Signal, admitted: Admitted) -> Result<Admitted, Rejection> {
    let Admitted {
        bytes: json,
        mut reservation,
    } = admitted;
    let had = reservation.bytes();
    let room = match signal {
        // A trace request's JSON is at least as long as its protobuf: names and quotes alone cost more than tags.
        Signal::Traces => json.len(),
        Signal::Metrics => metrics_bytes_max(&json),
    };
    reservation.grow(room as u64)?;
    let mut protobuf = Vec::with_capacity(room);
    let transcoded = match signal {
        Signal::Traces => traces_json_to_protobuf(&json, &mut protobuf),
        Signal::Metrics => metrics_json_to_protobuf(&json, &mut protobuf),
    };
    transcoded.map_err(|error| Rejection::Malformed(error.to_string()))?;
    drop(json);
    match signal {
        // The spans are copied out of it soon.
        Signal::Traces => reservation.shrink_to(had),
        // It travels on, and may wait.
        Signal::Metrics => {
            protobuf.shrink_to_fit();
            reservation.shrink_to(protobuf.capacity() as u64);
        }
    }
    Ok(Admitted {
        bytes: protobuf.into(),
        reservation,
    })
}
