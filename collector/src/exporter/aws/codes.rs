//! AWS's own words for errors that every service has.

/// AWS does not know the credentials, or says that they have ended. Some of its services say so with 400.
pub(in crate::exporter) fn is_of_credentials(code: &str) -> bool {
    [
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    ]
    .contains(&code)
}

/// The time of the signature is too far from AWS's, or the signature is wrong for another reason.
pub(in crate::exporter) fn is_of_time(code: &str) -> bool {
    [
        "InvalidSignatureException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    ]
    .contains(&code)
}

/// Codes by which AWS's services say that there are too many requests, whatever the status (those that AWS's SDKs retry).
pub(in crate::exporter) fn is_of_load(code: &str) -> bool {
    let others = [
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "SlowDown",
        "EC2ThrottledException",
    ];
    code.contains("Throttl") || others.contains(&code)
}
