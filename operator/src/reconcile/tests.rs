use super::*;

fn memory(last_pass: Option<&str>) -> Memory {
    Memory {
        last_pass: last_pass.map(|time| time.parse().unwrap()),
        ..Memory::default()
    }
}

/// Events of a large rollout come without end: each waits for the next pass, and none puts it off.
#[test]
fn a_pass_is_put_off_only_until_the_pause_is_over() {
    let now: Timestamp = "2026-11-21T12:00:00.1Z".parse().unwrap();
    assert_eq!(memory(None).pause(now), None);
    assert_eq!(
        memory(Some("2026-11-21T12:00:00Z")).pause(now),
        Some(PAUSE - Duration::from_millis(100))
    );
    assert_eq!(memory(Some("2026-11-21T11:59:59.8Z")).pause(now), None);
    assert_eq!(memory(Some("2026-11-20T12:00:00Z")).pause(now), None);
    // A clock that was set back.
    assert_eq!(memory(Some("2026-11-21T13:00:00Z")).pause(now), None);
}

#[test]
fn the_wait_of_a_pipeline_that_rests_differs_by_a_tenth_at_most() {
    for _ in 0..100 {
        let wait = jitter(RESYNC);
        assert!(wait >= RESYNC * 9 / 10 && wait <= RESYNC * 11 / 10, "{wait:?}");
    }
}
