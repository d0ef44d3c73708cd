//! The configuration of a run, the same text for both collectors but for what upstream needs to take deltas.

use crate::bench::arm::{Arm, Bench, Collector, Launch, Signal, aws_environment, go_environment};
use crate::bench::metrics::payload::Kinds;
use crate::bench::metrics::sink::MetricsSink;
use crate::bench::setup::{Places, SEED_LIMITER};

/// What differs from scenario to scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsSetup {
    /// Sums and histograms count since the last point.
    pub is_delta: bool,
}

/// The load of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsLoad {
    /// Data points a second.
    pub rate: u64,
    /// What an application sends.
    pub kinds: Kinds,
    /// Applications: each has as many streams as a request has data points.
    pub apps: u64,
    /// Connections that requests are dealt to in turn.
    pub connections: usize,
}

impl MetricsSetup {
    fn yaml(self, arm: Arm, places: &Places, ca_file: &str) -> String {
        // Ours adds deltas up in the exporter. Behind the batch processor upstream's does it for less.
        let (of_delta, in_line) = match arm {
            Arm::Upstream if self.is_delta => ("  deltatocumulative: {}\n", "deltatocumulative, "),
            Arm::Upstream | Arm::Ours => ("", ""),
        };
        format!(
            "extensions:\n  sigv4auth: {{region: us-east-1, service: aps}}\n\
             receivers: {{otlp: {{protocols: {{grpc: {{endpoint: \"{}\"}}, http: {{endpoint: \"{}\"}}}}}}}}\n\
             processors:\n  \
               memory_limiter: {{check_interval: 1s, limit_mib: {}, spike_limit_mib: {}}}\n  \
               batch: {{}}\n{of_delta}  \
               resource: {{attributes: [{{key: k8s.node.name, value: ip-10-0-0-1, action: upsert}}]}}\n\
             exporters:\n  \
               debug: {{}}\n  \
               prometheusremotewrite:\n    \
                 endpoint: \"https://{}/api/v1/remote_write\"\n    \
                 auth: {{authenticator: sigv4auth}}\n    \
                 tls: {{ca_file: \"{ca_file}\"}}\n    \
                 resource_to_telemetry_conversion: {{enabled: true}}\n\
             service:\n  \
               extensions: [sigv4auth]\n{}  \
               pipelines:\n    \
                 traces: {{receivers: [otlp], processors: [memory_limiter, batch], exporters: [debug]}}\n    \
                 metrics: {{receivers: [otlp], processors: [memory_limiter, batch, {in_line}resource], exporters: [prometheusremotewrite]}}\n",
            places.grpc,
            places.http,
            SEED_LIMITER.limit,
            SEED_LIMITER.spike,
            places.sink,
            places.reader(),
        )
    }

    /// Starts a collector that writes to `sink`.
    pub(super) async fn start(
        self,
        bench: &Bench,
        arm: Arm,
        sink: &MetricsSink,
    ) -> anyhow::Result<Collector> {
        let places = Places::of(arm, sink.address())?;
        let mut env = aws_environment();
        if arm == Arm::Upstream {
            env.extend(go_environment(&format!("{}MiB", SEED_LIMITER.limit * 4 / 5)));
        }
        let launch = Launch {
            binary: bench.binary(arm)?,
            places,
            yaml: self.yaml(arm, &places, &sink.ca_file().display().to_string()),
            env,
            // What starts ours names the extensions itself, without that of the signature.
            settings: &["service.extensions=[health_check, sigv4auth]"],
            signal: Signal::Points,
            cgroup: None,
        };
        bench.launch(arm, launch).await
    }
}

#[cfg(test)]
mod tests {
    use super::MetricsSetup;
    use crate::bench::arm::Arm;
    use crate::bench::setup::Places;

    #[test]
    fn only_what_adds_deltas_up_differs() {
        let at = |port| ([127, 0, 0, 1], port).into();
        let places = Places {
            grpc: at(1),
            http: at(2),
            metrics: at(3),
            sink: at(4),
        };
        let yaml = |arm, is_delta| MetricsSetup { is_delta }.yaml(arm, &places, "ca.pem");
        let plain = yaml(Arm::Upstream, false);
        assert!(
            plain.contains("https://127.0.0.1:4/api/v1/remote_write"),
            "{plain}"
        );
        assert_eq!(yaml(Arm::Ours, false), plain);
        assert_eq!(yaml(Arm::Ours, true), plain);
        let delta = yaml(Arm::Upstream, true);
        let without = delta
            .replace("  deltatocumulative: {}\n", "")
            .replace("deltatocumulative, ", "");
        assert!(without == plain && delta != plain, "{delta}");
    }
}
