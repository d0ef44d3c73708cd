//! The identity of one pipeline, from its first pass to its end, against stores that behave as the API server and IAM do.

mod crashes;
mod endings;
mod lag;
mod rights;
mod stories;

use serde_json::json;
use tracepipe_e2e::fake_iam;

use super::*;
use crate::testing::world::*;
use crate::testing::*;

/// The state that a story is about: a pipeline with a role of its own, rolled out.
async fn settled(changes: Value) -> World {
    let world = World::new(&changes);
    world.chapter(None).await;
    assert_eq!(
        world.says(types::READY),
        "True/Ready",
        "{:?}",
        world.api.get(PIPELINE)
    );
    world.api.events();
    world
}

/// As a person or GitOps changes the spec.
fn change_spec(world: &World, changes: &Value) {
    world.api.edit(PIPELINE, |pipeline| {
        json_patch::merge(&mut pipeline["spec"], changes)
    });
}

fn delete_pipeline(world: &World) {
    world.api.delete(PIPELINE, &world.now().to_string());
}

/// The chart's path prefix, in an operator that starts anew.
fn change_path(world: &mut World) {
    let roles = world.settings.managed_roles.as_mut().unwrap();
    roles.path_prefix = "/moved/".to_owned();
    // The administrator lets it have both for the time of the move: it is the old one that has to go.
    world.cloud.iam.lock().unwrap().set_caller_policy(None).unwrap();
}

/// A role of the user's own, at [`ROLE`].
fn put_given_role(world: &World, trust: Value) {
    let role = fake_iam::Role {
        name: "prod-eu-tracing".to_owned(),
        path: "/".to_owned(),
        arn: ROLE.to_owned(),
        trust,
        ..fake_iam::Role::default()
    };
    world.cloud.iam.lock().unwrap().put(world.system_time(), role);
}

/// Trust in the collectors' ServiceAccount, as `render --iam` prints it.
fn trust_in_collectors(world: &World) -> Value {
    let pipeline: TracingPipeline = serde_json::from_value(world.api.get(PIPELINE).unwrap()).unwrap();
    crate::iam::document(&[crate::iam::by_token(ROLE, &issuer(), &pipeline).unwrap()])
}

/// Trust in somebody else.
fn trust_in_others() -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ]})
}

/// The name of the one role that there is.
fn role_name(world: &World) -> String {
    let [arn]: [String; 1] = world.roles().try_into().unwrap();
    crate::managed_role::name_in(&arn).to_owned()
}

/// Somebody's change of the one role that there is.
fn change_role(world: &World, change: impl FnOnce(&mut fake_iam::Role)) {
    let name = role_name(world);
    let mut iam = world.cloud.iam.lock().unwrap();
    iam.change(world.system_time(), &name, change);
}

/// The role that the pods are given.
fn role_of_pods(world: &World) -> Option<String> {
    role_in(&world.api.get(DAEMON_SET)?).map(str::to_owned)
}
