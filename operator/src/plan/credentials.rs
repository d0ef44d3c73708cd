//! What a pod is given so that the AWS SDK finds credentials: a token of its ServiceAccount and where to take it.
//!
//! Volumes, mounts and variables have the names that EKS's own webhooks use: they leave a pod alone that has them, and
//! which of several pods is given what does not depend on whether a webhook was there in time.

use serde_json::{Value, json};

use crate::iam::AUDIENCE;
use crate::validate::Credentials;

/// The role that a pod's token is exchanged for.
pub(crate) const ROLE_VARIABLE: &str = "AWS_ROLE_ARN";

/// Seconds. Both webhooks ask for a day; the kubelet puts a new token in place after 80 % of it.
const TOKEN_SECONDS: u32 = 86_400;

/// A token of the ServiceAccount as a file.
struct Token {
    volume: &'static str,
    folder: &'static str,
    file: &'static str,
    audience: &'static str,
}

/// For STS. <https://github.com/aws/amazon-eks-pod-identity-webhook>
const FOR_STS: Token = Token {
    volume: "aws-iam-token",
    folder: "/var/run/secrets/eks.amazonaws.com/serviceaccount",
    file: "token",
    audience: AUDIENCE,
};

/// For the agent. <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>
const FOR_THE_AGENT: Token = Token {
    volume: "eks-pod-identity-token",
    folder: "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
    file: "eks-pod-identity-token",
    audience: "pods.eks.amazonaws.com",
};

// === impl Token ===

impl Token {
    fn path(&self) -> String {
        format!("{}/{}", self.folder, self.file)
    }
}

// === impl Credentials ===

impl Credentials {
    fn token(&self) -> Option<&'static Token> {
        match self {
            Self::Role(_) | Self::Managed(_) => Some(&FOR_STS),
            Self::PodIdentity { .. } => Some(&FOR_THE_AGENT),
            Self::Ambient | Self::NotNeeded => None,
        }
    }

    /// The variables, name and value.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        // The role or nothing: the node's own credentials would hide a role that does not work.
        let no_others = ("AWS_EC2_METADATA_DISABLED", "true".to_owned());
        match self {
            Self::Role(_) | Self::Managed(_) => {
                let role = self.role_arn().map(|role| (ROLE_VARIABLE, role.to_owned()));
                let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", FOR_STS.path());
                role.into_iter().chain([token, no_others]).collect()
            }
            Self::PodIdentity { ipv6 } => {
                let agent = if *ipv6 { "[fd00:ec2::23]" } else { "169.254.170.23" };
                vec![
                    (
                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                        format!("http://{agent}/v1/credentials"),
                    ),
                    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", FOR_THE_AGENT.path()),
                    no_others,
                ]
            }
            Self::NotNeeded => vec![no_others],
            Self::Ambient => Vec::new(),
        }
    }

    /// Where the container finds the token.
    pub(super) fn mount(&self) -> Option<Value> {
        let token = self.token()?;
        Some(json!({ "name": token.volume, "mountPath": token.folder, "readOnly": true }))
    }

    /// The token.
    pub(super) fn volume(&self) -> Option<Value> {
        let token = self.token()?;
        Some(json!({
            "name": token.volume,
            "projected": {
                "defaultMode": 0o440,
                "sources": [{
                    "serviceAccountToken": {
                        "audience": token.audience,
                        "expirationSeconds": TOKEN_SECONDS,
                        "path": token.file,
                    },
                }],
            },
        }))
    }
}
