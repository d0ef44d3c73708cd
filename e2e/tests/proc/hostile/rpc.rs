//! `google.rpc.Status` and `RetryInfo`, as a client reads them (google/rpc/status.proto, error_details.proto).

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<RpcAny>,
}

#[derive(Clone, PartialEq, Message)]
struct RpcAny {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RpcDuration>,
}

#[derive(Clone, PartialEq, Message)]
struct RpcDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl RpcStatus {
    /// Reads a status in protobuf's JSON, without details.
    pub(super) fn from_json(text: &[u8]) -> Self {
        let json: serde_json::Value = serde_json::from_slice(text).unwrap();
        Self {
            code: json["code"].as_i64().unwrap().try_into().unwrap(),
            message: json["message"].as_str().unwrap().to_owned(),
            details: Vec::new(),
        }
    }

    /// Reads the value of `grpc-status-details-bin`.
    pub(super) fn from_header(base64: &str) -> Self {
        Self::decode(&base64_bytes(base64)[..]).unwrap()
    }

    /// Seconds of `RetryInfo.retry_delay`; `None` says "do not send it again" (OTLP specification, "Failures").
    pub(super) fn retry_seconds(&self) -> Option<i64> {
        let info = self
            .details
            .iter()
            .find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
        match RetryInfo::decode(&info.value[..]) {
            Ok(RetryInfo {
                retry_delay: Some(delay),
            }) => Some(delay.seconds),
            other => panic!("a RetryInfo that says nothing: {other:?}"),
        }
    }
}

/// RFC 4648, padded or not: gRPC takes both.
fn base64_bytes(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.trim_end_matches('=').bytes() {
        let value = LETTERS.iter().position(|known| *known == letter).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
