//! IAM and STS answer with what was true a while ago.

use super::*;

const LAGS: [u64; 6] = [1, 10, 30, 60, 90, 120];

fn lagging(seconds: u64) -> World {
    let world = World::new(&json!({}));
    let lag = Duration::from_secs(seconds);
    world.cloud.iam.lock().unwrap().set_read_lag(lag);
    world
}

#[tokio::test(start_paused = true)]
async fn one_role_is_made_and_ready_soon_after_iam_shows_it() {
    for seconds in LAGS {
        let world = lagging(seconds);
        world
            .live(world.operator(), Duration::from_secs(seconds + 30))
            .await;
        assert_eq!(world.says(types::READY), "True/Ready", "{seconds} s");
        assert_eq!(world.says(types::IDENTITY_READY), "True/Verified", "{seconds} s");
        let creates = world
            .faults
            .writes()
            .into_iter()
            .filter(|write| write == "iam:CreateRole");
        assert_eq!(creates.count(), 1, "{seconds} s");
    }
}

/// The first reads of a new role say that there is none: it must not be left behind.
#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_deleted_just_after_its_role_was_made_leaves_none() {
    for seconds in LAGS {
        for crash in [false, true] {
            let world = lagging(seconds);
            let operator = world.live(world.operator(), Duration::from_secs(2)).await;
            assert_eq!(world.roles().len(), 1);
            delete_pipeline(&world);
            let operator = if crash { world.operator() } else { operator };
            world.live(operator, Duration::from_secs(600)).await;
            assert_eq!(world.roles(), Vec::<String>::new(), "{seconds} s, crash: {crash}");
            assert_eq!(world.api.get(PIPELINE), None, "{seconds} s, crash: {crash}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_ends_right_after_making_the_role_makes_no_second_one() {
    for seconds in LAGS {
        let world = lagging(seconds);
        let probe = World::new(&json!({}));
        probe.chapter(None).await;
        let create = probe
            .faults
            .writes()
            .iter()
            .position(|write| write == "iam:CreateRole")
            .unwrap();
        world.chapter(Some((create, Fault::CrashAfter))).await;
        assert_eq!(world.roles().len(), 1, "{seconds} s");
        assert_eq!(world.says(types::READY), "True/Ready", "{seconds} s");
        assert_eq!(world.trespasses(), Vec::<String>::new(), "{seconds} s");
    }
}

/// What was written is not taken for what somebody else has changed back.
#[tokio::test(start_paused = true)]
async fn a_repair_is_done_once() {
    for seconds in LAGS {
        let world = settled(json!({})).await;
        let lag = Duration::from_secs(seconds);
        world.cloud.iam.lock().unwrap().set_read_lag(lag);
        change_role(&world, |role| role.inline.clear());
        tokio::time::sleep(lag).await;
        world.live(world.operator(), Duration::from_secs(1800)).await;
        let puts = world
            .faults
            .writes()
            .into_iter()
            .filter(|write| write == "iam:PutRolePolicy");
        assert_eq!(puts.count(), 1, "{seconds} s");
    }
}
