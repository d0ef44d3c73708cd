//! The way to AWS: proxies and certificate authorities.
//!
//! The SDK's own HTTP client knows no proxy and trusts the authorities of the system, which `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` replace. It is used as it is, unless a proxy or `AWS_CA_BUNDLE` asks for more. What is no client of the
//! SDK's takes its [`connector`].

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_xray::config::SharedHttpClient;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A node's own services, which no proxy reaches: the credentials of the node, of the task and of the pod.
const NEVER_BY_PROXY: &str = "169.254.0.0/16,fd00:ec2::/32,localhost,127.0.0.0/8,::1";

/// A connection must be there after this long.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// A variable of the environment that is set and not empty.
pub(in crate::exporter) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable of the process's environment.
pub(in crate::exporter) fn of_the_process(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The HTTP client that the environment asks for; `None`: the SDK's own.
///
/// # Errors
/// When a file of authorities cannot be read or a proxy's address is none.
pub(in crate::exporter) fn http_client(
    proxy_address: Option<&str>,
    variable: Variable<'_>,
) -> anyhow::Result<Option<SharedHttpClient>> {
    // The SDK reads it itself, and would go on without any authority.
    if let Some(path) = variable("SSL_CERT_FILE") {
        authorities("SSL_CERT_FILE", &path)?;
    }
    let bundle = variable("AWS_CA_BUNDLE")
        .map(|path| authorities("AWS_CA_BUNDLE", &path))
        .transpose()?;
    let own = proxy_address.map(|address| ("exporters.awsxray.proxy_address", address));
    let proxy = proxy(own, true, variable)?;
    if bundle.is_none() && proxy.is_none() {
        return Ok(None);
    }
    let tls = trusting(bundle)?;
    let proxy = proxy.unwrap_or_else(ProxyConfig::disabled);
    let client = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(tls.clone())
            .proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    });
    Ok(Some(client))
}

/// The way to an endpoint that a user names.
pub(in crate::exporter) struct Way<'a> {
    /// The path of its settings, for errors: `exporters.prometheusremotewrite`.
    pub(in crate::exporter) setting: &'static str,
    /// The setting of the proxy. None: the environment says.
    pub(in crate::exporter) proxy: Option<&'a str>,
    /// The name of that setting: `proxy_url`.
    pub(in crate::exporter) proxy_key: &'static str,
    /// `tls.ca_file`: these authorities alone are trusted.
    pub(in crate::exporter) ca_file: Option<&'a Path>,
    /// It begins with `https://`.
    pub(in crate::exporter) is_secure: bool,
    /// It is AWS's, and `AWS_CA_BUNDLE` speaks of it.
    pub(in crate::exporter) is_of_aws: bool,
}

/// What connects to such an endpoint. Connections are kept for the next request.
///
/// # Errors
/// When a file of authorities cannot be read or a proxy's address is none.
pub(in crate::exporter) fn connector(
    way: &Way<'_>,
    variable: Variable<'_>,
) -> anyhow::Result<SharedHttpConnector> {
    let setting = format!("{}.tls.ca_file", way.setting);
    let bundle = variable("AWS_CA_BUNDLE").filter(|_| way.is_of_aws);
    let pem = match (way.ca_file, bundle) {
        (Some(path), _) => Some(authorities(&setting, &path.to_string_lossy())?),
        (None, Some(path)) => Some(authorities("AWS_CA_BUNDLE", &path)?),
        (None, None) => None,
    };
    if way.is_secure
        && pem.is_none()
        && let Some(path) = variable("SSL_CERT_FILE")
    {
        authorities("SSL_CERT_FILE", &path)?;
    }
    let setting = format!("{}.{}", way.setting, way.proxy_key);
    let own = way.proxy.map(|address| (setting.as_str(), address));
    let proxy = proxy(own, way.is_secure, variable)?;
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIME_MAX)
        .build();
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(trusting(pem)?)
        .proxy_config(proxy.unwrap_or_else(ProxyConfig::disabled))
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .build();
    Ok(SharedHttpConnector::new(connector))
}

/// Trusts the authorities of a PEM file; as with AWS's own tools, they stand in place of the system's.
fn trusting(pem: Option<Vec<u8>>) -> anyhow::Result<TlsContext> {
    let trusted = match pem {
        Some(pem) => TrustStore::empty().with_pem_certificate(pem),
        None => TrustStore::default(),
    };
    TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .context("the TLS client")
}

/// The PEM of a file in which every certificate can be used: the SDK would panic on one that cannot.
fn authorities(variable: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let pem = std::fs::read(path).with_context(|| format!("{variable}: cannot read {path}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.with_context(|| format!("{variable}: {path} is no PEM file"))?;
        roots
            .add(certificate)
            .with_context(|| format!("{variable}: a certificate in {path} cannot be used"))?;
    }
    if roots.is_empty() {
        bail!("{variable}: there is no certificate in {path}");
    }
    Ok(pem)
}

/// The proxy: the setting's of this name, or what `HTTPS_PROXY`, of a plain-text endpoint `HTTP_PROXY`, says.
fn proxy(
    own: Option<(&str, &str)>,
    is_secure: bool,
    variable: Variable<'_>,
) -> anyhow::Result<Option<ProxyConfig>> {
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
    let names = if is_secure {
        ["HTTPS_PROXY", "https_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy"]
    };
    let (name, proxy) = if let Some((name, address)) = own {
        // A plain-text endpoint goes this way too, as upstream.
        (name, ProxyConfig::all(address))
    } else {
        let Some((name, address)) = first(names) else {
            return Ok(None);
        };
        let address = if address.contains("://") {
            address
        } else {
            format!("http://{address}")
        };
        // The client has one endpoint, of the kind that the variable is for.
        let proxy = if is_secure {
            ProxyConfig::https(address)
        } else {
            ProxyConfig::http(address)
        };
        (name, proxy)
    };
    // What is wrong is not quoted: the address may hold a password.
    let Ok(proxy) = proxy else {
        bail!("{name}: a URL that begins with http:// or https:// is wanted");
    };
    let direct = match first(["NO_PROXY", "no_proxy"]) {
        Some((_, names)) => format!("{names},{NEVER_BY_PROXY}"),
        None => NEVER_BY_PROXY.to_owned(),
    };
    Ok(Some(proxy.no_proxy(direct)))
}

#[cfg(test)]
mod tests;
