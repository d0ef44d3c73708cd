//! What a user sees.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn minutes(world: &World, operator: Context, count: u32) -> Context {
    world.live(operator, MINUTE * count).await
}

#[tokio::test(start_paused = true)]
async fn a_cluster_name_is_enough_for_a_role_that_is_proven_before_the_first_pod() {
    let world = settled(json!({})).await;
    assert_eq!(world.says(types::IDENTITY_READY), "True/Verified");
    let [arn]: [String; 1] = world.roles().try_into().unwrap();
    assert!(arn.starts_with(
        "arn:aws:iam::111122223333:role/tracing-pipeline/prod-eu/tp-prod-eu-tracing-otel-collector-"
    ));
    assert_eq!(role_of_pods(&world).as_deref(), Some(arn.as_str()));
    assert!(world.is_held());
    let writes = world.faults.writes();
    let at = |what: &str| {
        writes
            .iter()
            .position(|write| write.contains(what))
            .unwrap_or_else(|| panic!("{what}: {writes:?}"))
    };
    // What there may be is written down before it is made, and proven before it is used.
    assert!(at("/status") < at("iam:CreateRole"));
    assert!(at(&format!("PATCH {PIPELINE}")) < at("iam:CreateRole"));
    assert!(at("iam:PutRolePolicy") < at("/token"));
    assert!(at("/token") < at("POST /apis/apps/v1/namespaces/tracing/daemonsets"));
    assert_eq!(world.trespasses(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn at_rest_nothing_is_written_for_a_day() {
    let world = settled(json!({})).await;
    let mut operator = world.operator();
    for _ in 0..100 {
        operator = world.live(operator, MINUTE).await;
        let quiet = world
            .faults
            .writes()
            .into_iter()
            .filter(|write| !write.ends_with("/token"));
        assert_eq!(quiet.collect::<Vec<_>>(), Vec::<String>::new());
        tokio::time::sleep(MINUTE * 15).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_given_needs_no_call_to_iam_and_no_finalizer() {
    let world = World::new(&json!({"identity": {"roleArn": ROLE}}));
    put_given_role(&world, trust_in_collectors(&world));
    world.chapter(None).await;
    assert_eq!(world.says(types::IDENTITY_READY), "True/Verified");
    assert_eq!(world.says(types::READY), "True/Ready");
    assert!(world.cloud.iam.lock().unwrap().calls().is_empty());
    assert!(!world.is_held());
    delete_pipeline(&world);
    assert_eq!(world.api.objects().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_refused_is_said_so_after_three_minutes_and_pods_wait_one() {
    let world = World::new(&json!({"identity": {"roleArn": ROLE}}));
    let operator = world.live(world.operator(), Duration::from_secs(50)).await;
    assert_eq!(world.says(types::IDENTITY_READY), "Unknown/Verifying");
    assert_eq!(world.says(types::COLLECTOR_AVAILABLE), "False/WaitingForIdentity");
    assert_eq!(world.api.get(DAEMON_SET), None);
    let operator = world.live(operator, Duration::from_secs(20)).await;
    assert!(world.api.get(DAEMON_SET).is_some());
    assert_eq!(world.says(types::COLLECTOR_AVAILABLE), "True/RolloutComplete");
    minutes(&world, operator, 3).await;
    assert_eq!(world.says(types::IDENTITY_READY), "False/AssumeRoleDenied");
    assert_eq!(world.says(types::READY), "False/AssumeRoleDenied");
    assert_eq!(world.says(types::STALLED), "True/AssumeRoleDenied");
    assert!(world.message(types::READY).contains("render --iam"));
    assert!(world.api.events().contains(&"AssumeRoleDenied".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn while_aws_is_silent_pods_start_after_a_minute_and_nothing_is_said_to_be_wrong() {
    let world = World::new(&json!({"identity": {"roleArn": ROLE}}));
    world.kill_aws(true);
    let operator = minutes(&world, world.operator(), 2).await;
    assert_eq!(world.says(types::IDENTITY_READY), "Unknown/AWSUnreachable");
    assert_eq!(world.says(types::READY), "True/Ready");
    assert_eq!(role_of_pods(&world).as_deref(), Some(ROLE));
    drop(operator);
}

/// Each call that waits holds one of the few passes there are.
#[tokio::test(start_paused = true)]
async fn a_silent_sts_is_waited_for_by_one_pipeline_and_the_others_hear_of_it() {
    let world = World::new(&json!({"identity": {"roleArn": ROLE}}));
    put_given_role(&world, trust_in_collectors(&world));
    world.kill_aws(true);
    let operator = world.live(world.operator(), Duration::from_secs(3)).await;
    let (other, region) = ("arn:aws:iam::111122223333:role/other", Some("eu-west-1"));
    let told = operator.aws.silence(other, region).unwrap();
    assert_eq!(told.reason, reasons::AWS_UNREACHABLE);
    assert!(
        told.message.contains(other) && !told.message.contains(ROLE),
        "{}",
        told.message
    );
    assert_eq!(operator.aws.silence(other, Some("us-east-1")), None);
    world.faults.begin(None);
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Nor is a token asked for that nobody would look at.
    crate::reconcile::look(NAMESPACE, NAME, &operator).await.unwrap();
    let tokens = world
        .faults
        .writes()
        .into_iter()
        .filter(|write| write.ends_with("/token"));
    assert_eq!(tokens.count(), 0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(operator.aws.silence(other, region), None);
    world.kill_aws(false);
    minutes(&world, operator, 1).await;
    assert_eq!(world.says(types::IDENTITY_READY), "True/Verified");
}

#[test]
fn those_who_failed_together_come_again_at_different_times_and_none_later_than_the_longest_pause() {
    let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let pauses: Vec<SignedDuration> = (0..21)
        .map(|nanos| {
            let now = start + SignedDuration::from_nanos(nanos);
            let mut tries = Backoff::default();
            for _ in 0..9 {
                tries.fail(now);
            }
            tries.not_before().unwrap().duration_since(now)
        })
        .collect();
    assert_eq!(pauses.iter().max(), Some(&SignedDuration::from_secs(20)));
    assert_eq!(pauses.iter().min(), Some(&SignedDuration::from_secs(16)));
    let different: std::collections::BTreeSet<_> = pauses.iter().collect();
    assert_eq!(different.len(), pauses.len());
}

#[tokio::test(start_paused = true)]
async fn a_proven_identity_outlives_a_silent_aws_and_new_operators() {
    let world = settled(json!({})).await;
    let before = world.api.get(DAEMON_SET).unwrap()["spec"].clone();
    world.kill_aws(true);
    let operator = minutes(&world, world.operator(), 40).await;
    assert_eq!(world.says(types::IDENTITY_READY), "True/Verified");
    drop(operator);
    minutes(&world, world.operator(), 40).await;
    assert_eq!(world.says(types::IDENTITY_READY), "True/Verified");
    assert_eq!(world.says(types::READY), "True/Ready");
    assert_eq!(world.api.get(DAEMON_SET).unwrap()["spec"], before);
}

#[tokio::test(start_paused = true)]
async fn without_aws_from_the_start_collectors_run_and_get_their_role_within_a_minute_of_its_return() {
    let world = World::new(&json!({}));
    world.kill_aws(true);
    let operator = minutes(&world, world.operator(), 3).await;
    assert_eq!(world.says(types::IDENTITY_READY), "Unknown/AWSUnreachable");
    assert_eq!(world.says(types::COLLECTOR_AVAILABLE), "True/RolloutComplete");
    assert_eq!(role_of_pods(&world), None);
    world.kill_aws(false);
    minutes(&world, operator, 1).await;
    assert_eq!(world.says(types::READY), "True/Ready");
    assert_eq!(world.says(types::IDENTITY_READY), "True/Verified");
    assert_eq!(role_of_pods(&world), world.roles().pop());
}

#[tokio::test(start_paused = true)]
async fn a_hand_edit_of_the_role_is_repaired_within_ten_minutes_and_told() {
    let world = settled(json!({})).await;
    let operator = world.operator();
    let operator = minutes(&world, operator, 1).await;
    let name = role_name(&world);
    let before = world.end();
    world
        .cloud
        .iam
        .lock()
        .unwrap()
        .change(world.system_time(), &name, |role| {
            role.inline.clear();
            role.trust["Statement"][0]["Condition"] = json!({});
        });
    world.api.events();
    minutes(&world, operator, 10).await;
    assert_eq!(world.end(), before);
    assert_eq!(world.api.events(), ["RoleRepaired"]);
}

/// ACK's community#2102, and every other role of that name.
#[tokio::test(start_paused = true)]
async fn a_role_of_that_name_that_is_not_ours_is_never_touched() {
    for (what, tags) in [
        ("a person's", vec![]),
        (
            "another resource's",
            vec![(crate::managed_role::UID_TAG, "other")],
        ),
    ] {
        let probe = settled(json!({})).await;
        let name = role_name(&probe);
        let arn = probe.roles().pop().unwrap();
        let world = World::new(&json!({}));
        let foreign = fake_iam::Role {
            name: name.clone(),
            path: "/tracing-pipeline/prod-eu/".to_owned(),
            arn,
            trust: trust_in_others(),
            tags: tags
                .into_iter()
                .map(|(key, value): (&str, &str)| (key.to_owned(), value.to_owned()))
                .collect(),
            ..Default::default()
        };
        world.cloud.iam.lock().unwrap().put(world.system_time(), foreign);
        let before = world.cloud.iam.lock().unwrap().role(&name);
        let operator = minutes(&world, world.operator(), 5).await;
        assert_eq!(
            world.says(types::IDENTITY_READY),
            "False/RoleNameConflict",
            "{what}"
        );
        assert!(
            world.message(types::IDENTITY_READY).contains("aws iam tag-role"),
            "{what}"
        );
        delete_pipeline(&world);
        minutes(&world, operator, 5).await;
        assert_eq!(world.api.get(PIPELINE), None, "{what}");
        assert_eq!(world.cloud.iam.lock().unwrap().role(&name), before, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_given_a_role_keeps_its_old_one_until_the_pods_have_the_new() {
    let world = settled(json!({})).await;
    let old = world.roles().pop().unwrap();
    put_given_role(&world, trust_in_others());
    change_spec(&world, &json!({"identity": {"roleArn": ROLE}}));
    // AWS refuses the new one: pods that work stay as they are.
    let operator = minutes(&world, world.operator(), 10).await;
    assert_eq!(role_of_pods(&world).as_deref(), Some(old.as_str()));
    assert!(world.roles().contains(&old));
    assert_eq!(world.says(types::IDENTITY_READY), "False/AssumeRoleDenied");
    let trust = trust_in_collectors(&world);
    world
        .cloud
        .iam
        .lock()
        .unwrap()
        .change(world.system_time(), "prod-eu-tracing", |role| role.trust = trust);
    minutes(&world, operator, 2).await;
    assert_eq!(role_of_pods(&world).as_deref(), Some(ROLE));
    assert_eq!(world.roles(), [ROLE]);
    assert!(!world.is_held());
    assert_eq!(world.says(types::READY), "True/Ready");
}

/// Each action of the operator's policy is needed, and the condition says which is missing.
#[tokio::test(start_paused = true)]
async fn an_action_that_is_denied_is_named_and_nobody_else_is_held_up() {
    type Spoil = fn(&mut fake_iam::Role);
    let spoils: [(&str, Option<Spoil>); 9] = [
        ("iam:CreateRole", None),
        (
            "iam:TagRole",
            Some(|role| drop(role.tags.remove("tracepipe.dev/name"))),
        ),
        ("iam:GetRole", None),
        ("iam:PutRolePolicy", None),
        ("iam:GetRolePolicy", Some(|_| {})),
        ("iam:ListRolePolicies", Some(|_| {})),
        ("iam:ListAttachedRolePolicies", Some(|_| {})),
        (
            "iam:UpdateAssumeRolePolicy",
            Some(|role| role.trust["Statement"][0]["Condition"] = json!({})),
        ),
        (
            "iam:PutRolePermissionsBoundary",
            Some(|role| role.boundary = None),
        ),
    ];
    for (action, spoil) in spoils {
        let world = match spoil {
            None => World::new(&json!({})),
            Some(spoil) => {
                let world = settled(json!({})).await;
                change_role(&world, spoil);
                world
            }
        };
        world.cloud.iam.lock().unwrap().deny(&[action]);
        let operator = minutes(&world, world.operator(), 12).await;
        let said = world.message(types::IDENTITY_READY);
        assert!(
            said.contains(action),
            "{action}: {} {said}",
            world.says(types::IDENTITY_READY)
        );
        assert!(said.contains("iam-policy"), "{said}");
        world.cloud.iam.lock().unwrap().deny(&[]);
        minutes(&world, operator, 2).await;
        assert_eq!(world.says(types::IDENTITY_READY), "True/Verified", "{action}");
        assert!(!world.message(types::IDENTITY_READY).contains(action), "{action}");
    }
    for action in ["iam:DeleteRolePolicy", "iam:DeleteRole"] {
        let world = settled(json!({})).await;
        world.cloud.iam.lock().unwrap().deny(&[action]);
        delete_pipeline(&world);
        let operator = minutes(&world, world.operator(), 2).await;
        assert_eq!(world.says(types::IDENTITY_READY), "False/AccessDenied");
        assert!(world.message(types::IDENTITY_READY).contains(action));
        world.cloud.iam.lock().unwrap().deny(&[]);
        minutes(&world, operator, 1).await;
        assert_eq!(world.api.get(PIPELINE), None);
    }
}

/// The shipped policy lets the operator do all of its work, and none of its actions is for nothing: see above.
#[tokio::test(start_paused = true)]
async fn the_policy_that_is_printed_names_each_action_that_is_tested_above_and_no_other() {
    let account = crate::iam::Account::parse("111122223333").unwrap();
    let policy = crate::operator_policy::document("aws", &account, &managed_roles());
    let mut actions: Vec<&str> = Vec::new();
    for statement in policy["Statement"].as_array().unwrap() {
        actions.extend(
            statement["Action"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one.as_str().unwrap()),
        );
    }
    actions.sort_unstable();
    actions.dedup();
    let mut tested = vec![
        "iam:CreateRole",
        "iam:TagRole",
        "iam:GetRole",
        "iam:PutRolePolicy",
        "iam:GetRolePolicy",
        "iam:ListRolePolicies",
        "iam:ListAttachedRolePolicies",
        "iam:UpdateAssumeRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteRolePolicy",
        "iam:DeleteRole",
    ];
    tested.sort_unstable();
    assert_eq!(actions, tested);
}

#[tokio::test(start_paused = true)]
async fn a_boundary_that_is_not_there_is_said_so() {
    let mut world = World::new(&json!({}));
    let roles = world.settings.managed_roles.as_mut().unwrap();
    roles.boundary = Some("arn:aws:iam::111122223333:policy/missing".to_owned());
    world.permit();
    minutes(&world, world.operator(), 1).await;
    assert_eq!(world.says(types::IDENTITY_READY), "False/BoundaryMissing");
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_makes_no_roles_refuses_and_touches_nothing() {
    let mut world = World::new(&json!({}));
    world.settings.managed_roles = None;
    minutes(&world, world.operator(), 2).await;
    assert_eq!(world.says(types::CONFIG_ACCEPTED), "False/ManagedRolesOff");
    assert_eq!(world.api.objects().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_goes_to_aws_no_role_is_made() {
    let world = World::new(&json!({"exporters": {"xray": {"mode": "Disabled"}, "logging": {}}}));
    world.chapter(None).await;
    assert_eq!(world.says(types::IDENTITY_READY), "Unknown/NotNeeded");
    assert_eq!(world.says(types::READY), "True/Ready");
    assert!(world.roles().is_empty());
    assert!(!world.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_role_moves_to_another_path_without_a_moment_without_one() {
    let mut world = settled(json!({})).await;
    let old = world.roles().pop().unwrap();
    change_path(&mut world);
    world.chapter(None).await;
    let [new]: [String; 1] = world.roles().try_into().unwrap();
    assert!(new.contains(":role/moved/prod-eu/tp-"), "{new}");
    assert_eq!(role_of_pods(&world), Some(new));
    let writes = world.faults.writes();
    let at = |what: &str| writes.iter().position(|write| write.contains(what)).unwrap();
    assert!(at("daemonsets") < at("iam:DeleteRole"), "{writes:#?}");
    assert_eq!(world.says(types::READY), "True/Ready");
    let pipeline = world.api.get(PIPELINE).unwrap();
    assert!(!pipeline["status"].to_string().contains(&old), "{pipeline}");
    assert!(
        world.now() < "2026-11-21T12:20:00Z".parse().unwrap(),
        "it came to rest at {}",
        world.now()
    );
}

/// Where the operator's log goes in a test.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Tokens and credentials, given and refused, repeated by AWS in its own words.
#[tokio::test(start_paused = true)]
async fn no_secret_is_logged_told_counted_or_stored() {
    use tracing_subscriber::layer::SubscriberExt;
    let log = Log::default();
    let writer = log.clone();
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(move || writer.clone());
    let filter = crate::log_filter(tracing_subscriber::filter::LevelFilter::TRACE);
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(filter).with(layer));
    let granted = settled(json!({})).await;
    let refused = World::new(&json!({"identity": {"roleArn": ROLE}}));
    let operator = minutes(&refused, refused.operator(), 5).await;
    assert!(
        refused.message(types::IDENTITY_READY).contains("(the token)"),
        "{}",
        refused.message(types::IDENTITY_READY)
    );
    for world in [&granted, &refused] {
        let stored = serde_json::to_string(&world.api.objects()).unwrap();
        assert!(!stored.contains(CANARY), "{stored}");
        assert!(!world.api.notes().concat().contains(CANARY));
    }
    assert!(!operator.metrics.render().contains(CANARY));
    change_spec(&refused, &json!({"identity": {"roleArn": null}}));
    refused.kill_aws(true);
    minutes(&refused, operator, 2).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!log.contains(CANARY), "{log}");
}

/// The operator's own policy was not made for the new path: what works stays.
#[tokio::test(start_paused = true)]
async fn a_role_that_cannot_be_made_takes_no_working_one_away() {
    let mut world = settled(json!({})).await;
    let old = world.roles();
    let policy = world.settings.clone();
    change_path(&mut world);
    world.settings.managed_roles = Some(crate::settings::ManagedRoles {
        path_prefix: "/moved/".to_owned(),
        ..policy.managed_roles.unwrap()
    });
    world.cloud.iam.lock().unwrap().deny(&["iam:CreateRole"]);
    let operator = minutes(&world, world.operator(), 30).await;
    assert_eq!(world.says(types::IDENTITY_READY), "False/AccessDenied");
    assert_eq!(role_of_pods(&world).as_deref(), old.first().map(String::as_str));
    assert_eq!(world.roles(), old);
    world.cloud.iam.lock().unwrap().deny(&[]);
    minutes(&world, operator, 2).await;
    assert_ne!(world.roles(), old);
    assert_eq!(world.roles().len(), 1);
    assert_eq!(world.says(types::READY), "True/Ready");
}

/// By a restored backup, for example.
/// The operator's rights in a namespace that is deleted go before the namespace does.
/// A resource of the same name is another one.
#[tokio::test(start_paused = true)]
async fn what_was_proven_of_a_resource_is_not_proven_of_its_successor() {
    let world = settled(json!({})).await;
    let operator = minutes(&world, world.operator(), 1).await;
    let role = world.roles();
    world.api.edit(PIPELINE, |pipeline| {
        pipeline["metadata"]["uid"] = json!("another");
        pipeline["status"] = Value::Null;
    });
    minutes(&world, operator, 1).await;
    assert_eq!(world.says(types::IDENTITY_READY), "False/RoleNameConflict");
    assert_eq!(world.roles(), role);
}

/// Somebody's edit is no change of the role: it waits for no proof.
#[tokio::test(start_paused = true)]
async fn another_role_in_the_pods_by_hand_is_put_back_at_once() {
    let world = settled(json!({})).await;
    let role = role_of_pods(&world);
    world.kill_aws(true);
    world.api.edit(DAEMON_SET, |live| {
        let text = live["spec"]
            .to_string()
            .replace("role/tracing-pipeline/", "role/another/");
        live["spec"] = serde_json::from_str(&text).unwrap();
    });
    assert_ne!(role_of_pods(&world), role);
    world.live(world.operator(), Duration::from_secs(10)).await;
    assert_eq!(role_of_pods(&world), role);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_that_is_deleted_by_hand_is_made_again_at_once() {
    let world = World::new(&json!({"identity": {"roleArn": ROLE}}));
    world.kill_aws(true);
    let operator = minutes(&world, world.operator(), 2).await;
    world.api.delete(DAEMON_SET, &world.now().to_string());
    assert_eq!(role_of_pods(&world), None);
    world.live(operator, Duration::from_secs(15)).await;
    assert_eq!(role_of_pods(&world).as_deref(), Some(ROLE));
}

/// IAM's lag begins when the role is made, not when it was wished for.
#[tokio::test(start_paused = true)]
async fn a_role_that_was_long_not_made_is_not_refused_before_it_is() {
    let mut world = settled(json!({})).await;
    change_path(&mut world);
    world.cloud.iam.lock().unwrap().deny(&["iam:CreateRole"]);
    let operator = world.operator();
    change_spec(&world, &json!({"samplingRatePercentage": 50}));
    let operator = minutes(&world, operator, 30).await;
    world
        .cloud
        .iam
        .lock()
        .unwrap()
        .set_read_lag(Duration::from_secs(60));
    world.cloud.iam.lock().unwrap().deny(&[]);
    let operator = world.live(operator, Duration::from_secs(40)).await;
    assert_eq!(world.says(types::IDENTITY_READY), "Unknown/Verifying");
    minutes(&world, operator, 2).await;
    assert_eq!(world.says(types::IDENTITY_READY), "True/Verified");
}
