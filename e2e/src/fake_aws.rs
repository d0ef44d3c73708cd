//! The AWS of a test cluster: [`FakeXray`], [`FakeAmp`], [`FakeSts`] and [`Iam`] behind one listener, told apart by the
//! name that the client asked for, as AWS's endpoints are. What the fake STS issues, the fake X-Ray and the fake AMP let
//! in, and nothing else; IAM lets in the same, and users ([`FakeSts::add_user`]). Roles of IAM can be assumed.
//!
//! A second listener, plain HTTP, steers them; the first does not answer it. Its paths are those of [`fake_xray`] and
//! [`fake_amp`], and
//!
//! | request | does |
//! |---|---|
//! | `POST /_fake/roles` | `{"arn": .., "trust": POLICY, "max_session_seconds": 3600}` makes a role; `"trust": null` removes it |
//! | `GET /_fake/sts` | every call to STS, a list of [`crate::fake_sts::Call`] |
//! | `POST /_fake/sts/failure` | a [`crate::fake_sts::Script`], or `null` |
//! | `POST /_fake/sts/session_seconds` | how long sessions last in place of what is asked for, or `null` |
//! | `POST /_fake/users` | `{"name": .., "access_key_id": .., "secret_access_key": ..}` makes a user |
//! | `GET /_fake/iam` | every call to IAM, a list of [`crate::fake_iam::Call`] |
//! | `GET /_fake/iam/roles` | the roles as they are now, a list of [`crate::fake_iam::Role`] |
//! | `POST /_fake/iam/failure` | a [`crate::fake_sts::Script`], or `null` |
//! | `POST /_fake/iam/lag` | what reads see is so many seconds old |
//! | `POST /_fake/iam/policy` | the identity policy of all callers, or `null`: they may do everything |
//! | `POST /_fake/iam/deny` | `["iam:CreateRole", ..]`: nobody may do that |
//! | `POST /_fake/iam/managed_policies` | the ARN of a managed policy that is to exist |

mod iam;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::fake_amp::{self, FakeAmp};
use crate::fake_iam::{self, Iam};
use crate::fake_sts::pod_identity::{Association, PodIdentityAgent};
use crate::fake_sts::{self, FakeSts};
use crate::fake_xray::{self, FakeXray, TestTls, Verifier, sigv4};
use crate::server::{Body, CloseConnection, Listen, Server};
use iam::Service;

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

/// IAM has one endpoint for each partition, and its signatures are for one region.
const IAM_ENDPOINTS: [(&str, &str); 3] = [
    ("iam.amazonaws.com", "us-east-1"),
    ("iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
];

/// The DNS names of the endpoints that are played: X-Ray, AMP and STS in one region of the `aws` partition, IAM in all.
pub fn names(region: &str) -> Vec<String> {
    let regional = regional_names(region).into_iter();
    regional
        .chain(IAM_ENDPOINTS.map(|(name, _)| name.to_owned()))
        .collect()
}

/// X-Ray, AMP, STS and the global STS.
fn regional_names(region: &str) -> [String; 4] {
    [
        format!("xray.{region}.amazonaws.com"),
        format!("aps-workspaces.{region}.amazonaws.com"),
        format!("sts.{region}.amazonaws.com"),
        "sts.amazonaws.com".to_owned(),
    ]
}

/// The running fakes. They end when dropped.
pub struct FakeAws {
    sts: Arc<FakeSts>,
    iam: Arc<Service>,
    xray: FakeXray,
    amp: FakeAmp,
    control: Server,
}

impl FakeAws {
    /// Binds and serves.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let xray = Arc::new(fake_xray::Shared::new(Verifier {
            credentials: Vec::new(),
            region: Some(options.sts.region.clone()),
            service: "xray".to_owned(),
        }));
        let amp = Arc::new(fake_amp::Shared::new(fake_amp::Options {
            verifier: Some(Verifier {
                credentials: Vec::new(),
                region: Some(options.sts.region.clone()),
                service: "aps".to_owned(),
            }),
            ..fake_amp::Options::open()
        })?);
        let of_sts = (Arc::clone(&xray), Arc::clone(&amp));
        let region = options.sts.region.clone();
        let roles = Arc::new(Mutex::new(Iam::new(fake_iam::Options {
            account: options.sts.account.clone(),
            partition: partition(&region).to_owned(),
        })));
        let iam = Arc::new(Service::new(Arc::clone(&roles)));
        let sts = Arc::new(FakeSts::new(options.sts, roles, move |key| {
            of_sts.0.admit(key.clone());
            of_sts.1.admit(key);
        }));
        let router = Arc::new(Router {
            names: regional_names(&region),
            region,
            sts: Arc::clone(&sts),
            iam: Arc::clone(&iam),
            xray: Arc::clone(&xray),
            amp: Arc::clone(&amp),
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
        let is_https = options.tls.is_some();
        Ok(Self {
            sts,
            iam,
            amp: FakeAmp::over(amp, server.address(), is_https),
            xray: FakeXray::over(xray, server, is_https),
            control,
        })
    }

    /// The endpoint of all services, for `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_IAM` and so on: on a host that is no name
    /// of AWS, what is signed for IAM is IAM's, in whichever region, and what is signed for `aps` AMP's; of the rest `/`
    /// is STS and every other path X-Ray.
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

    /// The fake AMP.
    pub fn amp(&self) -> &FakeAmp {
        &self.amp
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

    /// The fake IAM. No call is answered while it is held.
    pub fn iam(&self) -> MutexGuard<'_, Iam> {
        self.iam.lock()
    }

    /// Returns as soon as IAM fulfils `condition`, which is looked at after each call. Set your own time limit around it.
    pub async fn wait_until_iam(&self, condition: impl Fn(&Iam) -> bool) {
        self.iam.wait_until(condition).await;
    }
}

/// The one of a region.
fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

struct Router {
    names: [String; 4],
    region: String,
    sts: Arc<FakeSts>,
    iam: Arc<Service>,
    xray: Arc<fake_xray::Shared>,
    amp: Arc<fake_amp::Shared>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Xray,
    Amp,
    Sts,
    StsGlobal,
    /// The region that signatures must be for; None: any.
    Iam(Option<&'static str>),
}

impl Router {
    /// None: a name of AWS that is not played. `service`: what the request is signed for.
    fn endpoint(&self, host: &str, path: &str, service: Option<&str>) -> Option<Endpoint> {
        let host = host.to_ascii_lowercase();
        let [xray, amp, sts, global] = &self.names;
        if host == *xray {
            Some(Endpoint::Xray)
        } else if host == *amp {
            Some(Endpoint::Amp)
        } else if host == *sts {
            Some(Endpoint::Sts)
        } else if host == *global {
            Some(Endpoint::StsGlobal)
        } else if let Some((_, region)) = IAM_ENDPOINTS.iter().find(|(name, _)| host == *name) {
            Some(Endpoint::Iam(Some(region)))
        } else if host.contains(".amazonaws.com") || host.ends_with(".aws") {
            None
        } else if service == Some("iam") {
            // Where SDKs are told another endpoint, they sign for the region of the client.
            Some(Endpoint::Iam(None))
        } else if service == Some("aps") {
            Some(Endpoint::Amp)
        } else if path == "/" {
            Some(Endpoint::Sts)
        } else {
            Some(Endpoint::Xray)
        }
    }
}

async fn route(router: Arc<Router>, request: Request<Incoming>) -> Result<Response<Body>, CloseConnection> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let endpoint = if path.starts_with("/_fake/") {
        None
    } else {
        router.endpoint(host(&parts), path, sigv4::service(&parts))
    };
    let request = Request::from_parts(parts, body);
    match endpoint {
        Some(Endpoint::Xray) => fake_xray::handle(Arc::clone(&router.xray), request).await,
        Some(Endpoint::Amp) => fake_amp::handle(Arc::clone(&router.amp), request).await,
        Some(Endpoint::Sts) => router.sts.handle(request, &router.region).await,
        Some(Endpoint::StsGlobal) => router.sts.handle(request, GLOBAL_REGION).await,
        Some(Endpoint::Iam(region)) => router.iam.handle(&router.sts, request, region).await,
        None => Ok(fake_xray::error(
            StatusCode::NOT_FOUND,
            "UnknownEndpoint",
            "this name is not played",
        )),
    }
}

/// The name that the client asked for, without the port: `:authority` of HTTP/2, `host` of HTTP/1.1.
fn host(request: &Parts) -> &str {
    let header = || request.headers.get("host")?.to_str().ok();
    let authority = request.uri.authority().map(|authority| authority.as_str());
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
        Some(path) if ["roles", "users", "sts"].contains(&path) || path.starts_with("sts/") => {
            router.sts.steer(&parts.method, path, &body)
        }
        Some(path) if path == "iam" || path.starts_with("iam/") => {
            router.iam.steer(&parts.method, path, &body)
        }
        Some(path) if path.starts_with("amp/") => {
            let path = path.trim_start_matches("amp/");
            fake_amp::steer(&router.amp, &parts.method, path, &body)
        }
        Some(path) => fake_xray::steer(&router.xray, &parts.method, path, &body),
        None => fake_xray::error(StatusCode::NOT_FOUND, "UnknownFakePath", parts.uri.path()),
    })
}

#[cfg(test)]
mod iam_tests;
#[cfg(test)]
mod tests;
