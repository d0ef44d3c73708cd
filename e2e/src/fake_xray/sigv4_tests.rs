use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Request;
use http::request::Parts;

use super::{Credentials, Denied, Verifier, amz_date, parse_amz_date, sign};

const BODY: &[u8] = br#"{"TraceSegmentDocuments":[]}"#;

fn key() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
}

fn verifier(known: Credentials) -> Verifier {
    Verifier {
        credentials: vec![known],
        region: Some("us-east-1".into()),
        service: "xray".into(),
    }
}

fn now() -> SystemTime {
    parse_amz_date("20261121T043841Z").unwrap()
}

fn request() -> Parts {
    let request =
        Request::post("http://127.0.0.1:9/TraceSegments").header("content-type", "application/json");
    request.body(()).unwrap().into_parts().0
}

fn signed(key: &Credentials) -> Parts {
    let mut parts = request();
    sign(&mut parts, BODY, key, ("us-east-1", "xray"), now()).unwrap();
    parts
}

/// The request and signature named `get-vanilla` in AWS's public Signature Version 4 test suite: an anchor outside of
/// our own signer.
#[test]
fn aws_published_example_verifies() {
    let parts = Request::get("https://example.amazonaws.com/")
        .header("host", "example.amazonaws.com")
        .header("x-amz-date", "20150830T123600Z")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        )
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let verifier = Verifier {
        service: "service".into(),
        ..verifier(key())
    };
    assert_eq!(
        verifier.verify(&parts, b"", parse_amz_date("20150830T123700Z").unwrap()),
        Ok(())
    );
}

#[test]
fn a_signed_request_is_let_in() {
    assert_eq!(verifier(key()).verify(&signed(&key()), BODY, now()), Ok(()));
}

#[test]
fn a_changed_body_path_or_header_is_refused() {
    let code = |parts: &Parts, body: &[u8]| verifier(key()).verify(parts, body, now()).unwrap_err().code();
    assert_eq!(code(&signed(&key()), b"{}"), "InvalidSignatureException");
    let mut moved = signed(&key());
    moved.uri = "http://127.0.0.1:9/TelemetryRecords".parse().unwrap();
    assert_eq!(code(&moved, BODY), "InvalidSignatureException");
    let mut changed = signed(&key());
    changed
        .headers
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(code(&changed, BODY), "InvalidSignatureException");
}

#[test]
fn an_unsigned_or_half_signed_request_is_refused() {
    let denied = |parts: &Parts| verifier(key()).verify(parts, BODY, now()).unwrap_err();
    assert_eq!(denied(&request()), Denied::Missing);
    let mut half = signed(&key());
    half.headers.insert(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE".parse().unwrap(),
    );
    assert_eq!(denied(&half).code(), "IncompleteSignatureException");
    let mut extra = signed(&key());
    extra.headers.insert("x-amz-meta", "not signed".parse().unwrap());
    assert_eq!(denied(&extra).code(), "InvalidSignatureException");
}

#[test]
fn unknown_keys_wrong_secrets_and_wrong_scopes_are_refused() {
    let code = |verifier: Verifier, key: &Credentials| {
        verifier.verify(&signed(key), BODY, now()).unwrap_err().code()
    };
    assert_eq!(
        code(verifier(key()), &Credentials::new("OTHER", "x")),
        "UnrecognizedClientException"
    );
    assert_eq!(
        code(verifier(key()), &Credentials::new("AKIDEXAMPLE", "x")),
        "InvalidSignatureException"
    );
    let elsewhere = Verifier {
        region: Some("eu-west-1".into()),
        ..verifier(key())
    };
    assert_eq!(code(elsewhere, &key()), "InvalidSignatureException");
    let other_service = Verifier {
        service: "sts".into(),
        ..verifier(key())
    };
    assert_eq!(code(other_service, &key()), "InvalidSignatureException");
}

#[test]
fn a_session_needs_its_token_and_ends() {
    let session = Credentials {
        session_token: Some("token".into()),
        ..key()
    };
    assert_eq!(
        verifier(session.clone()).verify(&signed(&session), BODY, now()),
        Ok(())
    );
    let without = verifier(session.clone()).verify(&signed(&key()), BODY, now());
    assert_eq!(without, Err(Denied::Unknown));
    let ended = Credentials {
        expires: Some(now()),
        ..session.clone()
    };
    assert_eq!(
        verifier(ended).verify(&signed(&session), BODY, now()),
        Err(Denied::Expired)
    );
}

#[test]
fn a_clock_more_than_five_minutes_off_is_refused() {
    let at = |offset: i64| {
        let shift = Duration::from_secs(offset.unsigned_abs());
        let time = if offset < 0 { now() - shift } else { now() + shift };
        verifier(key()).verify(&signed(&key()), BODY, time).is_ok()
    };
    assert!(at(-300) && at(0) && at(300));
    assert!(!at(-301) && !at(301));
}

#[test]
fn dates_go_both_ways() {
    for text in [
        "19700101T000000Z",
        "20000229T235959Z",
        "20240229T000001Z",
        "20251231T235959Z",
        "20261121T043841Z",
    ] {
        assert_eq!(amz_date(parse_amz_date(text).unwrap()), text);
    }
    assert_eq!(parse_amz_date("2026-11-21T04:38"), None);
    assert_eq!(parse_amz_date("20261321T043841Z"), None);
}

#[test]
fn http_dates_have_the_day_of_the_week() {
    let at = |seconds| super::http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
}

/// A request that botocore signed: see e2e/tools/python/sigv4_vectors.py.
#[derive(serde::Deserialize)]
struct Signed {
    name: String,
    region: String,
    service: String,
    time: String,
    token: Option<String>,
    method: String,
    url: String,
    headers: std::collections::BTreeMap<String, String>,
    body: String,
}

impl Signed {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../../testdata/sigv4.json")).unwrap()
    }

    fn parts(&self) -> Parts {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn verify(&self, parts: &Parts, body: &[u8]) -> Result<(), Denied> {
        let known = Credentials {
            session_token: self.token.clone(),
            ..key()
        };
        let verifier = Verifier {
            credentials: vec![known],
            region: Some(self.region.clone()),
            service: self.service.clone(),
        };
        verifier.verify(parts, body, parse_amz_date(&self.time).unwrap())
    }
}

#[test]
fn what_awss_own_library_signs_is_let_in() {
    for signed in Signed::all() {
        assert_eq!(
            signed.verify(&signed.parts(), signed.body.as_bytes()),
            Ok(()),
            "{}",
            signed.name
        );
    }
}

#[test]
fn what_differs_from_it_is_not() {
    for signed in Signed::all() {
        let name = &signed.name;
        let body = signed.body.as_bytes();
        assert!(signed.verify(&signed.parts(), b"another body").is_err(), "{name}");
        for header in signed.headers.keys().filter(|name| *name != "authorization") {
            let mut parts = signed.parts();
            parts.headers.remove(header.as_str());
            assert!(signed.verify(&parts, body).is_err(), "{name} without {header}");
            parts.headers.insert(
                http::HeaderName::from_bytes(header.as_bytes()).unwrap(),
                "20261121T021301Z".parse().unwrap(),
            );
            assert!(
                signed.verify(&parts, body).is_err(),
                "{name} with another {header}"
            );
        }
        let mut parts = signed.parts();
        parts.uri = "https://another.host/another/path?a=3".parse().unwrap();
        assert!(signed.verify(&parts, body).is_err(), "{name} for another URL");
    }
}
