//! Which components this version has, and which it knows to be upstream's only.

use std::fmt;

/// What a component does; the section of the file that defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Receiver,
    Processor,
    Exporter,
    Connector,
    Extension,
}

impl Role {
    /// The section of the file.
    pub(crate) fn section(self) -> &'static str {
        match self {
            Self::Receiver => "receivers",
            Self::Processor => "processors",
            Self::Exporter => "exporters",
            Self::Connector => "connectors",
            Self::Extension => "extensions",
        }
    }

    /// The types that this version has.
    pub(crate) fn supported(self) -> &'static [&'static str] {
        match self {
            Self::Receiver => &["otlp"],
            Self::Processor => &["memory_limiter", "tail_sampling", "batch", "resource"],
            Self::Exporter => &[
                "awsxray",
                "otlp",
                "otlp_grpc",
                "prometheusremotewrite",
                "prometheus_remote_write",
                "prometheus",
                "debug",
                "logging",
            ],
            Self::Connector => &[],
            Self::Extension => &["health_check", "sigv4auth"],
        }
    }

    /// Types that people are likely to bring from upstream, with spaces between. A type that is not here is only
    /// called unknown.
    fn upstream(self) -> &'static str {
        match self {
            Self::Receiver => {
                "awscontainerinsightreceiver awsfirehose awsxray datadog filelog fluentforward \
                 googlecloudpubsub hostmetrics jaeger journald k8s_cluster k8s_events k8sobjects kafka \
                 kubeletstats loki nop opencensus otlpjsonfile prometheus skywalking splunk_hec statsd \
                 syslog tcplog udplog zipkin"
            }
            Self::Processor => {
                "attributes cumulativetodelta deltatocumulative deltatorate filter groupbyattrs \
                 groupbytrace interval isolationforest k8s_attributes k8sattributes logdedup \
                 metricsgeneration metricstransform probabilistic_sampler queuebatch redaction \
                 remotetap resource_detection resourcedetection schema span sumologic transform"
            }
            Self::Exporter => {
                "awscloudwatchlogs awsemf awskinesis awss3 azuremonitor clickhouse coralogix datadog \
                 elasticsearch file googlecloud honeycombmarker influxdb jaeger kafka load_balancing \
                 loadbalancing loki nop opencensus opensearch otlp_http otlphttp pulsar sapm signalfx splunk_hec sumologic tencentcloudlogservice \
                 zipkin"
            }
            Self::Connector => {
                "count datadog exceptions failover forward grafanacloud otlpjson roundrobin routing \
                 servicegraph signaltometrics spanmetrics sum"
            }
            Self::Extension => {
                "ack asapauth awsproxy basicauth bearertokenauth cgroupruntime datadog db_storage \
                 ecs_observer file_storage headers_setter healthcheckv2 host_observer http_forwarder \
                 jaegerremotesampling k8s_leader_elector k8s_observer memory_ballast memory_limiter \
                 oauth2client oidc opamp pprof redis_storage remotetap zpages"
            }
        }
    }

    /// Why a type cannot be used, or None if it can.
    pub(crate) fn refusal(self, kind: &str) -> Option<String> {
        let supported = self.supported();
        if supported.contains(&kind) {
            return None;
        }
        let have = if supported.is_empty() {
            format!("this version has no {}", self.section())
        } else {
            format!("supported {}: {}", self.section(), supported.join(", "))
        };
        if self.upstream().split(' ').any(|name| name == kind) {
            return Some(format!(
                "`{kind}` is a component of the OpenTelemetry Collector that tracepipe does not have; {have}"
            ));
        }
        Some(format!(
            "unknown {self} `{kind}`{}; {have}",
            did_you_mean(kind, supported)
        ))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.section().trim_end_matches('s'))
    }
}

/// ` (did you mean ...?)`, or nothing.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> String {
    closest(word, known)
        .map(|known| format!(" (did you mean `{known}`?)"))
        .unwrap_or_default()
}

/// The known word that this one is most likely meant to be.
pub(crate) fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    /// Of Jaro-Winkler: `endpiont` has 0.97 with `endpoint`, `limit` has 0.91 with `limit_mib`, words of other
    /// meaning below 0.8.
    const LIKENESS_MIN: f64 = 0.84;
    /// Comparing is quadratic in the length, and no key is longer.
    const WORD_BYTES_MAX: usize = 64;
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    known
        .iter()
        .map(|known| (strsim::jaro_winkler(&lower, &known.to_ascii_lowercase()), *known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}
