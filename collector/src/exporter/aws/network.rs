//! The way to AWS: proxies and certificate authorities.
//!
//! The SDK's own HTTP client knows no proxy and trusts the authorities of the system, which `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` replace. It is used as it is, unless a proxy or `AWS_CA_BUNDLE` asks for more.

use anyhow::{Context, bail};
use aws_sdk_xray::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A node's own services, which no proxy reaches: the credentials of the node, of the task and of the pod.
const NEVER_BY_PROXY: &str = "169.254.0.0/16,fd00:ec2::/32,localhost,127.0.0.0/8,::1";

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
    let proxy = proxy(proxy_address, variable)?;
    if bundle.is_none() && proxy.is_none() {
        return Ok(None);
    }
    // As with AWS's own tools, the bundle stands in place of the system's.
    let trusted = match bundle {
        Some(pem) => TrustStore::empty().with_pem_certificate(pem),
        None => TrustStore::default(),
    };
    let tls = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .context("the TLS client")?;
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

/// The proxy; what it is for is said by `proxy_address` alone, or by `HTTPS_PROXY`, in this order.
fn proxy(proxy_address: Option<&str>, variable: Variable<'_>) -> anyhow::Result<Option<ProxyConfig>> {
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
    let (name, proxy) = if let Some(address) = proxy_address {
        let name = "exporters.awsxray.proxy_address";
        // A plain-text endpoint goes this way too, as upstream.
        (name, ProxyConfig::all(address))
    } else {
        let Some((name, address)) = first(["HTTPS_PROXY", "https_proxy"]) else {
            return Ok(None);
        };
        let address = if address.contains("://") {
            address
        } else {
            format!("http://{address}")
        };
        (name, ProxyConfig::https(address))
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
