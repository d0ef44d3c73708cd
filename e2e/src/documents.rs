//! Recorded X-Ray documents as a reader sees them: for maps, waterfalls and counts.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::fake_xray::Accepted;

/// The members of a document that pictures are made of.
#[derive(Debug, Clone, Deserialize)]
pub struct Document {
    /// A segment's name is its node on the map.
    pub name: String,
    /// 16 hex digits.
    pub id: String,
    /// `1-8hex-24hex`.
    pub trace_id: String,
    /// `None` for a root.
    pub parent_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    namespace: Option<String>,
    /// Seconds since the epoch.
    pub start_time: f64,
    end_time: Option<f64>,
    #[serde(default)]
    fault: bool,
    #[serde(default)]
    error: bool,
    #[serde(default)]
    throttle: bool,
    #[serde(default)]
    cause: Value,
    #[serde(default)]
    http: Value,
    #[serde(default)]
    annotations: Map<String, Value>,
    /// Documents of other traces, or of this one, that it came of without being their child.
    #[serde(default)]
    pub links: Vec<Link>,
}

/// Names a document.
#[derive(Debug, Clone, Deserialize)]
pub struct Link {
    /// `1-8hex-24hex`.
    pub trace_id: String,
    /// 16 hex digits.
    pub id: String,
}

/// How a segment went, as X-Ray colours it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Green.
    Ok,
    /// 4xx.
    Error,
    /// 429.
    Throttle,
    /// 5xx and failures without a code.
    Fault,
}

impl Document {
    /// Reads what the fake accepted.
    ///
    /// # Errors
    /// When it is no segment document, which the fake would have refused.
    pub fn parse(accepted: &Accepted) -> serde_json::Result<Self> {
        serde_json::from_str(&accepted.text)
    }

    /// It is a part of a segment.
    pub fn is_subsegment(&self) -> bool {
        self.kind.as_deref() == Some("subsegment")
    }

    /// It calls something: an AWS service (`aws`) or anything else (`remote`).
    pub fn is_call(&self) -> bool {
        self.is_subsegment() && self.namespace.is_some()
    }

    /// Seconds; 0 while in progress.
    pub fn seconds(&self) -> f64 {
        (self.end_seconds() - self.start_time).max(0.0)
    }

    /// Its end in seconds since the epoch; its start while in progress.
    pub fn end_seconds(&self) -> f64 {
        self.end_time.unwrap_or(self.start_time)
    }

    /// How it went.
    pub fn health(&self) -> Health {
        match (self.fault, self.throttle, self.error) {
            (true, _, _) => Health::Fault,
            (false, true, _) => Health::Throttle,
            (false, false, true) => Health::Error,
            (false, false, false) => Health::Ok,
        }
    }

    /// The HTTP status, where it has one.
    pub fn status(&self) -> Option<u64> {
        self.http["response"]["status"]
            .as_u64()
            .filter(|status| *status > 0)
    }

    /// Message of its first exception.
    pub fn exception(&self) -> Option<&str> {
        let message = self.cause["exceptions"][0]["message"].as_str();
        message.filter(|message| !message.is_empty())
    }

    /// The policy that kept its trace.
    pub fn policy(&self) -> Option<&str> {
        self.annotation("tailsampling.policy").and_then(Value::as_str)
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&Value> {
        self.annotations.get(key)
    }
}
