//! Writes that go wrong, each in turn and in every way.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

/// What goes wrong with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The operator ends before it.
    CrashBefore,
    /// The operator ends after it.
    CrashAfter,
    /// It is done, and the operator hears an error.
    ReplyLost,
    /// It is not done, and the operator hears an error.
    Refused,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::ReplyLost,
        Self::Refused,
    ];
}

/// Counts writes, and makes one of them go wrong.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<FaultState>);

#[derive(Default)]
struct FaultState {
    plan: Mutex<Option<(usize, Fault)>>,
    writes: Mutex<Vec<String>>,
    crashed: Notify,
}

impl Faults {
    /// Does `write`, unless that goes wrong. None: the operator hears an error.
    pub(crate) async fn around<T>(&self, what: &str, write: impl FnOnce() -> T) -> Option<T> {
        let number = {
            let mut writes = self.0.writes.lock().unwrap();
            writes.push(what.to_owned());
            writes.len() - 1
        };
        let fault = self.0.plan.lock().unwrap().filter(|(at, _)| *at == number);
        match fault.map(|(_, fault)| fault) {
            None => Some(write()),
            Some(Fault::CrashBefore) => self.crash().await,
            Some(Fault::CrashAfter) => {
                write();
                self.crash().await
            }
            Some(Fault::ReplyLost) => {
                write();
                None
            }
            Some(Fault::Refused) => None,
        }
    }

    async fn crash<T>(&self) -> T {
        self.0.crashed.notify_one();
        std::future::pending().await
    }

    /// From here on, the write of this number goes wrong in this way.
    pub(crate) fn begin(&self, plan: Option<(usize, Fault)>) {
        *self.0.plan.lock().unwrap() = plan;
        self.0.writes.lock().unwrap().clear();
    }

    /// Ready when the operator has ended.
    pub(crate) async fn crashed(&self) {
        self.0.crashed.notified().await;
    }

    /// Every write since the beginning of the chapter.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.0.writes.lock().unwrap().clone()
    }
}
