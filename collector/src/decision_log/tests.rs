use std::sync::Arc;
use std::time::Duration;

use tracepipe_config::{
    DecisionCacheSettings, MemoryLimiterSettings, PolicyKind, PolicySettings, SimplePolicy,
};

use super::*;
use crate::limiter::{Held, MemoryLimiter};

/// Behind this a header has room for more.
const HEADER_SUM_END: usize = 36;

/// Records in a file.
const CACHES: u64 = 10;

fn settings(policies: &[&str]) -> TailSamplingSettings {
    TailSamplingSettings {
        decision_wait: Duration::from_secs(1),
        decision_wait_after_root_received: None,
        num_traces: 1,
        block_on_overflow: false,
        expected_new_traces_per_sec: 0,
        maximum_trace_size_bytes: None,
        sample_on_first_match: false,
        record_policy: true,
        decision_cache: DecisionCacheSettings {
            sampled_cache_size: CACHES / 2,
            non_sampled_cache_size: CACHES / 2,
            directory: None,
        },
        policies: policies
            .iter()
            .map(|name| PolicySettings {
                name: (*name).to_owned(),
                kind: PolicyKind::Simple(SimplePolicy::AlwaysSample),
            })
            .collect(),
    }
}

fn held() -> Held {
    let limiter = MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes: 1 << 20,
        spike_bytes: 0,
    });
    limiter.hold(0)
}

fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers
        .map(|number| Record {
            fingerprint: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            policy: (number % 3 > 0).then_some(number as u32 % 3),
        })
        .collect()
}

/// One run of a process: what it remembers at start; then it makes decisions.
fn run(folder: &Path, policies: &[&str], made: std::ops::Range<u64>) -> (Vec<Record>, u64, LogFigures) {
    let log = DecisionLog::open(folder, &settings(policies), 7);
    let seed = log.seed();
    let mut remembered = Vec::new();
    let writer = log.restore(|record| remembered.push(record)).unwrap();
    writer.write(records(made), held());
    let figures = Arc::clone(writer.counters());
    writer.finish(Duration::from_secs(60));
    (remembered, seed, figures.read())
}

fn bytes_in(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn a_restarted_process_remembers_what_the_last_one_decided() {
    let folder = tempfile::tempdir().unwrap();
    let (first, seed, figures) = run(folder.path(), &["a", "b"], 0..5);
    assert_eq!((first, figures.written), (vec![], 5));
    let (second, same_seed, figures) = run(folder.path(), &["a", "b"], 5..7);
    assert_eq!(second, records(0..5));
    assert_eq!(
        (same_seed, figures.restored, figures.unreadable_bytes),
        (seed, 5, 0)
    );
    assert_eq!(run(folder.path(), &["a", "b"], 0..0).0, records(0..7));
}

#[test]
fn the_files_have_a_bound_and_hold_at_least_what_the_caches_remember() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..100 {
        let begin = start * 7;
        run(folder.path(), &["a"], begin..begin + 7);
        assert!(bytes_in(folder.path()) <= bytes_max(CACHES));
        let made = begin + 7;
        let (remembered, ..) = run(folder.path(), &["a"], 0..0);
        let least = made.min(CACHES);
        assert!(remembered.len() as u64 >= least, "{} of {made}", remembered.len());
        assert_eq!(remembered, records(made - remembered.len() as u64..made));
    }
    // A batch larger than both files.
    let (_, _, figures) = run(folder.path(), &["a"], 0..1000);
    assert_eq!(figures.written, 1000);
    assert!(bytes_in(folder.path()) <= bytes_max(CACHES));
}

#[test]
fn other_policies_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["a", "b"], 0..5);
    for others in [&["b", "a"][..], &["ab"], &["a"], &[]] {
        let other = DecisionLog::open(folder.path(), &settings(others), 99);
        assert_eq!((other.seed(), other.known.len()), (99, 0), "{others:?}");
    }
    let (remembered, ..) = run(folder.path(), &["x"], 0..3);
    assert_eq!(remembered, []);
    assert_eq!(run(folder.path(), &["x"], 0..0).0, records(0..3));
}

#[test]
fn whatever_is_broken_ends_the_reading_and_not_the_process() {
    let whole = tempfile::tempdir().unwrap();
    run(whole.path(), &["a"], 0..8);
    let file = whole.path().join(FILES[0]);
    let good = std::fs::read(&file).unwrap();
    assert_eq!(good.len(), HEADER_BYTES + 8 * RECORD_BYTES);
    // Cut at every byte.
    for length in 0..good.len() {
        std::fs::write(&file, &good[..length]).unwrap();
        let (remembered, _, figures) = run(whole.path(), &["a"], 0..0);
        let left = length.saturating_sub(HEADER_BYTES) / RECORD_BYTES;
        assert_eq!(remembered, records(0..left as u64), "{length} bytes");
        let torn = length.saturating_sub(HEADER_BYTES) % RECORD_BYTES;
        assert_eq!(figures.unreadable_bytes, torn as u64);
    }
    // A bit that fell over, at every byte; what comes next is written behind what is good.
    for at in 0..good.len() {
        for file in FILES {
            std::fs::remove_file(whole.path().join(file)).ok();
        }
        let mut broken = good.clone();
        broken[at] ^= 4;
        std::fs::write(&file, &broken).unwrap();
        let (remembered, ..) = run(whole.path(), &["a"], 8..9);
        let left = remembered.len() as u64;
        assert_eq!(remembered, records(0..left));
        let is_in_room = (HEADER_SUM_END..HEADER_BYTES).contains(&at);
        assert!(left < 8 || is_in_room, "at {at}");
        let (again, ..) = run(whole.path(), &["a"], 0..0);
        assert_eq!(again, [records(0..left), records(8..9)].concat());
    }
}

#[test]
fn a_record_of_another_generation_is_none() {
    let [record] = records(1..2)[..] else { panic!() };
    assert_eq!(Record::parse(record.to_bytes(3), 3), Some(record));
    assert_eq!(Record::parse(record.to_bytes(3), 4), None);
}

#[test]
fn a_disk_that_takes_nothing_costs_a_warning_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    // A file where the folder should be.
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let (remembered, seed, figures) = run(&file, &["a"], 0..4);
    assert_eq!((remembered, seed), (vec![], 7));
    assert_eq!(
        (figures.written, figures.not_written, figures.failures),
        (0, 4, 1)
    );
}

#[test]
fn after_a_failure_the_other_file_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["a"], 0..3);
    // The newer file cannot be opened: a folder has its name.
    let newer = folder.path().join(FILES[0]);
    let log = DecisionLog::open(folder.path(), &settings(&["a"]), 7);
    let writer = log.restore(|_| {}).unwrap();
    std::fs::remove_file(&newer).unwrap();
    std::fs::create_dir(&newer).unwrap();
    // The first batch fails, sixty are skipped, the next goes to the other file.
    for number in 0..62 {
        let counters = Arc::clone(writer.counters());
        writer.write(records(number..number + 1), held());
        while counters.read().written + counters.read().not_written <= number {
            std::thread::yield_now();
        }
    }
    let counters = Arc::clone(writer.counters());
    writer.finish(Duration::from_secs(60));
    let figures = counters.read();
    assert_eq!(
        (figures.written, figures.not_written, figures.failures),
        (1, 61, 1)
    );
    assert_eq!(run(folder.path(), &["a"], 0..0).0, records(61..62));
}
