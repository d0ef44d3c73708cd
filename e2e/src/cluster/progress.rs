//! What the holder of a cluster says while it works: to its standard output, which [`super::front`] shows, and to
//! `logs/supervisor.log`.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use crate::clock;

/// The line that says that the cluster can be used.
pub(crate) const READY: &str = "ready";

/// Lines with the time since the start.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    log: Option<File>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            started: clock::now(),
            log: None,
        }
    }

    /// From now on also to this file.
    pub(crate) fn log_to(&mut self, file: &Path) -> anyhow::Result<()> {
        let log = File::create(file).with_context(|| format!("making {}", file.display()))?;
        self.log = Some(log);
        Ok(())
    }

    /// One line with the time.
    pub(crate) fn say(&mut self, text: impl Display) {
        let seconds = clock::now().duration_since(self.started).as_secs_f64();
        self.write(&format!("cluster: {seconds:5.1} s  {text}"));
    }

    /// The cluster can be used.
    pub(crate) fn ready(&mut self) {
        self.write(READY);
    }

    /// Whoever listened may be gone, and the removal has to go on all the same.
    fn write(&mut self, line: &str) {
        drop(writeln!(std::io::stdout(), "{line}"));
        if let Some(log) = &mut self.log {
            drop(writeln!(log, "{line}"));
        }
    }
}
