//! How a role ends.

use super::stories::minutes;
use super::*;

#[tokio::test(start_paused = true)]
async fn foreign_policies_are_told_and_left_and_keep_the_role_from_being_deleted() {
    const FOREIGN: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    let world = settled(json!({})).await;
    let name = role_name(&world);
    world
        .cloud
        .iam
        .lock()
        .unwrap()
        .change(world.system_time(), &name, |role| {
            role.attached.insert(FOREIGN.to_owned());
        });
    minutes(&world, world.operator(), 12).await;
    assert_eq!(world.says(types::POLICY_DRIFT), "True/ForeignPolicies");
    assert!(world.message(types::POLICY_DRIFT).contains(FOREIGN));
    assert_eq!(world.says(types::READY), "True/Ready");
    delete_pipeline(&world);
    let operator = minutes(&world, world.operator(), 2).await;
    assert_eq!(world.says(types::IDENTITY_READY), "False/DeleteConflict");
    assert!(world.message(types::IDENTITY_READY).contains(SKIP_ANNOTATION));
    let role = world.cloud.iam.lock().unwrap().role(&name).unwrap();
    assert!(role.attached.contains(FOREIGN));
    change_role(&world, |role| role.attached.clear());
    minutes(&world, operator, 1).await;
    assert!(world.roles().is_empty());
    assert_eq!(world.api.get(PIPELINE), None);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pipeline_takes_its_collectors_with_it_and_then_its_role() {
    let world = settled(json!({})).await;
    delete_pipeline(&world);
    world.chapter(None).await;
    assert_eq!(world.api.get(PIPELINE), None);
    assert!(world.roles().is_empty());
    let writes = world.faults.writes();
    let at = |what: &str| writes.iter().position(|write| write.contains(what)).unwrap();
    assert!(at("DELETE /apis/apps") < at("iam:DeleteRolePolicy"));
    assert!(world.api.events().contains(&"RoleDeleted".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_retained_role_stays_and_holds_nothing_up() {
    let world = settled(json!({"identity": {"deletionPolicy": "Retain"}})).await;
    assert!(!world.is_held());
    world.kill_aws(true);
    delete_pipeline(&world);
    assert_eq!(world.api.get(PIPELINE), None);
    assert_eq!(world.roles().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn retain_is_minded_however_late_it_is_said() {
    let world = settled(json!({})).await;
    let operator = world.operator();
    change_spec(&world, &json!({"identity": {"deletionPolicy": "Retain"}}));
    minutes(&world, operator, 1).await;
    assert!(!world.is_held());
    change_spec(&world, &json!({"identity": {"deletionPolicy": "Delete"}}));
    minutes(&world, world.operator(), 1).await;
    assert!(world.is_held());
}

#[tokio::test(start_paused = true)]
async fn with_aws_dead_a_deletion_says_why_within_a_minute_and_ends_within_one_of_the_repair() {
    let world = settled(json!({})).await;
    world.kill_aws(true);
    delete_pipeline(&world);
    let operator = minutes(&world, world.operator(), 1).await;
    assert_eq!(world.says(types::IDENTITY_READY), "False/AWSUnreachable");
    assert!(world.api.events().contains(&"AWSUnreachable".to_owned()));
    let operator = minutes(&world, operator, 30).await;
    assert!(world.is_held());
    world.kill_aws(false);
    minutes(&world, operator, 1).await;
    assert_eq!(world.api.get(PIPELINE), None);
    assert!(world.roles().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_documented_way_out_lets_a_resource_go_and_names_what_stays() {
    let world = settled(json!({})).await;
    world.kill_aws(true);
    delete_pipeline(&world);
    let operator = minutes(&world, world.operator(), 2).await;
    world.api.edit(PIPELINE, |pipeline| {
        pipeline["metadata"]["annotations"] = json!({SKIP_ANNOTATION: "true"});
    });
    world.api.events();
    minutes(&world, operator, 1).await;
    assert_eq!(world.api.get(PIPELINE), None);
    assert_eq!(world.api.events(), ["CleanupSkipped"]);
    assert_eq!(world.roles().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_was_lost_loses_no_role() {
    let world = settled(json!({})).await;
    world.api.edit(PIPELINE, |pipeline| {
        pipeline["status"] = json!({"observedGeneration": -1})
    });
    delete_pipeline(&world);
    world.kill_aws(true);
    let operator = minutes(&world, world.operator(), 5).await;
    assert!(world.is_held());
    world.kill_aws(false);
    minutes(&world, operator, 1).await;
    assert_eq!(world.api.get(PIPELINE), None);
    assert_eq!(world.roles(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn without_rights_to_its_children_a_deleted_resource_still_goes() {
    let world = settled(json!({})).await;
    delete_pipeline(&world);
    world.api.refuse(Some(|call| {
        let of_pipeline = call.contains("/tracingpipelines/");
        (!of_pipeline).then_some(403)
    }));
    world.chapter(None).await;
    assert_eq!(world.api.get(PIPELINE), None);
    assert_eq!(world.roles(), Vec::<String>::new());
}
