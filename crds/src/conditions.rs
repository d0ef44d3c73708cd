//! The words of `status.conditions`. They are an API: scripts and alerts compare them, so they do not change.

/// Condition types.
pub mod types {
    /// Everything below holds: every node that should have a collector has one that works. Always present.
    pub const READY: &str = "Ready";
    /// The spec makes a configuration that the collector takes. Always present.
    pub const CONFIG_ACCEPTED: &str = "ConfigAccepted";
    /// Collectors can get AWS credentials. True once the operator was given some with a token of their ServiceAccount,
    /// Unknown before. Always present.
    pub const IDENTITY_READY: &str = "IdentityReady";
    /// The pods are rolled out. Always present.
    pub const COLLECTOR_AVAILABLE: &str = "CollectorAvailable";
    /// No backend refuses what the collectors send, as far as they say when they are asked. It does not hold Ready back.
    /// Always present.
    pub const EXPORTING: &str = "Exporting";
    /// Work is going on. Present while it is.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing more happens until somebody changes something. Present while it is so.
    pub const STALLED: &str = "Stalled";
    /// An object that this pipeline needs belongs to somebody else. Present while it does.
    pub const CONFLICTED: &str = "Conflicted";
    /// The role that the operator has made has policies that are not the operator's. They are left. Present while it does.
    pub const POLICY_DRIFT: &str = "PolicyDrift";
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
    /// IdentityReady, True: AWS has given credentials of the role for a token of the collectors' ServiceAccount.
    pub const VERIFIED: &str = "Verified";
    /// IdentityReady, Unknown: AWS is being asked; what was written to IAM takes up to two minutes to hold everywhere.
    pub const VERIFYING: &str = "Verifying";
    /// IdentityReady, False: AWS has refused the role to the collectors' ServiceAccount for three minutes.
    pub const ASSUME_ROLE_DENIED: &str = "AssumeRoleDenied";
    /// IdentityReady, False: the account has no OpenID Connect provider for the cluster's tokens.
    pub const PROVIDER_NOT_FOUND: &str = "OIDCProviderNotFound";
    /// IdentityReady, False: the provider does not take the audience `sts.amazonaws.com`.
    pub const AUDIENCE_MISSING: &str = "OIDCAudienceMissing";
    /// IdentityReady, False: the operator itself finds no AWS credentials, or AWS does not take them.
    pub const NO_CREDENTIALS: &str = "NoCredentials";
    /// IdentityReady, False: AWS does not allow the operator a call; the message names the action and the resource.
    pub const ACCESS_DENIED: &str = "AccessDenied";
    /// IdentityReady, Unknown: the API server does not let the operator ask for a token of the ServiceAccount.
    pub const TOKEN_FORBIDDEN: &str = "TokenForbidden";
    /// IdentityReady, Unknown: AWS tells the operator to call less often.
    pub const THROTTLED: &str = "Throttled";
    /// IdentityReady, Unknown: AWS does not answer.
    pub const AWS_UNREACHABLE: &str = "AWSUnreachable";
    /// IdentityReady, False: a role of the name is there and is not this resource's.
    pub const ROLE_NAME_CONFLICT: &str = "RoleNameConflict";
    /// IdentityReady, False: the permissions boundary is not there.
    pub const BOUNDARY_MISSING: &str = "BoundaryMissing";
    /// IdentityReady, False: a quota of the account is used up.
    pub const LIMIT_EXCEEDED: &str = "LimitExceeded";
    /// IdentityReady, False: AWS refuses a call for another reason; the message has its answer.
    pub const ROLE_FAILED: &str = "RoleFailed";
    /// IdentityReady, False: something that is not the operator's keeps the role from being deleted.
    pub const DELETE_CONFLICT: &str = "DeleteConflict";
    /// IdentityReady, False: the role is being deleted.
    pub const DELETING: &str = "Deleting";
    /// IdentityReady, False: the operator was uninstalled and has deleted the role.
    pub const UNINSTALLED: &str = "Uninstalled";
    /// IdentityReady: nothing is sent to AWS, so no credentials are needed.
    pub const NOT_NEEDED: &str = "NotNeeded";
    /// PolicyDrift: as the condition says.
    pub const FOREIGN_POLICIES: &str = "ForeignPolicies";
    /// ConfigAccepted: the resource leaves its role to an operator that makes none.
    pub const MANAGED_ROLES_OFF: &str = "ManagedRolesOff";
    /// CollectorAvailable: pods wait until their role is proven.
    pub const WAITING_FOR_IDENTITY: &str = "WaitingForIdentity";
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
    /// Exporting, True: no collector that was asked has a backend that takes nothing, or loses spans.
    pub const EXPORTING: &str = "Exporting";
    /// Exporting, False: for three minutes a backend has denied access; the message has its code.
    pub const EXPORT_DENIED: &str = "AccessDenied";
    /// Exporting, False: for three minutes collectors have got no AWS credentials.
    pub const EXPORT_WITHOUT_CREDENTIALS: &str = "NoCredentials";
    /// Exporting, False: for three minutes a backend has not been reached or has not answered.
    pub const BACKEND_UNREACHABLE: &str = "Unreachable";
    /// Exporting, False: for three minutes a backend has answered with errors of its own (5xx).
    pub const BACKEND_FAILING: &str = "BackendFailing";
    /// Exporting, False: for three minutes a backend has refused every request for another reason.
    pub const EXPORT_REFUSED: &str = "Refused";
    /// Exporting, False: for three minutes a backend has throttled every request.
    pub const EXPORT_THROTTLED: &str = "Throttled";
    /// Exporting, False: spans were lost within the last five minutes; the message has the reason.
    pub const LOSING_SPANS: &str = "LosingSpans";
    /// Exporting, Unknown: no collector that works was asked yet.
    pub const NOT_ASKED: &str = "NotAsked";
    /// Exporting, Unknown: no collector could be asked, for example because a NetworkPolicy is in the way.
    pub const COLLECTORS_UNREACHABLE: &str = "CollectorsUnreachable";
    /// Conflicted and Ready: an object of that name belongs to somebody else.
    pub const CONFLICTED: &str = "Conflicted";
    /// Ready: the API server does not let the operator do its work; the message has its answer.
    pub const APPLY_FAILED: &str = "ApplyFailed";
}
