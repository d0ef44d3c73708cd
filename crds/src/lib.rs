//! The `TracingPipeline` resource, `tracepipe.dev/v1alpha1`: what people write and what the operator answers.
//!
//! [`TracingPipelineSpec`] is the spec: its doc comments are the text of `kubectl explain`, so they are written for
//! those who write the resource. [`rules`] holds what the types cannot say, each rule once as CEL for the API server
//! and once as code for [`rules::violations`]; [`TracingPipelineStatus`] is the answer, [`conditions`] its words.
//! [`generate`] makes the CRD whose YAML lies beside this crate, and `docs/tracingpipeline.md` is made from that;
//! [`parse`](fn@parse) reads files as an API server with this CRD would take them.

pub mod conditions;
pub mod generate;
mod parse;
mod policies;
pub mod rules;
mod sampling;
mod schema;
mod spec;
mod status;
pub mod values;
mod workload;

#[cfg(test)]
mod tests;

pub use parse::{ParseError, Parsed, parse};
pub use policies::{
    AndMember, AndPolicy, BooleanAttributePolicy, BytesLimitingPolicy, CompositeMember, CompositePolicy,
    DropPolicy, LatencyPolicy, NotMember, NotPolicy, NumericAttributePolicy, Policy, PolicyType,
    ProbabilisticPolicy, RateAllocation, RateLimitingPolicy, SimpleSettings, SpanCountPolicy,
    StatusCodePolicy, StringAttributePolicy, TraceStatePolicy, TraceStatusCode,
};
pub use sampling::{DecisionCache, Persistence, Sampling};
pub use spec::{
    Batch, DeletionPolicy, Exporters, Identity, IdentityType, Logging, LoggingVerbosity, MemoryLimiter, Mode,
    TracingPipeline, TracingPipelineSpec, Xray,
};
pub use status::{
    CollectorStatus, EffectiveStatus, EndpointsStatus, FailingPod, IdentityStatus, TracingPipelineStatus,
};
pub use workload::{
    Collector, ResourceAmounts, Resources, Service, Toleration, TolerationEffect, TolerationOperator,
    TrafficPolicy,
};
