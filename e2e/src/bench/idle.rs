//! A collector without load: memory, CPU, time to ready, and what idle connections cost.

use std::time::Duration;

use crate::bench::arm::{Arm, Bench};
use crate::bench::outcome::{MIB, Outcome};
use crate::bench::setup::Setup;
use crate::bench::sink::Sink;
use crate::bench::steady::{Load, open_links};
use crate::clock;

/// From the last connection to the look at them.
const SETTLE: Duration = Duration::from_secs(2);

/// Watches an idle collector for `watch`, then with the connections of `load`.
///
/// # Errors
/// When something does not work.
pub async fn run(
    bench: &Bench,
    arm: Arm,
    setup: &Setup,
    load: &Load,
    watch: Duration,
) -> anyhow::Result<Outcome> {
    let sink = Sink::start(0, clock::now()).await?;
    let collector = bench.start(arm, setup, sink.address(), None).await?;
    tokio::time::sleep(SETTLE).await;
    let before = collector.cpu()?;
    tokio::time::sleep(watch).await;
    let cpu = collector.cpu()?.saturating_sub(before);
    let (rss, peak) = collector.memory()?;
    let links = open_links(&collector, load).await?;
    tokio::time::sleep(SETTLE).await;
    let (connected, _) = collector.memory()?;
    let mut outcome = Outcome {
        memory: collector.memory_series(),
        ..Outcome::default()
    };
    let each = connected.saturating_sub(rss) as f64 / 1024.0 / links.len().max(1) as f64;
    outcome.figures.extend([
        ("rss_idle_mib", rss as f64 / MIB),
        ("rss_peak_mib", peak as f64 / MIB),
        ("rss_connected_mib", connected as f64 / MIB),
        ("kib_per_connection", each),
        (
            "idle_cpu_percent",
            cpu.as_secs_f64() / watch.as_secs_f64() * 100.0,
        ),
        ("ready_ms", collector.ready_after.as_secs_f64() * 1e3),
    ]);
    drop(links);
    collector.stop().await?;
    Ok(outcome)
}
