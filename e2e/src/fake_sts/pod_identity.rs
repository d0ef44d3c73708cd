//! A strict stand-in for a node's EKS Pod Identity Agent and the service behind it: a pod's token in, credentials of the
//! role of its ServiceAccount's association out. <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::session::Session;
use super::trust::{Caller, Principal};
use super::{FakeSts, Problem, Token};
use crate::clock;
use crate::fake_xray::json_response;
use crate::server::{Body, Listen, Server};

/// The audience of the tokens that the agent takes.
pub const AUDIENCE: &str = "pods.eks.amazonaws.com";
const PATH: &str = "/v1/credentials";
/// Sessions of associations last six hours.
const SECONDS: u64 = 6 * 3600;

/// A role for a ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Association {
    /// The EKS cluster.
    pub cluster: String,
    /// The ServiceAccount's namespace.
    pub namespace: String,
    /// The ServiceAccount.
    pub service_account: String,
    /// ARN of the role.
    pub role: String,
}

/// The running agent. It ends when dropped.
pub struct PodIdentityAgent {
    server: Server,
}

impl PodIdentityAgent {
    /// Binds and serves; roles, keys and what becomes of the credentials are those of `sts`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(sts: Arc<FakeSts>, associations: Vec<Association>) -> std::io::Result<Self> {
        let associations = Arc::new(associations);
        let listen = Listen { at: None, tls: None };
        let server = Server::start(listen, move |request| {
            let (sts, associations) = (Arc::clone(&sts), Arc::clone(&associations));
            async move { Ok(answer(&sts, &associations, &request).await) }
        })
        .await?;
        Ok(Self { server })
    }

    /// For `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.server.address())
    }
}

async fn answer<B>(sts: &FakeSts, associations: &[Association], request: &Request<B>) -> Response<Body> {
    if (request.method(), request.uri().path()) != (&Method::GET, PATH) {
        return json_response(StatusCode::NOT_FOUND, &json!({}));
    }
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match sts
        .assume_by_association(token.unwrap_or_default(), associations)
        .await
    {
        Ok(credentials) => json_response(StatusCode::OK, &credentials),
        Err(problem) => {
            let text = json!({ "code": problem.code(), "message": problem.message() });
            json_response(problem.status(), &text)
        }
    }
}

impl FakeSts {
    async fn assume_by_association(
        &self,
        token: &str,
        associations: &[Association],
    ) -> Result<Value, Problem> {
        let token = Token::parse(token)?;
        let claims = &token.claims;
        if claims.iss != self.options.issuer {
            return Err(Problem::InvalidIdentityToken(
                "the cluster has another issuer".to_owned(),
            ));
        }
        let key = self.key(&token.kid).await?;
        let now = clock::wall();
        token.verify(&key, clock::nanos_of(now) / 1_000_000_000)?;
        if claims.audience()? != AUDIENCE {
            return Err(Problem::InvalidIdentityToken(format!(
                "the audience is not {AUDIENCE}"
            )));
        }
        let (namespace, service_account) = claims.service_account().ok_or(Problem::AccessDenied)?;
        let is_its =
            |one: &&Association| one.namespace == namespace && one.service_account == service_account;
        let association = associations.iter().find(is_its).ok_or(Problem::AccessDenied)?;
        let mut state = self.lock();
        let role = self.role(&state, &association.role, now)?;
        // The service sets the tags; the pod has no say in them.
        let context = [
            ("aws:sourceaccount", self.options.account.as_str()),
            ("aws:requesttag/eks-cluster-name", association.cluster.as_str()),
            ("aws:requesttag/kubernetes-namespace", namespace),
            ("aws:requesttag/kubernetes-service-account", service_account),
        ];
        let caller = Caller {
            principal: Principal::Service(AUDIENCE.to_owned()),
            actions: &["sts:AssumeRole", "sts:TagSession"],
            context: context
                .map(|(key, value)| (key.to_owned(), vec![value.to_owned()]))
                .into(),
        };
        if !role.trust.allows(&caller) {
            return Err(Problem::AccessDenied);
        }
        let seconds = state.session_seconds.unwrap_or(SECONDS);
        let session = Session::new(&role, &format!("eks-{service_account}"), now, seconds)?;
        let (credentials, answer) = (session.credentials.clone(), session.json());
        state.sessions.insert(credentials.access_key_id.clone(), session);
        drop(state);
        (self.admit)(credentials);
        Ok(answer)
    }
}
