//! An API server that is as real as these tests need: it stores objects, keeps `resourceVersion`, `managedFields` and
//! finalizers, collects what an owner leaves behind, and refuses what it is told to refuse.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use kube::client::Body;
use serde_json::{Value, json};

use super::faults::Faults;

/// What admission does to an object before it is stored.
type Admission = fn(&mut Value);
/// Whether a request (method and path) is answered with an error, and with which.
type Refusal = fn(&str) -> Option<u16>;

/// The API server's state, to be looked at and changed by a test.
#[derive(Clone, Default)]
pub(crate) struct ApiServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<String>,
    admission: Option<Admission>,
    refusal: Option<Refusal>,
    /// Writes by somebody else that come between a read and a patch.
    interruptions: u32,
    faults: Faults,
    /// Reasons of events, in order.
    events: Vec<String>,
    /// Whole events.
    notes: Vec<String>,
}

impl ApiServer {
    pub(crate) fn client(&self) -> kube::Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, Infallible>(fake.answer(request).await) }
        });
        kube::Client::new(service, "tracing")
    }

    /// What was written since the last look: method and path.
    pub(crate) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// Somebody else's write of any kind.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().store(path, object);
    }

    pub(crate) fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.get(path).unwrap();
        edit(&mut object);
        self.put(path, object);
    }

    pub(crate) fn admit_by(&self, admission: Option<Admission>) {
        self.0.lock().unwrap().admission = admission;
    }

    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        self.0.lock().unwrap().refusal = refusal;
    }

    pub(crate) fn interrupt(&self, times: u32) {
        self.0.lock().unwrap().interruptions = times;
    }

    /// Lets `faults` strike before and after writes.
    pub(crate) fn strike(&self, faults: Faults) {
        self.0.lock().unwrap().faults = faults;
    }

    /// All objects by their paths.
    pub(crate) fn objects(&self) -> BTreeMap<String, Value> {
        self.0.lock().unwrap().objects.clone()
    }

    /// Reasons of the events since the last look.
    pub(crate) fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().events)
    }

    /// All events there ever were.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.0.lock().unwrap().notes.clone()
    }

    /// As `kubectl delete`: what has a finalizer stays.
    pub(crate) fn delete(&self, path: &str, now: &str) {
        let mut state = self.0.lock().unwrap();
        let Some(mut object) = state.objects.get(path).cloned() else {
            return;
        };
        object["metadata"]["deletionTimestamp"] = json!(now);
        state.store(path, object);
        state.collect();
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let kind = head
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let faults = self.0.lock().unwrap().faults.clone();
        // Events are for people: whether one is written twice or not at all changes nothing.
        let counts = head.method != Method::GET && !head.uri.path().ends_with("/events");
        let handle = || {
            self.0
                .lock()
                .unwrap()
                .handle(&head.method, head.uri.path(), kind, body)
        };
        let (status, answer) = match counts {
            true => {
                faults
                    .around(&format!("{} {}", head.method, head.uri.path()), handle)
                    .await
            }
            false => Some(handle()),
        }
        .unwrap_or_else(|| (504, json!("the reply is lost")));
        let answer = if status < 300 {
            answer
        } else {
            let reason = if status == 404 { "NotFound" } else { "Refused" };
            json!({"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": answer})
        };
        let body = Full::new(Bytes::from(answer.to_string()));
        Response::builder().status(status).body(body).unwrap()
    }
}

impl State {
    fn handle(&mut self, method: &Method, path: &str, kind: &str, body: Value) -> (u16, Value) {
        let said = format!("{method} {path}");
        let refused = self.refusal.and_then(|refusal| refusal(&said));
        if let Some(code) = refused.filter(|_| path.contains("/events")) {
            return (code, json!(forbidden(method, path)));
        }
        if path.ends_with("/events") {
            if *method == Method::POST {
                self.notes.push(body.to_string());
                self.events
                    .push(body["reason"].as_str().unwrap_or_default().to_owned());
            }
            return (
                200,
                if *method == Method::GET {
                    json!({"metadata": {}, "items": []})
                } else {
                    body
                },
            );
        }
        if *method != Method::GET {
            self.writes.push(said);
        }
        if let Some(code) = refused {
            return (code, json!(forbidden(method, path)));
        }
        match *method {
            Method::GET => self.read(path),
            Method::POST if path.ends_with("/token") => self.token(path, body),
            Method::POST => self.create(path, body),
            Method::DELETE => (200, self.objects.remove(path).unwrap_or_default()),
            _ if kind.contains("apply") => self.apply(path, body),
            _ if kind.contains("merge") => self.merge(path, &body),
            _ => self.patch(path, body),
        }
    }

    fn read(&self, path: &str) -> (u16, Value) {
        if let Some(object) = self.objects.get(path) {
            return (200, object.clone());
        }
        if path.ends_with("/configmaps") {
            let items: Vec<&Value> = self
                .objects
                .iter()
                .filter(|(key, _)| key.starts_with(path))
                .map(|(_, it)| it)
                .collect();
            return (200, json!({"metadata": {}, "items": items}));
        }
        (404, json!("not found"))
    }

    fn create(&mut self, path: &str, mut object: Value) -> (u16, Value) {
        let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
        if self.objects.contains_key(&path) {
            return (409, json!("already exists"));
        }
        object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        object["metadata"]["managedFields"] =
            json!([{"manager": "tracepipe-operator", "operation": "Update"}]);
        (201, self.store(&path, object))
    }

    fn apply(&mut self, path: &str, object: Value) -> (u16, Value) {
        let Some(mut stored) = self.objects.get(path).cloned() else {
            return (409, json!("uid mismatch"));
        };
        if stored["metadata"]["uid"] != object["metadata"]["uid"] {
            return (409, json!("uid mismatch"));
        }
        json_patch::merge(&mut stored, &object);
        stored["metadata"]["managedFields"] =
            json!([{"manager": "tracepipe-operator", "operation": "Apply"}]);
        (200, self.store(path, stored))
    }

    /// A token that names its ServiceAccount, for the tests' STS.
    fn token(&mut self, path: &str, mut request: Value) -> (u16, Value) {
        let account = path.trim_end_matches("/token");
        if !self.objects.contains_key(account) {
            return (404, json!("not found"));
        }
        request["status"] = json!({"token": format!("{account}{}", super::world::CANARY), "expirationTimestamp": "2100-01-01T00:00:00Z"});
        (201, request)
    }

    fn merge(&mut self, path: &str, patch: &Value) -> (u16, Value) {
        let (path, status) = match path.strip_suffix("/status") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let Some(mut stored) = self.objects.get(path).cloned() else {
            return (404, json!("not found"));
        };
        for key in ["uid", "resourceVersion"] {
            let wanted = &patch["metadata"][key];
            if !wanted.is_null() && *wanted != stored["metadata"][key] {
                return (409, json!(format!("another {key}")));
            }
        }
        let before = stored.clone();
        if status {
            json_patch::merge(&mut stored["status"], &patch["status"]);
        } else {
            json_patch::merge(&mut stored, patch);
            stored["status"] = before["status"].clone();
        }
        let stored = self.store(path, stored);
        self.collect();
        (200, stored)
    }

    /// What is deleted and held by no finalizer goes, and with it what it owns.
    fn collect(&mut self) {
        let gone = |object: &Value| {
            let held = object["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|all| !all.is_empty());
            !object["metadata"]["deletionTimestamp"].is_null() && !held
        };
        let leaving: Vec<String> = self
            .objects
            .values()
            .filter(|object| gone(object))
            .map(|object| object["metadata"]["uid"].to_string())
            .collect();
        self.objects.retain(|_, object| {
            let owner = object["metadata"]["ownerReferences"][0]["uid"].to_string();
            !gone(object) && !leaving.contains(&owner)
        });
    }

    fn patch(&mut self, path: &str, operations: Value) -> (u16, Value) {
        let Some(mut stored) = self.objects.get(path).cloned() else {
            return (404, json!("not found"));
        };
        if self.interruptions > 0 {
            self.interruptions -= 1;
            stored = self.store(path, stored);
        }
        let patch: json_patch::Patch = serde_json::from_value(operations).unwrap();
        match json_patch::patch(&mut stored, &patch) {
            Ok(()) => (200, self.store(path, stored)),
            Err(_) => (
                422,
                json!("the server rejected our request due to an error in our request"),
            ),
        }
    }

    fn store(&mut self, path: &str, mut object: Value) -> Value {
        if let Some(admit) = self.admission {
            admit(&mut object);
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let generation = match self.objects.get(path) {
            Some(old) if old["spec"] == object["spec"] => old["metadata"]["generation"].as_i64().unwrap_or(1),
            Some(old) => old["metadata"]["generation"].as_i64().unwrap_or(1) + 1,
            None => 1,
        };
        object["metadata"]["generation"] = json!(generation);
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

/// As Kubernetes' authorizers say it.
fn forbidden(method: &Method, path: &str) -> String {
    let verb = match *method {
        Method::GET => "get",
        Method::POST => "create",
        Method::DELETE => "delete",
        _ => "patch",
    };
    let mut parts = path.split('/').skip_while(|part| *part != "namespaces").skip(2);
    let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let below = parts.next().map(|below| format!("/{below}")).unwrap_or_default();
    format!(
        r#"{kind} "{name}" is forbidden: User "operator" cannot {verb} resource "{kind}{below}" in API group "" in the namespace "tracing""#
    )
}
