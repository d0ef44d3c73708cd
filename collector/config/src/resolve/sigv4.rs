//! `sigv4auth`, and the exporter that names it.

use super::exporters::{is_external_id, is_role, not_empty};
use super::{Scope, url::Url};
use crate::catalog::Role;
use crate::config::{Component, ComponentId, Config, ExtensionConfig, Field, SigV4Config};
use crate::error::Diagnostics;
use crate::settings::{AssumedRole, SigV4Settings};

/// The service that Amazon Managed Prometheus' endpoints of data are signed for (AWS service reference).
const AMP_SERVICE: &str = "aps";

/// The authenticator that an exporter names; None when it names none, and after an error.
pub(super) fn authenticator(
    config: &Config,
    (scope, named): (&Scope, &Field<ComponentId>),
    endpoint: Option<&Url<'_>>,
    diag: &mut Diagnostics,
) -> Option<SigV4Settings> {
    let id = named.as_ref()?;
    let path = scope.path("auth.authenticator");
    let extensions = &config.extensions;
    let Some(extension) = extensions.iter().find(|extension| extension.id.value == id.value) else {
        if !diag.is_silenced(&format!("extensions.{}", id.value)) {
            let message = Role::Extension
                .refusal(&id.value.kind)
                .unwrap_or_else(|| format!("`{}` is not defined under `extensions`", id.value));
            diag.error(id.at, path, message);
        }
        return None;
    };
    let signer = match &extension.config {
        ExtensionConfig::SigV4(signer) => signer,
        ExtensionConfig::HealthCheck(_) => {
            let message = format!("`{}` cannot sign requests; `sigv4auth` can", id.value);
            diag.error(id.at, path, message);
            return None;
        }
    };
    if config
        .service
        .extensions
        .iter()
        .all(|started| started.value != id.value)
    {
        let message = format!(
            "`{0}` is not started; name it in the service: `extensions: [{0}]`",
            id.value
        );
        diag.error(id.at, path, message);
    }
    let own = Scope::of(Role::Extension, extension);
    let found = endpoint.and_then(|url| region_of(url.host));
    if let (Some(region), Some(written)) = (found, &signer.region)
        && !written.value.is_empty()
        && written.value != region
    {
        let message =
            format!("the endpoint's host is one of {region}, and refuses what is signed for another region");
        diag.warn(written.at, own.path("region"), message);
    }
    Some(SigV4Settings {
        region: not_empty(&signer.region).or_else(|| found.map(str::to_owned)),
        service: not_empty(&signer.service).unwrap_or_else(|| AMP_SERVICE.to_owned()),
        assume_role: assumed_role(signer),
    })
}

/// The region in a host of Amazon Managed Prometheus: `aps-workspaces[-fips].REGION.` and a suffix of AWS', and behind an
/// interface endpoint's name `vpce-*.`.
fn region_of(host: &str) -> Option<&str> {
    let mut labels = host.split('.').peekable();
    labels.next_if(|first| first.starts_with("vpce-"));
    let is_workspaces = matches!(labels.next(), Some("aps-workspaces" | "aps-workspaces-fips"));
    let region = labels
        .next()
        .filter(|region| is_workspaces && is_region(region) && region.contains('-'))?;
    // A suffix follows.
    labels.next().map(|_| region)
}

/// Checks what is written, whether an exporter names it or not.
pub(super) fn check(extension: &Component<ExtensionConfig>, config: &SigV4Config, diag: &mut Diagnostics) {
    let scope = Scope::of(Role::Extension, extension);
    let role = &config.assume_role;
    let regions = [
        ("region", &config.region),
        ("assume_role.sts_region", &role.sts_region),
    ];
    for (key, field) in regions {
        if let Some(region) = field
            && !region.value.is_empty()
            && !is_region(&region.value)
        {
            let message = "a region has lower-case letters, digits and `-`, as in `us-east-1`";
            diag.error(region.at, scope.path(key), message);
        }
    }
    if let Some(service) = &config.service
        && !service.value.is_empty()
        && !is_region(&service.value)
    {
        let message = "a service is signed for by a word of lower-case letters, digits and `-`, as `aps`";
        diag.error(service.at, scope.path("service"), message);
    }
    match &role.arn {
        Some(arn) if !arn.value.is_empty() => {
            if !is_role(&arn.value) {
                let message = "a role's ARN is wanted, as in `arn:aws:iam::111122223333:role/name`";
                diag.error(arn.at, scope.path("assume_role.arn"), message);
            }
        }
        Some(_) | None => {
            let others = [
                ("external_id", &role.external_id),
                ("session_name", &role.session_name),
                ("sts_region", &role.sts_region),
            ];
            for (key, field) in others {
                if let Some(field) = field.as_ref().filter(|field| !field.value.is_empty()) {
                    let message = "is for a role that is assumed, and there is no `arn`";
                    diag.error(field.at, scope.path(&format!("assume_role.{key}")), message);
                }
            }
        }
    }
    if let Some(id) = role.external_id.as_ref().filter(|id| !id.value.is_empty())
        && !is_external_id(&id.value)
    {
        let message = "has 2 to 1224 letters, digits and `_+=,.@:/-`";
        diag.error(id.at, scope.path("assume_role.external_id"), message);
    }
    // STS's own rule (API reference, AssumeRole).
    if let Some(name) = role.session_name.as_ref().filter(|name| !name.value.is_empty()) {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !(2..=64).contains(&name.value.len()) || !name.value.chars().all(is_allowed) {
            let message = "has 2 to 64 letters, digits and `_+=,.@-`";
            diag.error(name.at, scope.path("assume_role.session_name"), message);
        }
    }
}

fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn assumed_role(config: &SigV4Config) -> Option<AssumedRole> {
    let role = &config.assume_role;
    not_empty(&role.arn).map(|arn| AssumedRole {
        arn,
        external_id: not_empty(&role.external_id),
        session_name: not_empty(&role.session_name),
        // As upstream: that of the requests, when it is written.
        sts_region: not_empty(&role.sts_region).or_else(|| not_empty(&config.region)),
    })
}
