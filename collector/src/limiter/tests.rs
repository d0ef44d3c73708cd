use std::time::Duration;

use super::*;

fn limiter() -> MemoryLimiter {
    MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes: 1_000,
        spike_bytes: 200,
    })
}

fn resident(resident: u64) -> Readings {
    Readings {
        resident,
        ..Readings::default()
    }
}

#[test]
fn a_reservation_is_given_back_wherever_it_is_dropped() {
    let limiter = limiter();
    let other = limiter.hold(1);
    let mut reservation = limiter.try_reserve(500).unwrap();
    reservation.grow(299).unwrap();
    assert_eq!(reservation.grow(1), Err(OverLimit::Now));
    assert_eq!(limiter.try_reserve(1).err(), Some(OverLimit::Now));
    reservation.shrink(699);
    assert_eq!(limiter.accounted(), 101);
    drop((reservation, other));
    assert_eq!(limiter.accounted(), 0);
    assert!(limiter.try_reserve(800).is_ok());
}

#[test]
fn requests_are_refused_above_limit_minus_spike_whoever_holds_the_bytes() {
    let limiter = limiter();
    limiter.set_base(100);
    limiter.set_buffered(300);
    let held = limiter.hold(300);
    assert!(limiter.try_reserve(100).is_ok());
    assert!(limiter.try_reserve(101).is_err());
    drop(held);
    assert!(limiter.try_reserve(400).is_ok());
}

#[test]
fn what_could_never_fit_is_refused_for_good_and_the_rest_retryably() {
    let limiter = limiter();
    limiter.set_base(100);
    assert_eq!(limiter.try_reserve(701).err(), Some(OverLimit::Ever));
    let mut reservation = limiter.try_reserve(400).unwrap();
    assert_eq!(reservation.grow(301), Err(OverLimit::Ever));
    assert_eq!(limiter.try_reserve(400).err(), Some(OverLimit::Now));
}

#[test]
fn a_resident_size_above_the_account_refuses_half_of_the_spike_later() {
    let limiter = limiter();
    limiter.set_readings(resident(900));
    assert_eq!(limiter.try_reserve(1).err(), Some(OverLimit::Now));
    limiter.set_readings(resident(899));
    assert!(limiter.try_reserve(1).is_ok());
}

#[test]
fn between_two_readings_the_resident_size_grows_with_the_account() {
    let limiter = limiter();
    let before = limiter.hold(300);
    limiter.set_readings(resident(700));
    // What was freed since is used again first.
    drop(before);
    let again = limiter.try_reserve(300).unwrap();
    let more = limiter.try_reserve(200).unwrap();
    assert_eq!(limiter.try_reserve(1).err(), Some(OverLimit::Now));
    drop((again, more));
}

#[test]
fn a_smaller_cgroup_takes_the_place_of_the_limit_and_spike_shrinks_with_it() {
    let limiter = limiter();
    let group = |used| Readings {
        resident: 0,
        group_limit: Some(800),
        group_used: Some(used),
    };
    limiter.set_readings(group(0));
    assert!(limiter.is_cut_by_group());
    // 800 less a sixteenth, and four fifths of that.
    assert_eq!((limiter.ceiling(), limiter.soft_limit()), (750, 600));
    assert!(limiter.try_reserve(600).is_ok());
    assert!(limiter.try_reserve(601).is_err());
    // What others use in the cgroup counts.
    limiter.set_readings(group(700));
    assert!(limiter.try_reserve(50).is_ok());
    assert_eq!(limiter.try_reserve(51).err(), Some(OverLimit::Now));
    // It is lifted.
    limiter.set_readings(resident(0));
    assert!(!limiter.is_cut_by_group());
    assert!(limiter.try_reserve(800).is_ok());
}

#[test]
fn what_is_held_changes_its_size() {
    let limiter = limiter();
    let mut held = limiter.hold(10);
    held.set(500);
    assert_eq!(limiter.accounted(), 500);
    held.set(20);
    assert_eq!(limiter.accounted(), 20);
    drop(held);
    assert_eq!(limiter.accounted(), 0);
}

#[test]
fn it_is_calm_while_little_of_what_the_base_leaves_is_used() {
    let limiter = limiter();
    limiter.set_base(80);
    limiter.set_buffered(89);
    assert!(limiter.is_calm());
    let held = limiter.hold(1);
    assert!(!limiter.is_calm());
    drop(held);
    assert!(limiter.is_calm());
}
