//! The configuration of a run, the same text for both collectors.

use std::fmt::Write as _;
use std::time::Duration;

use crate::bench::arm::{Arm, Bench, Collector, Launch, Signal, aws_environment, go_environment};
use crate::bench::ledger::{Ledger, Verdict};
use crate::bench::payload;
use crate::bench::setup::{Places, SEED_LIMITER};
use crate::bench::steady::Sent;
use crate::bench::xray::sink::XraySink;
use crate::workload::Mix;

/// Above every latency of the standard spans.
const NEVER_SLOW_MS: u64 = 100_000;

/// What the policies keep of the standard spans.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// Every trace.
    All,
    /// What has an error (5 %) or is slow (10 %, when `slow`), and so many percent of the others.
    Some {
        /// The latency policy has the first seed's threshold, else one that nothing reaches.
        slow: bool,
        /// `sampling_percentage`.
        percent: f64,
    },
}

/// What differs from run to run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct XraySetup {
    /// The policies.
    pub keep: Keep,
    /// `decision_wait`.
    pub decision_wait: Duration,
}

/// Where kept spans go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through `awsxray`, over TLS.
    Xray,
    /// Through `debug` at basic verbosity: a line of the log for some batches, and away.
    Discard,
}

impl Keep {
    /// Four policies, the last probabilistic; or the one that keeps all.
    fn policies(self) -> String {
        match self {
            Self::All => "[{name: all, type: always_sample}]".into(),
            Self::Some { percent, .. } => format!(
                "[{{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}}, \
                 {{name: slow, type: latency, latency: {{threshold_ms: {}}}}}, \
                 {{name: other, type: string_attribute, string_attribute: {{key: url.scheme, values: [gopher]}}}}, \
                 {{name: some, type: probabilistic, probabilistic: {{sampling_percentage: {percent}}}}}]",
                self.mix().slow_ms
            ),
        }
    }

    fn mix(self) -> Mix {
        let usual = Mix::default();
        match self {
            Self::All | Self::Some { slow: true, .. } => usual,
            Self::Some { slow: false, .. } => Mix {
                slow_ms: NEVER_SLOW_MS,
                ..usual
            },
        }
    }

    /// Whether trace `number` must be kept.
    fn must(self, seed: u64, number: u64) -> bool {
        match self {
            Self::All => true,
            Self::Some { .. } => payload::fate(seed, number).must_be_kept(&self.mix()).is_some(),
        }
    }

    /// The share of the others.
    pub(super) fn share_of_others(self) -> f64 {
        match self {
            Self::All => 1.0,
            Self::Some { percent, .. } => percent / 100.0,
        }
    }
}

impl XraySetup {
    fn yaml(&self, places: &Places, way: Way) -> String {
        let (exporter, settings) = match way {
            Way::Xray => (
                "awsxray",
                format!("{{region: us-east-1, endpoint: \"https://{}\"}}", places.sink),
            ),
            Way::Discard => (
                "debug",
                "{verbosity: basic, sampling_initial: 1, sampling_thereafter: 1000}".to_owned(),
            ),
        };
        let mut yaml = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: \"{}\"}}, http: {{endpoint: \"{}\"}}}}}}}}\n",
            places.grpc, places.http
        );
        // Writing to a string cannot fail.
        let _written = write!(
            yaml,
            "processors:\n  \
               memory_limiter: {{check_interval: 1s, limit_mib: {}, spike_limit_mib: {}}}\n  \
               tail_sampling: {{decision_wait: {}ms, num_traces: 100000, expected_new_traces_per_sec: 1000, policies: {}}}\n  \
               batch: {{}}\n\
             exporters: {{{exporter}: {settings}}}\n\
             service:\n{}  \
               pipelines: {{traces: {{receivers: [otlp], processors: [memory_limiter, tail_sampling, batch], exporters: [{exporter}]}}}}\n",
            SEED_LIMITER.limit,
            SEED_LIMITER.spike,
            self.decision_wait.as_millis(),
            self.keep.policies(),
            places.reader()
        );
        yaml
    }

    /// Starts a collector that sends to `sink`, or nowhere.
    pub(super) async fn start(
        &self,
        bench: &Bench,
        arm: Arm,
        sink: &XraySink,
        way: Way,
    ) -> anyhow::Result<Collector> {
        let places = Places::of(arm, sink.address())?;
        let mut env = aws_environment();
        env.insert("SSL_CERT_FILE".to_owned(), sink.ca_file().display().to_string());
        if arm == Arm::Upstream {
            env.extend(go_environment(&format!("{}MiB", SEED_LIMITER.limit * 4 / 5)));
        }
        let launch = Launch {
            binary: bench.xray_binary(arm)?,
            places,
            yaml: self.yaml(&places, way),
            env,
            settings: &[],
            signal: Signal::Spans,
            cgroup: None,
        };
        bench.launch(arm, launch).await
    }

    /// Judges the traces that were sent.
    pub(super) fn verdict(
        &self,
        ledger: &Ledger,
        seed: u64,
        sent: &Sent,
        traces_per_request: u64,
    ) -> Verdict {
        ledger.verdict_by(&sent.plain, traces_per_request, |number| {
            self.keep.must(seed, number)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Keep, Way, XraySetup};
    use crate::bench::setup::Places;

    #[test]
    fn the_policies_keep_what_they_are_said_to() {
        let shares = [
            (Keep::All, 1.0),
            (
                Keep::Some {
                    slow: false,
                    percent: 0.1,
                },
                0.05,
            ),
            (
                Keep::Some {
                    slow: true,
                    percent: 12.3,
                },
                0.25,
            ),
        ];
        for (keep, wanted) in shares {
            let must = (0..20_000).filter(|number| keep.must(3, *number)).count() as f64 / 20_000.0;
            let kept = must + (1.0 - must) * keep.share_of_others();
            assert!((kept - wanted).abs() < 0.01, "{keep:?}: {kept}");
        }
    }

    #[test]
    fn only_the_exporter_differs() {
        let setup = XraySetup {
            keep: Keep::All,
            decision_wait: Duration::from_secs(2),
        };
        let at = |port| ([127, 0, 0, 1], port).into();
        let places = Places {
            grpc: at(1),
            http: at(2),
            metrics: at(3),
            sink: at(4),
        };
        let (xray, discard) = (setup.yaml(&places, Way::Xray), setup.yaml(&places, Way::Discard));
        let differing = xray.lines().zip(discard.lines()).filter(|(a, b)| a != b).count();
        assert_eq!(
            (differing, xray.lines().count()),
            (2, discard.lines().count()),
            "{xray}"
        );
        assert!(xray.contains("https://127.0.0.1:4"), "{xray}");
    }
}
