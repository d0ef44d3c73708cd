//! The few calls that are made to the API server. A thin shell: nothing is decided here.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::Value;

use crate::drift;
use crate::iam;
use crate::names::{self, MANAGER};
use crate::plan::{Kind, Object};

/// One namespace, through the operator's eyes.
#[derive(Clone)]
pub(crate) struct Namespace {
    client: Client,
    name: String,
}

/// The least that the API server gives.
const TOKEN_SECONDS: i64 = 600;

/// Others write a new object a few times at most before it rests.
const CHANGE_TRIES: usize = 5;

/// Why a call was not answered as hoped.
pub(crate) type Error = kube::Error;

impl Namespace {
    /// The namespace `name`.
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// One object, None when there is none.
    pub(crate) async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>, Error> {
        self.api(kind).get_opt(name).await?.map(as_value).transpose()
    }

    /// The ConfigMaps of a pipeline.
    pub(crate) async fn config_maps(&self, pipeline: &str) -> Result<Vec<Value>, Error> {
        let of_pipeline = ListParams::default().labels(&names::selector_text(pipeline));
        let found = self.api(Kind::ConfigMap).list_metadata(&of_pipeline).await?;
        found
            .into_iter()
            .map(|one| serde_json::to_value(one).map_err(Error::SerdeError))
            .collect()
    }

    /// When and why the API server refused a pod of the DaemonSet with this UID last.
    pub(crate) async fn last_refusal(&self, daemon_set: &str) -> Result<Option<(Timestamp, String)>, Error> {
        use k8s_openapi::api::core::v1::Event;
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.name);
        let fields = format!("involvedObject.uid={daemon_set},reason=FailedCreate");
        let events = api.list(&ListParams::default().fields(&fields)).await?;
        let refusals = events.into_iter().filter_map(|event| {
            let last = event.last_timestamp.as_ref().map(|time| time.0);
            let at = last.or_else(|| event.creation_timestamp().map(|time| time.0))?;
            Some((at, event.message?))
        });
        Ok(refusals.max_by_key(|(at, _)| *at))
    }

    /// A token of a ServiceAccount, as STS takes it.
    pub(crate) async fn token(&self, account: &str) -> Result<String, Error> {
        use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.name);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![iam::AUDIENCE.to_owned()],
                expiration_seconds: Some(TOKEN_SECONDS),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await?;
        Ok(answer.status.map(|status| status.token).unwrap_or_default())
    }

    /// Makes an object that does not exist; fails when it does. Never an apply: that would take over what somebody else
    /// made in between.
    pub(crate) async fn create(&self, object: &Object) -> Result<Value, Error> {
        let body: DynamicObject =
            serde_json::from_value(object.desired.clone()).map_err(Error::SerdeError)?;
        let params = PostParams {
            dry_run: false,
            field_manager: Some(MANAGER.to_owned()),
        };
        let made = as_value(self.api(object.kind).create(&params, &body).await?)?;
        let made = self.hand_over(object.kind, &object.name, &made).await?;
        // The create made the server's defaults ours as well; the apply owns what is set, and nothing else.
        let uid = made
            .pointer("/metadata/uid")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.apply(object, uid).await
    }

    /// Turns the fields of [`Self::create`] into fields of an apply, so that later applies can take them back.
    pub(crate) async fn hand_over(&self, kind: Kind, name: &str, live: &Value) -> Result<Value, Error> {
        self.change(kind, name, live, drift::hand_over).await
    }

    /// Makes room for an apply: see [`drift::clashes`].
    pub(crate) async fn make_room(&self, object: &Object, live: &Value) -> Result<Value, Error> {
        let clashes = |live: &Value| drift::clashes(&object.desired, live);
        let live = self.change(object.kind, &object.name, live, clashes).await?;
        self.hand_over(object.kind, &object.name, &live).await
    }

    /// Patches what `operations` says, nothing when that is empty. Somebody else may write at any time (a DaemonSet's
    /// controller does within milliseconds); what is not done after [`CHANGE_TRIES`] is the next pass's work.
    async fn change(
        &self,
        kind: Kind,
        name: &str,
        live: &Value,
        operations: impl Fn(&Value) -> Vec<Value>,
    ) -> Result<Value, Error> {
        let uid = live.pointer("/metadata/uid").cloned();
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let mut live = live.clone();
        for _ in 0..CHANGE_TRIES {
            let operations = operations(&live);
            if operations.is_empty() {
                break;
            }
            let patch = Value::Array(drift::if_unchanged(&live, operations));
            let patch: json_patch::Patch = serde_json::from_value(patch).map_err(Error::SerdeError)?;
            match self
                .api(kind)
                .patch(name, &params, &Patch::Json::<()>(patch))
                .await
            {
                Ok(changed) => return as_value(changed),
                // 422: the resourceVersion is another one by now.
                Err(Error::Api(answer)) if answer.code == 409 || answer.code == 422 => {}
                Err(error) => return Err(error),
            }
            match self.get(kind, name).await? {
                Some(newer) if newer.pointer("/metadata/uid") == uid.as_ref() => live = newer,
                Some(_) | None => break,
            }
        }
        Ok(live)
    }

    /// Applies an object that is known to be ours: `uid` makes the call fail when it is another one by now.
    pub(crate) async fn apply(&self, object: &Object, uid: &str) -> Result<Value, Error> {
        let mut body = object.desired.clone();
        body["metadata"]["uid"] = Value::String(uid.to_owned());
        let params = PatchParams::apply(MANAGER).force();
        as_value(
            self.api(object.kind)
                .patch(&object.name, &params, &Patch::Apply(body))
                .await?,
        )
    }

    /// Removes an object, if it still is the one with this UID.
    pub(crate) async fn delete(&self, kind: Kind, name: &str, uid: &str) -> Result<(), Error> {
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        match self.api(kind).delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(Error::Api(answer)) if answer.code == 404 || answer.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let (group, version) = kind
            .api_version()
            .split_once('/')
            .unwrap_or(("", kind.api_version()));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.name()));
        Api::namespaced_with(self.client.clone(), &self.name, &resource)
    }
}

fn as_value(object: DynamicObject) -> Result<Value, Error> {
    serde_json::to_value(object).map_err(Error::SerdeError)
}
