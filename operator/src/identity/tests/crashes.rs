//! Every write goes wrong in every way, and all ends as if it had not.

use super::*;

/// What happens, and how it begins.
struct Case {
    name: &'static str,
    start: fn() -> Value,
    /// The start is rolled out before.
    settled: bool,
    change: fn(&mut World),
}

fn nothing() -> Value {
    json!({})
}

fn cases() -> Vec<Case> {
    let case = |name, settled, change| Case {
        name,
        start: nothing,
        settled,
        change,
    };
    vec![
        case("create", false, |_| {}),
        case("update", true, |world| {
            change_spec(world, &json!({"samplingRatePercentage": 50}));
        }),
        case("changed role path", true, change_path),
        case("roleArn is set", true, |world| {
            put_given_role(world, trust_in_collectors(world));
            change_spec(world, &json!({"identity": {"roleArn": ROLE}}));
        }),
        Case {
            start: || json!({"identity": {"roleArn": ROLE}}),
            ..case("roleArn is taken away", true, |world| {
                change_spec(world, &json!({"identity": {"roleArn": null}}));
            })
        },
        case("retained from now on", true, |world| {
            change_spec(world, &json!({"identity": {"deletionPolicy": "Retain"}}));
        }),
        case("xray is turned off", true, |world| {
            change_spec(
                world,
                &json!({"exporters": {"xray": {"mode": "Disabled"}, "logging": {}}}),
            );
        }),
        case("PodIdentity from now on", true, |world| {
            change_spec(world, &json!({"identity": {"type": "PodIdentity"}}));
        }),
        case("delete", true, |world| delete_pipeline(world)),
        case("delete at once", false, |world| delete_pipeline(world)),
        case("upgrade", true, |world| {
            world.settings.collector_image = "tracepipe.dev/collector:0.2.0".to_owned();
        }),
        case("the role was spoilt", true, |world| {
            change_role(world, |role| {
                role.inline.clear();
                role.boundary = None;
                role.tags.remove("tracepipe.dev/cluster");
                role.trust["Statement"][0]["Condition"] = json!({});
            });
        }),
    ]
}

async fn tell(case: &Case, fault: Option<(usize, Fault)>) -> World {
    let start = (case.start)();
    let mut world = World::new(&start);
    if start["identity"]["roleArn"].is_string() {
        put_given_role(&world, trust_in_collectors(&world));
    }
    if case.settled {
        world.chapter(None).await;
    }
    (case.change)(&mut world);
    assert!(
        world.chapter(fault).await,
        "{}: {fault:?}: it finds no rest",
        case.name
    );
    world
}

/// ACK's community#2671 is the first of them: an operator that ends between making a role and noting it.
#[tokio::test(start_paused = true)]
async fn whatever_write_goes_wrong_the_end_is_the_same() {
    let mut points = 0;
    for case in cases() {
        let undisturbed = tell(&case, None).await;
        let end = undisturbed.end();
        let writes = undisturbed.faults.writes();
        assert_eq!(undisturbed.trespasses(), Vec::<String>::new());
        for (number, write) in writes.iter().enumerate() {
            for fault in Fault::ALL {
                let world = tell(&case, Some((number, fault))).await;
                let what = format!("{}: {fault:?} at {number}: {write}", case.name);
                assert_eq!(world.end(), end, "{what}\n{:#?}", world.faults.writes());
                assert_eq!(world.trespasses(), Vec::<String>::new(), "{what}");
                points += 1;
            }
        }
    }
    assert!(points >= 300, "{points}");
}
