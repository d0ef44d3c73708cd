//! The fake's own paths, by which another process steers it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::json;

use super::store::{Poison, Store};
use super::{Script, Shared, lock};
use crate::fake_xray;
use crate::server::Body;

/// Answers the fake's own paths.
pub(crate) fn steer(shared: &Shared, method: &Method, path: &str, body: &Bytes) -> Response<Body> {
    let invalid = |problem: serde_json::Error| {
        fake_xray::error(StatusCode::BAD_REQUEST, "InvalidScript", &problem.to_string())
    };
    match (method, path) {
        (&Method::GET, "series") => series_lines(&lock(&shared.store)),
        (&Method::GET, "refused") => {
            fake_xray::json_response(StatusCode::OK, &json!(lock(&shared.store).refused))
        }
        (&Method::GET, "counts") => {
            fake_xray::json_response(StatusCode::OK, &json!(lock(&shared.store).counts))
        }
        (&Method::POST, "failure") => match serde_json::from_slice::<Option<Script>>(body) {
            Ok(script) => {
                lock(&shared.player).set(script);
                fake_xray::json_response(StatusCode::OK, &json!({}))
            }
            Err(problem) => invalid(problem),
        },
        (&Method::POST, "poison") => match serde_json::from_slice::<Vec<Poison>>(body) {
            Ok(poison) => {
                lock(&shared.store).poison = poison;
                fake_xray::json_response(StatusCode::OK, &json!({}))
            }
            Err(problem) => invalid(problem),
        },
        _ => fake_xray::error(StatusCode::NOT_FOUND, "UnknownFakePath", path),
    }
}

/// `{"labels": {..}, "samples": [[ms, value], ..], "histograms": [[ms, count], ..]}` a line; JSON has no NaN: `null`.
fn series_lines(store: &Store) -> Response<Body> {
    let mut lines = String::new();
    for (labels, series) in &store.series {
        let labels: BTreeMap<&String, &String> = labels.iter().map(|(name, value)| (name, value)).collect();
        let samples: Vec<_> = series
            .samples
            .iter()
            .map(|(time, bits)| (time, f64::from_bits(*bits)))
            .collect();
        let histograms: Vec<_> = series
            .histograms
            .iter()
            .map(|(time, it)| (time, it.count()))
            .collect();
        let line = json!({ "labels": labels, "samples": samples, "histograms": histograms });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    fake_xray::respond(StatusCode::OK, "application/jsonl", lines)
}
