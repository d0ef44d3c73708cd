//! When work is taken for stuck, and when not.

use super::*;

#[test]
fn a_rollout_in_which_nothing_gets_better_for_ten_minutes_is_stuck() {
    let mut story = Story::new();
    story.pass();
    assert_eq!(
        summary(&story.after(SignedDuration::from_secs(599))),
        ["False/RollingOut", "True/RollingOut", "-"]
    );
    let (before, after) = {
        story.now += SignedDuration::from_secs(1);
        story.pass()
    };
    assert_eq!(summary(&after), ["False/RolloutStuck", "-", "True/RolloutStuck"]);
    assert_eq!(says(&after, types::COLLECTOR_AVAILABLE), "False/RolloutStuck");
    assert_eq!(reasons_of(&before, &after), [(true, "RolloutStuck".to_owned())]);
    assert_eq!(
        summary(&story.after(minutes(60))),
        ["False/RolloutStuck", "-", "True/RolloutStuck"]
    );
    story.rollout = complete();
    assert_eq!(summary(&story.after(minutes(1))), ["True/Ready", "-", "-"]);
}

#[test]
fn what_is_known_better_than_stuck_stays_the_reason() {
    let mut story = Story::new();
    story.rollout = failing(reasons::IMAGE_PULL);
    story.pass();
    assert_eq!(
        summary(&story.after(minutes(10))),
        ["False/ImagePull", "-", "True/ImagePull"]
    );
}

/// 25 percent at a time takes its time in a large cluster.
#[test]
fn a_rollout_that_moves_is_not_stuck_however_long_it_takes() {
    let mut story = Story::new();
    story.pass();
    for ready in 1..20 {
        story.rollout = rolling(ready);
        assert_eq!(
            summary(&story.after(minutes(9))),
            ["False/RollingOut", "True/RollingOut", "-"]
        );
    }
}

#[test]
fn a_collector_that_comes_and_goes_is_no_progress() {
    let mut story = Story::new();
    for minute in 0..10 {
        story.rollout = rolling(minute % 2);
        story.after(minutes(1));
    }
    story.rollout = rolling(1);
    assert_eq!(
        summary(&story.after(minutes(2))),
        ["False/RolloutStuck", "-", "True/RolloutStuck"]
    );
}

#[test]
fn a_stuck_rollout_that_moves_again_is_work_again() {
    let mut story = Story::new();
    story.pass();
    story.after(minutes(10));
    story.rollout = rolling(1);
    assert_eq!(
        summary(&story.after(minutes(1))),
        ["False/RollingOut", "True/RollingOut", "-"]
    );
}

#[test]
fn a_new_spec_has_ten_minutes_of_its_own() {
    let mut story = Story::new();
    story.pass();
    story.after(minutes(9));
    story.change_spec(json!({"samplingRatePercentage": 20}));
    story.revision = "two";
    assert_eq!(summary(&story.after(minutes(2)))[2], "-");
    assert_eq!(summary(&story.after(minutes(9)))[2], "-");
    assert_eq!(summary(&story.after(minutes(1)))[2], "True/RolloutStuck");
    story.change_spec(json!({"samplingRatePercentage": 30}));
    story.revision = "three";
    assert_eq!(summary(&story.after(minutes(1)))[2], "-");
}

#[test]
fn a_new_image_has_ten_minutes_of_its_own() {
    let mut story = Story::new();
    story.rollout = complete();
    story.pass();
    story.after(minutes(60));
    story.rollout = rolling(0);
    story.revision = "two";
    assert_eq!(summary(&story.after(minutes(60)))[2], "-");
    assert_eq!(summary(&story.after(minutes(9)))[2], "-");
}

#[test]
fn a_collector_that_fails_after_an_hour_has_ten_minutes_of_its_own() {
    let mut story = Story::new();
    story.rollout = complete();
    story.pass();
    story.after(minutes(60));
    story.rollout = rolling(1);
    assert_eq!(summary(&story.after(minutes(1)))[2], "-");
    assert_eq!(summary(&story.after(minutes(10)))[2], "True/RolloutStuck");
}

#[test]
fn work_that_a_conflict_held_up_is_not_stuck_when_the_conflict_is_gone() {
    let mut story = Story::new();
    story.conflicts = vec!["Service a is".to_owned()];
    story.pass();
    story.after(minutes(30));
    story.conflicts.clear();
    assert_eq!(
        summary(&story.after(minutes(1))),
        ["False/RollingOut", "True/RollingOut", "-"]
    );
    story.conflicts = vec!["Service a is".to_owned()];
    story.after(minutes(30));
    story.restart();
    story.conflicts.clear();
    assert_eq!(
        summary(&story.after(minutes(1))),
        ["False/RollingOut", "True/RollingOut", "-"]
    );
}

#[test]
fn a_stuck_rollout_stays_so_when_the_operator_restarts() {
    let mut story = Story::new();
    story.pass();
    let stuck = story.after(minutes(10));
    story.restart();
    assert_eq!(story.after(minutes(1)), stuck);
    story.rollout = rolling(1);
    assert_eq!(summary(&story.after(minutes(1)))[2], "-");
}

#[test]
fn a_restart_of_the_operator_says_nothing_new() {
    for rollout in [
        rolling(1),
        complete(),
        failing(reasons::CRASH_LOOP),
        failing(reasons::NO_ELIGIBLE_NODES),
    ] {
        let mut story = Story::new();
        story.rollout = rollout;
        let before = story.pass().1;
        story.restart();
        assert_eq!(story.after(minutes(1)), before);
    }
}

#[test]
fn no_eligible_node_is_neither_work_nor_its_end() {
    let mut story = Story::new();
    story.rollout = failing(reasons::NO_ELIGIBLE_NODES);
    story.pass();
    assert_eq!(
        summary(&story.after(minutes(60))),
        ["False/NoEligibleNodes", "-", "-"]
    );
    story.rollout = rolling(0);
    assert_eq!(
        summary(&story.after(minutes(1))),
        ["False/RollingOut", "True/RollingOut", "-"]
    );
}
