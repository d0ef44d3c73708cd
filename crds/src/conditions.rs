//! The words of `status.conditions`. They are an API: scripts and alerts compare them, so they do not change.

/// Condition types.
pub mod types {
    /// Everything below holds: every node that should have a collector has one that works. Always present.
    pub const READY: &str = "Ready";
    /// The spec makes a configuration that the collector takes. Always present.
    pub const CONFIG_ACCEPTED: &str = "ConfigAccepted";
    /// Collectors can get AWS credentials. Unknown until something proves it. Always present.
    pub const IDENTITY_READY: &str = "IdentityReady";
    /// The pods are rolled out. Always present.
    pub const COLLECTOR_AVAILABLE: &str = "CollectorAvailable";
    /// Work is going on. Present while it is.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing more happens until somebody changes something. Present while it is so.
    pub const STALLED: &str = "Stalled";
    /// An object that this pipeline needs belongs to somebody else. Present while it does.
    pub const CONFLICTED: &str = "Conflicted";
}

/// Reasons.
pub mod reasons {
    /// Ready: all is well.
    pub const READY: &str = "Ready";
    /// ConfigAccepted: the spec is accepted.
    pub const VALID: &str = "Valid";
    /// ConfigAccepted: the spec is refused; the message says where and why. Running pods are left as they are.
    pub const INVALID_CONFIG: &str = "InvalidConfig";
    /// ConfigAccepted: no region is given and none can be found out.
    pub const REGION_UNKNOWN: &str = "RegionUnknown";
    /// IdentityReady: nothing has proven the credentials yet.
    pub const NOT_VERIFIED: &str = "NotVerified";
    /// IdentityReady: the credentials are whatever is there.
    pub const AMBIENT: &str = "Ambient";
    /// CollectorAvailable: every node that should have a collector has one that works.
    pub const ROLLOUT_COMPLETE: &str = "RolloutComplete";
    /// CollectorAvailable: pods are starting or being replaced.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// CollectorAvailable: pods have been starting for longer than they should.
    pub const ROLLOUT_STUCK: &str = "RolloutStuck";
    /// CollectorAvailable: no node matches selector and tolerations.
    pub const NO_ELIGIBLE_NODES: &str = "NoEligibleNodes";
    /// CollectorAvailable: an image cannot be had.
    pub const IMAGE_PULL: &str = "ImagePull";
    /// CollectorAvailable: a collector ends again and again.
    pub const CRASH_LOOP: &str = "CrashLoop";
    /// CollectorAvailable: the API server refuses the pods (quota, Pod Security, admission).
    pub const FORBIDDEN: &str = "Forbidden";
    /// CollectorAvailable: nothing has been applied.
    pub const NOT_APPLIED: &str = "NotApplied";
    /// Conflicted and Ready: an object of that name belongs to somebody else.
    pub const CONFLICTED: &str = "Conflicted";
    /// Ready: the API server does not let the operator do its work; the message has its answer.
    pub const APPLY_FAILED: &str = "ApplyFailed";
}
