//! Why a call was refused.

/// A code, its HTTP status and what a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn invalid_action(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidAction", message)
    }

    /// What the API's model does not allow: `constraint` is its words for it.
    pub(super) fn validation(value: &str, field: &str, constraint: &str) -> Self {
        let message = format!(
            "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
        );
        Self::new(400, "ValidationError", message)
    }

    pub(super) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidInput", message)
    }

    pub(super) fn malformed_policy(message: impl Into<String>) -> Self {
        Self::new(400, "MalformedPolicyDocument", message)
    }

    pub(super) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(409, "LimitExceeded", message)
    }

    pub(super) fn quota(name: &str, limit: usize) -> Self {
        Self::limit_exceeded(format!("Cannot exceed quota for {name}: {limit}"))
    }

    pub(super) fn already_exists(message: impl Into<String>) -> Self {
        Self::new(409, "EntityAlreadyExists", message)
    }

    pub(super) fn no_such_entity(message: impl Into<String>) -> Self {
        Self::new(404, "NoSuchEntity", message)
    }

    pub(super) fn no_such_role(name: &str) -> Self {
        Self::no_such_entity(format!("The role with name {name} cannot be found."))
    }

    pub(super) fn delete_conflict(message: &str) -> Self {
        Self::new(409, "DeleteConflict", message)
    }

    /// `resource` is what IAM calls it, `why` begins with `because` or `with`.
    pub(super) fn access_denied(caller: &str, action: &str, resource: &str, why: &str) -> Self {
        let message =
            format!("User: {caller} is not authorized to perform: {action} on resource: {resource} {why}");
        Self::new(403, "AccessDenied", message)
    }
}
