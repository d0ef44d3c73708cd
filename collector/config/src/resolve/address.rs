//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Parses `host:port`. Names other than `localhost` would have to be looked up, and a lookup that fails at start or
/// gives several addresses is a trap; upstream looks them up.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err("the port is missing; write for example 0.0.0.0:4317".to_owned());
    };
    if text.contains("://") || host.contains('/') {
        return Err("an address to listen on has no scheme; write for example 0.0.0.0:4317".to_owned());
    }
    let port: u16 = match port.parse() {
        Ok(port) if port_is_plain(text) => port,
        Ok(_) | Err(_) => return Err("the port is a number from 0 to 65535".to_owned()),
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if inner.is_none() && host.contains(':') {
        return Err("an IPv6 address stands in brackets: write for example [::]:4317".to_owned());
    }
    let ip = match inner {
        Some(inner) => inner
            .parse()
            .map(IpAddr::V6)
            .map_err(|_| "this is not an IPv6 address".to_owned())?,
        None => ip(host)?,
    };
    Ok(SocketAddr::new(ip, port))
}

fn port_is_plain(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_digit()) && !text.contains(":+")
}

/// An IP address, or `localhost`.
pub(super) fn ip(host: &str) -> Result<IpAddr, String> {
    match host {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        "" => Err("the address is missing; 0.0.0.0 stands for every address of this machine".to_owned()),
        _ => host.parse().map_err(|_| {
            "a host name cannot be listened on; write an IP address: 0.0.0.0 for every address of this machine, \
             127.0.0.1 for itself only, ${env:POD_IP} for a pod's"
                .to_owned()
        }),
    }
}

/// True if two servers cannot listen on both.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}
