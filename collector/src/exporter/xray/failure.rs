//! What a failed call means: whether it may be repeated, and whether others would fail as well.

use aws_sdk_xray::error::{ProvideErrorMetadata, SdkError};

use crate::exporter::aws::codes::{is_of_credentials, is_of_load, is_of_time};

/// What to do about a request or a document that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It would be refused again, whatever is in it.
    Permanent(&'static str),
    /// It would be refused again, but parts of it may be taken.
    OfSome(&'static str),
    /// There are too many. It may be taken later.
    Throttled,
    /// It may be taken later.
    Retryable(&'static str),
}

// === impl Failure ===

impl Failure {
    /// The label in metrics.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Permanent(reason) | Self::OfSome(reason) | Self::Retryable(reason) => reason,
            Self::Throttled => "throttled",
        }
    }
}

/// Whether a failed call may be repeated. Faults of identity (403) are held, not dropped: a role or a clock that is
/// repaired within `max_elapsed_time` loses nothing.
pub(super) fn classify<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Failure {
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().unwrap_or_default();
            classify_service(status, code)
        }
        SdkError::TimeoutError(_) => Failure::Retryable("timeout"),
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => Failure::Retryable("timeout"),
        SdkError::DispatchFailure(dispatch) if dispatch.is_io() => Failure::Retryable("connection"),
        // The SDK reports credentials that cannot be fetched like this.
        SdkError::DispatchFailure(_) => Failure::Retryable("credentials"),
        SdkError::ResponseError(response) => classify_service(response.raw().status().as_u16(), ""),
        SdkError::ConstructionFailure(_) => Failure::Permanent("construction"),
        _ => Failure::Retryable("other"),
    }
}

fn classify_service(status: u16, code: &str) -> Failure {
    match (status, code) {
        (_, code) if is_of_credentials(code) => Failure::Retryable("access_denied"),
        (400..=403, code) if is_of_time(code) => Failure::Retryable("signature"),
        (429, _) => Failure::Throttled,
        (_, code) if is_of_load(code) => Failure::Throttled,
        (408, _) | (_, "RequestTimeout" | "RequestTimeoutException") => Failure::Retryable("timeout"),
        (401 | 403, _) => Failure::Retryable("access_denied"),
        (413, _) => Failure::OfSome("too_large"),
        // X-Ray says so of a request; which of its documents it means it does not say.
        (400, _) => Failure::OfSome("invalid_request"),
        // Without a code it is not X-Ray that answers, but something on the way: a proxy, a load balancer.
        (400..=499, "") => Failure::Retryable("not_x_ray"),
        (400..=499, _) => Failure::Permanent("invalid_request"),
        // 5xx, and answers that are no answers: X-Ray takes the same document twice without harm.
        _ => Failure::Retryable("server_error"),
    }
}

/// The codes seen in `UnprocessedTraceSegments`; X-Ray publishes no list. A code that speaks of load may be sent
/// again, any other would be refused again.
pub(super) fn classify_unprocessed(code: &str) -> Failure {
    match code {
        "InvalidTraceId" => Failure::Permanent("invalid_trace_id"),
        "InvalidName" => Failure::Permanent("invalid_name"),
        "InvalidSegment" => Failure::Permanent("invalid_segment"),
        code if is_of_load(code) => Failure::Throttled,
        code if code.contains("Unavailable") || code.contains("Internal") => {
            Failure::Retryable("unprocessed")
        }
        _ => Failure::Permanent("unprocessed_other"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_outages_and_faults_of_identity_are_tried_again() {
        for (status, code) in [
            (429, "ThrottledException"),
            (400, "ThrottlingException"),
            (408, ""),
            (500, ""),
            (503, "ServiceUnavailable"),
            (400, "RequestLimitExceeded"),
            (400, "RequestTimeoutException"),
            (404, ""),
            (403, "ExpiredTokenException"),
            (403, "UnrecognizedClientException"),
            (400, "ExpiredTokenException"),
            (403, "InvalidSignatureException"),
            (400, "RequestExpired"),
        ] {
            let failure = classify_service(status, code);
            assert!(
                matches!(failure, Failure::Retryable(_) | Failure::Throttled),
                "{status} {code}: {failure:?}"
            );
        }
    }

    #[test]
    fn a_request_that_is_wrong_is_given_up_at_once() {
        let invalid = Failure::OfSome("invalid_request");
        assert_eq!(classify_service(400, "InvalidRequestException"), invalid);
        assert_eq!(classify_service(413, ""), Failure::OfSome("too_large"));
        let not_ours = Failure::Permanent("invalid_request");
        assert_eq!(classify_service(404, "UnknownOperationException"), not_ours);
    }

    #[test]
    fn a_document_is_sent_again_only_when_it_may_be_taken() {
        assert_eq!(
            classify_unprocessed("InvalidName"),
            Failure::Permanent("invalid_name")
        );
        assert_eq!(
            classify_unprocessed("SomethingNew"),
            Failure::Permanent("unprocessed_other")
        );
        assert_eq!(classify_unprocessed("ThrottledException"), Failure::Throttled);
        let outage = Failure::Retryable("unprocessed");
        assert_eq!(classify_unprocessed("ServiceUnavailable"), outage);
    }
}
