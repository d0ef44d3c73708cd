use std::rc::Rc;

use tracepipe_config::MemoryLimiterSettings;

use super::*;

fn limiter() -> MemoryLimiter {
    MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes: 400 << 20,
        spike_bytes: 100 << 20,
    })
}

fn labelled(hash: u64, label: u8) -> TranslatedSeries {
    TranslatedSeries::sample(hash, Rc::from(&[0x0a, 1, label][..]), 1.0, 7)
}

fn sample(series: u64) -> TranslatedSeries {
    labelled(series, 0)
}

/// Whether the samples are taken out, and why.
fn taken_out(refused: &mut RefusedSeries, samples: &[TranslatedSeries], now: Duration) -> Vec<Reject> {
    let (mut left, mut reasons) = (samples.to_vec(), Vec::new());
    refused.take_out(&mut left, now, |reject| reasons.push(reject));
    assert_eq!(left.len() + reasons.len(), samples.len());
    reasons
}

#[test]
fn a_series_is_left_out_for_ten_minutes_and_no_other_one_is() {
    let limiter = limiter();
    let mut refused = RefusedSeries::new(&limiter);
    assert!(refused.remember(&sample(1), Reject::LabelValueTooLong, Duration::ZERO));
    let both = [sample(1), sample(2), labelled(1, 1), sample(1)];
    let twice = [Reject::LabelValueTooLong; 2];
    assert_eq!(taken_out(&mut refused, &both, Duration::ZERO), twice);
    let just_before = KEPT - Duration::from_millis(1);
    assert_eq!(taken_out(&mut refused, &both, just_before), twice);
    assert_eq!(taken_out(&mut refused, &both, KEPT), []);
    assert_eq!(limiter.accounted(), 0);
}

#[test]
fn what_is_wrong_with_one_sample_says_nothing_of_the_next() {
    let mut refused = RefusedSeries::new(&limiter());
    for reject in [
        Reject::OutOfOrder,
        Reject::TooOld,
        Reject::SeriesLimit,
        Reject::RateLimited,
        Reject::HistogramSize,
        Reject::Other,
        // Of a number it is the text of somebody's label.
        Reject::HistogramInvalid,
    ] {
        assert!(
            !refused.remember(&sample(1), reject, Duration::ZERO),
            "{reject:?}"
        );
    }
    assert_eq!(taken_out(&mut refused, &[sample(1)], Duration::ZERO), []);
}

#[test]
fn of_very_many_series_those_that_came_last_are_remembered() {
    let limiter = limiter();
    let mut refused = RefusedSeries::new(&limiter);
    let most = SERIES_MAX as u64;
    for series in 0..most + 10 {
        refused.remember(&sample(series), Reject::TooManyLabels, Duration::ZERO);
        // Twice is once.
        refused.remember(&sample(series), Reject::TooManyLabels, Duration::ZERO);
    }
    assert_eq!(limiter.accounted(), most * SERIES_BYTES);
    let samples: Vec<_> = (0..most + 10).map(sample).collect();
    let out = taken_out(&mut refused, &samples, Duration::ZERO);
    assert_eq!(out.len(), SERIES_MAX);
    assert_eq!(taken_out(&mut refused, &samples[..10], Duration::ZERO), []);
}
