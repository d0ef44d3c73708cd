//! The AWS of a test cluster: [`FakeXray`] and [`FakeSts`] behind one listener, told apart by the name that the client
//! asked for, as AWS's endpoints are. What the fake STS issues, the fake X-Ray lets in, and nothing else.
//!
//! A second listener, plain HTTP, steers them; the first does not answer it. Its paths are those of [`fake_xray`] and
//!
//! | request | does |
//! |---|---|
//! | `POST /_fake/roles` | `{"arn": .., "trust": POLICY, "max_session_seconds": 3600}` makes a role; `"trust": null` removes it |
//! | `GET /_fake/sts` | every call to STS, a list of [`crate::fake_sts::Call`] |
//! | `POST /_fake/sts/failure` | a [`crate::fake_sts::Script`], or `null` |
//! | `POST /_fake/sts/session_seconds` | how long sessions last in place of what is asked for, or `null` |

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::fake_sts::pod_identity::{Association, PodIdentityAgent};
use crate::fake_sts::{self, FakeSts};
use crate::fake_xray::{self, FakeXray, TestTls, Verifier};
use crate::server::{Body, CloseConnection, Listen, Server};

/// The global endpoint of STS signs for this region.
const GLOBAL_REGION: &str = "us-east-1";
/// A trust policy has 4096 characters at most.
const CONTROL_BYTES_MAX: usize = 1024 * 1024;

/// How the fakes are started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The account, its region and its identity provider.
    pub sts: fake_sts::Options,
    /// `None`: plain HTTP. Make it for [`names`].
    pub tls: Option<TestTls>,
    /// Where AWS is; `None`: a free port of 127.0.0.1.
    pub listen: Option<SocketAddr>,
    /// Where it is steered; `None`: a free port of 127.0.0.1.
    pub control: Option<SocketAddr>,
}

/// The DNS names of the endpoints that are played, in one region of the `aws` partition.
pub fn names(region: &str) -> [String; 3] {
    [
        format!("xray.{region}.amazonaws.com"),
        format!("sts.{region}.amazonaws.com"),
        "sts.amazonaws.com".to_owned(),
    ]
}

/// The running fakes. They end when dropped.
pub struct FakeAws {
    sts: Arc<FakeSts>,
    xray: FakeXray,
    control: Server,
}

impl FakeAws {
    /// Binds and serves.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let xray = Arc::new(fake_xray::Shared::new(Verifier {
            credentials: Vec::new(),
            region: Some(options.sts.region.clone()),
            service: "xray".to_owned(),
        }));
        let of_sts = Arc::clone(&xray);
        let region = options.sts.region.clone();
        let sts = Arc::new(FakeSts::new(options.sts, move |key| of_sts.admit(key)));
        let router = Arc::new(Router {
            names: names(&region),
            region,
            sts: Arc::clone(&sts),
            xray: Arc::clone(&xray),
        });
        let listen = Listen {
            at: options.listen,
            tls: options.tls.as_ref().map(TestTls::acceptor),
        };
        let of_server = Arc::clone(&router);
        let server = Server::start(listen, move |request| route(Arc::clone(&of_server), request)).await?;
        let listen = Listen {
            at: options.control,
            tls: None,
        };
        let control = Server::start(listen, move |request| steer(Arc::clone(&router), request)).await?;
        Ok(Self {
            sts,
            xray: FakeXray::over(xray, server, options.tls.is_some()),
            control,
        })
    }

    /// The endpoint of both services, for `AWS_ENDPOINT_URL_XRAY` and `AWS_ENDPOINT_URL_STS`: on a host that is no
    /// name of AWS, `/` is STS and every other path X-Ray.
    pub fn url(&self) -> String {
        self.xray.url()
    }

    /// The bound address of the endpoint.
    pub fn address(&self) -> SocketAddr {
        self.xray.address()
    }

    /// The bound address of the control port.
    pub fn control(&self) -> SocketAddr {
        self.control.address()
    }

    /// The fake X-Ray.
    pub fn xray(&self) -> &FakeXray {
        &self.xray
    }

    /// An agent of EKS Pod Identity on a port of its own.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn pod_identity_agent(
        &self,
        associations: Vec<Association>,
    ) -> std::io::Result<PodIdentityAgent> {
        PodIdentityAgent::start(Arc::clone(&self.sts), associations).await
    }

    /// The fake STS.
    pub fn sts(&self) -> &FakeSts {
        &self.sts
    }
}

struct Router {
    names: [String; 3],
    region: String,
    sts: Arc<FakeSts>,
    xray: Arc<fake_xray::Shared>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Xray,
    Sts,
    StsGlobal,
}

impl Router {
    /// None: a name of AWS that is not played.
    fn endpoint(&self, host: &str, path: &str) -> Option<Endpoint> {
        let host = host.to_ascii_lowercase();
        let [xray, sts, global] = &self.names;
        if host == *xray {
            Some(Endpoint::Xray)
        } else if host == *sts {
            Some(Endpoint::Sts)
        } else if host == *global {
            Some(Endpoint::StsGlobal)
        } else if host.contains(".amazonaws.com") || host.ends_with(".aws") {
            None
        } else if path == "/" {
            Some(Endpoint::Sts)
        } else {
            Some(Endpoint::Xray)
        }
    }
}

async fn route(router: Arc<Router>, request: Request<Incoming>) -> Result<Response<Body>, CloseConnection> {
    let path = request.uri().path();
    let endpoint = if path.starts_with("/_fake/") {
        None
    } else {
        router.endpoint(host(&request), path)
    };
    match endpoint {
        Some(Endpoint::Xray) => fake_xray::handle(Arc::clone(&router.xray), request).await,
        Some(Endpoint::Sts) => router.sts.handle(request, &router.region).await,
        Some(Endpoint::StsGlobal) => router.sts.handle(request, GLOBAL_REGION).await,
        None => Ok(fake_xray::error(
            StatusCode::NOT_FOUND,
            "UnknownEndpoint",
            "this name is not played",
        )),
    }
}

/// The name that the client asked for, without the port: `:authority` of HTTP/2, `host` of HTTP/1.1.
fn host(request: &Request<Incoming>) -> &str {
    let header = || request.headers().get("host")?.to_str().ok();
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = authority.or_else(header).unwrap_or_default();
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

async fn steer(router: Arc<Router>, request: Request<Incoming>) -> Result<Response<Body>, CloseConnection> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, CONTROL_BYTES_MAX).collect().await else {
        return Err(CloseConnection);
    };
    let body = body.to_bytes();
    Ok(match parts.uri.path().strip_prefix("/_fake/") {
        Some(path) if path == "roles" || path == "sts" || path.starts_with("sts/") => {
            router.sts.steer(&parts.method, path, &body)
        }
        Some(path) => fake_xray::steer(&router.xray, &parts.method, path, &body),
        None => fake_xray::error(StatusCode::NOT_FOUND, "UnknownFakePath", parts.uri.path()),
    })
}

#[cfg(test)]
#[path = "fake_aws/tests.rs"]
mod tests;
