//! `prometheus`.

use std::time::Duration;

use super::{Scope, address, or, translation};
use crate::config::PrometheusExporterConfig;
use crate::error::Diagnostics;
use crate::settings::PrometheusSettings;

/// A point takes some hundred bytes.
const SERIES: u64 = 100_000;
const SERIES_MAX: u64 = 10_000_000;
const MILLISECOND: Duration = Duration::from_millis(1);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) fn resolve(
    scope: &Scope,
    config: &PrometheusExporterConfig,
    diag: &mut Diagnostics,
) -> Option<PrometheusSettings> {
    let endpoint = scope.required(&config.endpoint, ("endpoint", "endpoint: 0.0.0.0:8889"), diag);
    let endpoint = endpoint.and_then(|text| {
        address::listen(text.trim())
            .map_err(|message| {
                let at = scope.place(&config.endpoint);
                diag.error(at, scope.path("endpoint"), message);
            })
            .ok()
    });
    let translation = translation::resolve(scope, &config.translation, diag);
    let const_labels = translation::labels((scope, "const_labels"), &config.const_labels, diag);
    let expiration = (MILLISECOND..=WEEK, Duration::from_secs(300));
    let metric_expiration = scope.duration(&config.metric_expiration, "metric_expiration", expiration, diag);
    let series = (1..=SERIES_MAX, SERIES);
    let max_series = scope
        .below("tracepipe")
        .within(&config.max_series, "max_series", series, diag);
    Some(PrometheusSettings {
        endpoint: endpoint?,
        translation,
        const_labels,
        send_timestamps: or(&config.send_timestamps, false),
        metric_expiration,
        enable_open_metrics: or(&config.enable_open_metrics, false),
        max_series,
    })
}
