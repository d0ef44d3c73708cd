//! The identity of one pipeline, from its first pass to its end, against stores that behave as the API server and IAM do.

mod crashes;
mod lag;
mod rights;
mod stories;

use serde_json::json;

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

/// The role that the pods are given.
fn role_of_pods(world: &World) -> Option<String> {
    role_in(&world.api.get(DAEMON_SET)?).map(str::to_owned)
}
