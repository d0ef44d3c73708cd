//! From a body as it came to the bytes of an `ExportTraceServiceRequest`: inflated, and in protobuf.

use tracepipe_otlp::json::traces_json_to_protobuf;

use super::body::{Admitted, Compression};
use super::inflate::{Bounds, Inflater, Stop};
use super::rejection::Rejection;
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
}

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// The bytes of an `ExportTraceServiceRequest`, not yet looked at.
    Whole(Admitted),
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
            Format::Protobuf => Ok(Decoded::Whole(inflated)),
            Format::Json => transcode(inflated).map(Decoded::Whole),
        }
    }
}

/// JSON becomes protobuf bytes, so that everything after the receiver knows one form.
fn transcode(admitted: Admitted) -> Result<Admitted, Rejection> {
    let Admitted {
        bytes: json,
        mut reservation,
    } = admitted;
    // OTLP's JSON is at least as long as its protobuf: names and quotes alone cost more than tags.
    let room = json.len();
    reservation.grow(room as u64)?;
    let mut protobuf = Vec::with_capacity(room);
    traces_json_to_protobuf(&json, &mut protobuf).map_err(|error| Rejection::Malformed(error.to_string()))?;
    drop(json);
    reservation.shrink(room as u64);
    Ok(Admitted {
        bytes: protobuf.into(),
        reservation,
    })
}
