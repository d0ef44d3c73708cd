//! The configuration of a run, the same text for both collectors.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;

/// Further policies that keep nothing of the standard load: what is measured is the price of asking.
const FURTHER: [&str; 17] = [
    "type: string_attribute, string_attribute: {key: url.scheme, values: [gopher]}",
    "type: numeric_attribute, numeric_attribute: {key: http.response.status_code, min_value: 500, max_value: 599}",
    "type: boolean_attribute, boolean_attribute: {key: app.debug, value: true}",
    "type: span_count, span_count: {min_spans: 100000}",
    "type: string_attribute, string_attribute: {key: server.address, values: [none.example.com, nobody.example.com]}",
    "type: trace_state, trace_state: {key: vip, values: [gold]}",
    "type: and, and: {and_sub_policy: [{name: slow, type: latency, latency: {threshold_ms: 100000}}, {name: error, type: status_code, status_code: {status_codes: [ERROR]}}]}",
    "type: string_attribute, string_attribute: {key: user_agent.original, values: [curl]}",
    "type: string_attribute, string_attribute: {key: thread.name, values: [main]}",
    "type: string_attribute, string_attribute: {key: http.request.method, values: [TRACE]}",
    "type: string_attribute, string_attribute: {key: client.address, values: [10.0.0.1]}",
    "type: string_attribute, string_attribute: {key: code.function.name, values: [main]}",
    "type: string_attribute, string_attribute: {key: service.name, values: [nobody]}",
    "type: string_attribute, string_attribute: {key: k8s.node.name, values: [nowhere]}",
    "type: numeric_attribute, numeric_attribute: {key: server.port, min_value: 1, max_value: 2}",
    "type: numeric_attribute, numeric_attribute: {key: http.request.resend_count, min_value: 1, max_value: 9}",
    "type: boolean_attribute, boolean_attribute: {key: app.replay, value: true}",
];
/// Policies of the file itself.
const SEED_POLICIES: u32 = 3;
const LAST_OF_SEED: &str = "          sampling_percentage: 10\n";

/// The memory limiter's settings, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limiter {
    /// `limit_mib`.
    pub limit: u64,
    /// `spike_limit_mib`.
    pub spike: u64,
}

/// What differs from `deploy/examples/otlp-out.yaml`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    /// Memory limiter.
    pub limiter: Limiter,
    /// `decision_wait`.
    pub decision_wait: Duration,
    /// `num_traces`: large enough that nothing is decided early for it.
    pub num_traces: u64,
    /// How many policies; the first three are the file's.
    pub policies: u32,
    /// `timeout` of the batch processor; `None`: the default, 200 ms.
    pub batch_timeout: Option<Duration>,
    /// Share of a core that the collector may use.
    pub quota: Option<f64>,
}

/// The limiter of the first seed.
pub const SEED_LIMITER: Limiter = Limiter {
    limit: 400,
    spike: 100,
};
/// As good as none.
pub const LIFTED: Limiter = Limiter {
    limit: 12_000,
    spike: 100,
};

impl Setup {
    /// The file as it is.
    pub const SEED: Self = Self {
        limiter: SEED_LIMITER,
        decision_wait: Duration::from_secs(10),
        num_traces: 100_000,
        policies: SEED_POLICIES,
        batch_timeout: None,
        quota: None,
    };

    /// `GOMEMLIMIT` of the upstream collector: 80 % of the limit, as its documentation advises.
    pub fn gomemlimit(&self) -> String {
        format!("{}MiB", self.limiter.limit * 4 / 5)
    }

    /// The configuration: `base` is the text of `deploy/examples/otlp-out.yaml`.
    ///
    /// # Errors
    /// When the file has changed so that a setting is not found in it exactly once.
    pub fn yaml(&self, base: &str, places: &Places) -> anyhow::Result<String> {
        let policies = FURTHER
            .iter()
            .take(self.policies.saturating_sub(SEED_POLICIES) as usize)
            .enumerate()
            .fold(LAST_OF_SEED.to_owned(), |text, (index, policy)| {
                format!("{text}      - {{name: further-{index}, {policy}}}\n")
            });
        let batch = self.batch_timeout.map_or_else(
            || "  batch: {}\n".to_owned(),
            |timeout| format!("  batch: {{timeout: {}ms}}\n", timeout.as_millis()),
        );
        let mut config = base.to_owned();
        for (from, to) in [
            ("0.0.0.0:4317", places.grpc.to_string()),
            ("0.0.0.0:4318", places.http.to_string()),
            ("127.0.0.1:4327", places.sink.to_string()),
            ("\nservice:\n", format!("\nservice:\n{}", places.reader())),
            (" limit_mib: 400", format!(" limit_mib: {}", self.limiter.limit)),
            (
                "spike_limit_mib: 100",
                format!("spike_limit_mib: {}", self.limiter.spike),
            ),
            (
                "decision_wait: 10s",
                format!("decision_wait: {}ms", self.decision_wait.as_millis()),
            ),
            ("num_traces: 100000", format!("num_traces: {}", self.num_traces)),
            (LAST_OF_SEED, policies),
            ("  batch: {}\n", batch),
        ] {
            let count = config.matches(from).count();
            ensure!(
                count == 1,
                "the configuration has {from:?} {count} times, not once"
            );
            config = config.replace(from, &to);
        }
        Ok(config)
    }
}

/// Who listens where.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// OTLP/gRPC in.
    pub grpc: SocketAddr,
    /// OTLP/HTTP in.
    pub http: SocketAddr,
    /// The metrics page.
    pub metrics: SocketAddr,
    /// The backend.
    pub sink: SocketAddr,
}

impl Places {
    pub(crate) fn reader(&self) -> String {
        format!(
            "  telemetry:\n    metrics:\n      readers:\n        - pull: {{exporter: {{prometheus: {{host: {}, port: {}}}}}}}\n",
            self.metrics.ip(),
            self.metrics.port()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Places, Setup};

    const BASE: &str = include_str!("../../../deploy/examples/otlp-out.yaml");

    fn places() -> Places {
        let at = |port| ([127, 0, 0, 1], port).into();
        Places {
            grpc: at(1),
            http: at(2),
            metrics: at(3),
            sink: at(4),
        }
    }

    #[test]
    fn the_seed_changes_in_its_addresses_only() {
        let yaml = Setup::SEED.yaml(BASE, &places()).unwrap();
        let lines = |text: &str| text.lines().count();
        assert_eq!(lines(&yaml), lines(BASE) + 4);
        assert!(yaml.contains("endpoint: \"127.0.0.1:1\"") && yaml.contains("endpoint: 127.0.0.1:4\n"));
        assert!(yaml.contains(" limit_mib: 400\n") && yaml.contains("decision_wait: 10000ms"));
        assert_eq!(Setup::SEED.gomemlimit(), "320MiB");
    }

    #[test]
    fn settings_and_policies_are_what_was_asked_for() {
        let setup = Setup {
            policies: 20,
            batch_timeout: Some(Duration::from_millis(10)),
            ..Setup::SEED
        };
        let yaml = setup.yaml(BASE, &places()).unwrap();
        assert_eq!(yaml.matches("name: further-").count(), 17);
        assert!(yaml.contains("batch: {timeout: 10ms}"));
        assert!(setup.yaml("service:", &places()).is_err());
    }
}
