use super::*;

const WAIT: u64 = 1_000_000;

fn id(n: u64) -> TraceId {
    TraceId((u128::from(n) + 1).to_be_bytes())
}

fn push(traces: &mut OpenTraces<u64>, n: u64) -> Place {
    let hash = traces.hasher.hash(id(n));
    let trace = OpenTrace {
        id: id(n),
        deadline: Duration::from_secs(WAIT + n),
        summary: TraceSummary::EMPTY,
        stored: n,
    };
    let place = traces.push(hash, trace);
    assert_eq!(traces.at(place).stored, n);
    place
}

fn find(traces: &mut OpenTraces<u64>, n: u64) -> Option<Place> {
    let hash = traces.hasher.hash(id(n));
    let place = traces.find(id(n), hash);
    if let Some(place) = place {
        assert_eq!(traces.at(place).stored, n);
        assert!(traces.find_last(id(n)).is_some());
    }
    place
}

fn take(traces: &mut OpenTraces<u64>, n: u64) {
    let place = find(traces, n).unwrap();
    let (hash, trace) = traces.take(place);
    assert_eq!((hash, trace.stored), (traces.hasher.hash(id(n)), n));
    assert!(find(traces, n).is_none());
    assert!(traces.find_last(id(n)).is_none());
}

/// Deadlines in the order in which traces are due.
fn drain(traces: &mut OpenTraces<u64>) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| {
        let (deadline, place) = traces.next()?;
        let (_, trace) = traces.take(place);
        Some((deadline.as_secs(), trace.stored))
    })
    .collect()
}

#[test]
fn places_stay_right_when_the_numbers_wrap() {
    let mut traces = OpenTraces::new(0, IdHasher::new(1));
    traces.front_number = u32::MAX - 5;
    for n in 0..4 {
        push(&mut traces, n);
    }
    for n in 4..20 {
        push(&mut traces, n);
        let oldest = traces.oldest().unwrap();
        assert_eq!(traces.take(oldest).1.stored, n - 4);
        for open in n - 3..=n {
            assert!(find(&mut traces, open).is_some());
        }
        assert!(find(&mut traces, n - 4).is_none());
    }
}

#[test]
fn room_is_given_back_after_a_burst_and_nothing_is_lost() {
    let mut traces = OpenTraces::new(0, IdHasher::new(1));
    for n in 0..100_000 {
        let place = push(&mut traces, n);
        traces.set_root_deadline(place, Duration::from_secs(n));
    }
    let most = traces.memory_bytes();
    while traces.len() > 10 {
        let (_, place) = traces.next().unwrap();
        traces.take(place);
        traces.shrink();
    }
    let left = traces.memory_bytes();
    assert!(left < most / 8, "{left} of {most}");
    for n in 99_990..100_000 {
        assert!(find(&mut traces, n).is_some());
    }
}

#[test]
fn traces_leave_the_middle_and_gaps_are_closed_before_they_are_many() {
    let mut traces = OpenTraces::new(0, IdHasher::new(1));
    traces.front_number = u32::MAX - 20_000;
    // One trace that stays, and a hundred thousand that come and go behind it.
    push(&mut traces, 0);
    for n in 1..100_000 {
        let place = push(&mut traces, n);
        if n % 3 == 0 {
            traces.set_root_deadline(place, Duration::from_secs(n));
        }
        if n > 100 {
            take(&mut traces, n - 100);
        }
        assert!(traces.ring.len() <= 2 * traces.len() + SHRINK_ABOVE + 1);
    }
    assert_eq!(traces.len(), 101);
    for n in (99_900..100_000).chain([0]) {
        assert!(find(&mut traces, n).is_some(), "{n}");
    }
    let order = drain(&mut traces);
    let rooted = (99_900..100_000).filter(|n| n % 3 == 0).map(|n| (n, n));
    let others = (99_900..100_000).filter(|n| n % 3 != 0).map(|n| (WAIT + n, n));
    let expected: Vec<_> = rooted.chain([(WAIT, 0)]).chain(others).collect();
    assert_eq!(order, expected);
}

#[test]
fn roots_of_traces_that_left_early_are_not_remembered_for_long() {
    let mut traces = OpenTraces::new(0, IdHasher::new(1));
    let first = push(&mut traces, 0);
    traces.set_root_deadline(first, Duration::from_secs(1));
    for n in 1..100_000 {
        let place = push(&mut traces, n);
        traces.set_root_deadline(place, Duration::from_secs(1 + n));
        take(&mut traces, n);
    }
    assert!(traces.roots.len() <= SHRINK_ABOVE + 10, "{}", traces.roots.len());
    assert_eq!(drain(&mut traces), [(1, 0)]);
}

#[test]
fn a_root_deadline_counts_when_it_is_earlier_and_the_oldest_goes_first_of_equals() {
    let mut traces = OpenTraces::new(0, IdHasher::new(1));
    let secs = Duration::from_secs;
    for (n, root) in [
        (0, Some(WAIT + 1)),
        (1, None),
        (2, Some(5)),
        (3, Some(5)),
        (4, Some(WAIT)),
    ] {
        let place = push(&mut traces, n);
        if let Some(root) = root {
            traces.set_root_deadline(place, secs(root));
        }
    }
    let expected = [(5, 2), (5, 3), (WAIT, 0), (WAIT, 4), (WAIT + 1, 1)];
    assert_eq!(drain(&mut traces), expected);
}
