//! What the exporters do, as JSON: what the operator asks each collector for, because collectors tell Kubernetes nothing.

use std::time::Duration;

use aws_sdk_xray::primitives::{DateTime, DateTimeFormat};
use serde_json::{Value, json};

use crate::account::{Account, ExporterAccount, Failing, MetricsExporterAccount};

/// Figures of `/metrics`, and no others. `now`: time since the Unix epoch.
pub(crate) fn exporters_json(account: &Account, now: Duration) -> String {
    let exporters: Vec<Value> = account.exporters.iter().map(|one| exporter(one, now)).collect();
    let mut said = json!({ "exporters": exporters });
    if let Some(metrics) = &account.metrics {
        said["metrics_exporters"] = metrics.exporters.iter().map(|one| of_metrics(one, now)).collect();
    }
    said.to_string()
}

/// The same in data points; of one that writes samples, in samples.
fn of_metrics(account: &MetricsExporterAccount, now: Duration) -> Value {
    let mut said = exporter(&account.points, now);
    said["dropped"] = json!(account.dropped);
    if let Some(samples) = &account.samples {
        said["exported"] = json!(samples.written);
        said["lost"] = json!(samples.lost);
        said["waiting"] = json!(samples.waiting);
        said["in_flight"] = json!(samples.in_flight);
    }
    said
}

fn exporter(account: &ExporterAccount, now: Duration) -> Value {
    json!({
        "id": account.id,
        "failing": account.failing.as_ref().map(|failing| failing_json(failing, now)),
        "exported": account.exported,
        "lost": account.lost,
        "waiting": account.waiting,
        "in_flight": account.in_flight,
    })
}

/// `seconds` by the clock that told `since`, so that an asker with another one is not misled.
fn failing_json(failing: &Failing, now: Duration) -> Value {
    let since = i64::try_from(failing.since.as_secs()).unwrap_or_default();
    json!({
        "reason": failing.reason,
        "code": failing.code,
        "since": DateTime::from_secs(since).fmt(DateTimeFormat::DateTime).unwrap_or_default(),
        "seconds": now.saturating_sub(failing.since).as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::MetricsAccount;
    use crate::exporter::RemoteWriteAccount;

    #[test]
    fn an_exporter_says_since_when_and_why_its_backend_takes_nothing() {
        let failing = ExporterAccount {
            id: "awsxray".to_owned(),
            exported: 7,
            lost: [("queue_full", 3)].into(),
            waiting: 2,
            in_flight: 1,
            failing: Some(Failing {
                reason: "access_denied",
                code: "AccessDeniedException".to_owned(),
                since: Duration::from_secs(1_764_000_000),
            }),
            ..Default::default()
        };
        let fine = ExporterAccount {
            id: "debug".to_owned(),
            ..Default::default()
        };
        let account = Account {
            exporters: vec![failing, fine],
            ..Default::default()
        };
        let text = exporters_json(&account, Duration::from_millis(1_764_000_181_500));
        let said: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            said,
            json!({ "exporters": [
                {
                    "id": "awsxray",
                    "failing": {
                        "reason": "access_denied",
                        "code": "AccessDeniedException",
                        "since": "2025-11-24T16:00:00Z",
                        "seconds": 181,
                    },
                    "exported": 7, "lost": { "queue_full": 3 }, "waiting": 2, "in_flight": 1,
                },
                { "id": "debug", "failing": null, "exported": 0, "lost": {}, "waiting": 0, "in_flight": 0 },
            ]})
        );
    }

    #[test]
    fn an_exporter_that_writes_samples_speaks_of_samples() {
        let samples = RemoteWriteAccount {
            written: 5,
            lost: [("age_limit", 4)].into(),
            waiting: 3,
            in_flight: 2,
            ..Default::default()
        };
        let exporter = MetricsExporterAccount {
            points: ExporterAccount {
                id: "prometheusremotewrite".to_owned(),
                exported: 1,
                ..Default::default()
            },
            samples: Some(Box::new(samples)),
            ..Default::default()
        };
        let account = Account {
            metrics: Some(MetricsAccount {
                exporters: vec![exporter],
                ..Default::default()
            }),
            ..Default::default()
        };
        let said: Value = serde_json::from_str(&exporters_json(&account, Duration::ZERO)).unwrap();
        assert_eq!(
            said["metrics_exporters"],
            json!([{
                "id": "prometheusremotewrite", "failing": null, "exported": 5, "lost": { "age_limit": 4 },
                "waiting": 3, "in_flight": 2, "dropped": {},
            }])
        );
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_huge_age() {
        let failing = Failing {
            reason: "timeout",
            code: String::new(),
            since: Duration::from_secs(1_000),
        };
        assert_eq!(failing_json(&failing, Duration::from_secs(900))["seconds"], 0);
    }
}
