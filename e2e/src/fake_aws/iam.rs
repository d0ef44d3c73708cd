//! IAM as a service: [`Iam`] behind a signature, and its part of the control port.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock;
use crate::fake_iam::{Answer, Iam};
use crate::fake_sts::{FakeSts, code_of, done, read};
use crate::fake_xray::{error, json_response};
use crate::query;
use crate::server::{Body, CloseConnection};

/// A document has 131,072 characters at most, each of which may be three in the form, and little stands beside it.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

pub(super) struct Service {
    iam: Arc<Mutex<Iam>>,
    calls: watch::Sender<usize>,
}

impl Service {
    pub(super) fn new(iam: Arc<Mutex<Iam>>) -> Self {
        Self {
            iam,
            calls: watch::Sender::new(0),
        }
    }

    /// A panicking test thread must not hide what was recorded.
    pub(super) fn lock(&self) -> MutexGuard<'_, Iam> {
        self.iam.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn wait_until(&self, condition: impl Fn(&Iam) -> bool) {
        let mut calls = self.calls.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        drop(calls.wait_for(|_| condition(&self.lock())).await);
    }

    /// Answers a call whose signature is for `region`; None: for any.
    pub(super) async fn handle(
        &self,
        sts: &FakeSts,
        request: Request<Incoming>,
        region: Option<&str>,
    ) -> Result<Response<Body>, CloseConnection> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
            return Err(CloseConnection);
        };
        let body = body.to_bytes();
        let signer = sts.signer(&parts, &body, (region, "iam"));
        // Of what is no form there are no fields.
        let form: &[u8] = if is_form(&parts) { &body } else { b"" };
        let Answer { status, body } = match signer {
            Ok(signer) => self.lock().call_as(clock::wall(), &signer.arn, form),
            Err(denied) => self.lock().refuse(form, code_of(&denied), &denied.message()),
        };
        // Whoever waits holds the channel while it asks for the lock: the lock is free again by now.
        self.calls.send_modify(|calls| *calls += 1);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Ok(query::respond(status, body))
    }

    /// Answers the control port.
    pub(super) fn steer(&self, method: &Method, path: &str, body: &Bytes) -> Response<Body> {
        let mut iam = self.lock();
        match (method, path) {
            (&Method::GET, "iam") => json_response(StatusCode::OK, &json!(iam.calls())),
            (&Method::GET, "iam/roles") => json_response(StatusCode::OK, &json!(iam.roles())),
            (&Method::POST, "iam/failure") => done(read(body).map(|script| iam.set_script(script))),
            (&Method::POST, "iam/lag") => done(lag(body).map(|lag| iam.set_read_lag(lag))),
            (&Method::POST, "iam/policy") => {
                done(read(body).and_then(|policy: Option<Value>| iam.set_caller_policy(policy.as_ref())))
            }
            (&Method::POST, "iam/deny") => done(read(body).map(|actions: Vec<String>| {
                let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
                iam.deny(&actions);
            })),
            (&Method::POST, "iam/managed_policies") => {
                done(read(body).map(|arn: String| iam.add_managed_policy(&arn)))
            }
            _ => error(StatusCode::NOT_FOUND, "UnknownFakePath", path),
        }
    }
}

fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get("content-type");
    let is_form =
        |kind: &http::HeaderValue| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded");
    parts.method == Method::POST && kind.is_some_and(is_form)
}

fn lag(body: &Bytes) -> Result<Duration, String> {
    Duration::try_from_secs_f64(read(body)?).map_err(|problem| problem.to_string())
}
