//! Collectors that answer what a test wants them to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::exporting::Unasked;

/// What is answered at which address; at others, and at those without, nobody is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collectors(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<IpAddr, Value>,
    asked: u64,
}

impl Collectors {
    /// From now on.
    pub(crate) fn say(&self, at: IpAddr, answer: Option<Value>) {
        let answers = &mut self.0.lock().unwrap().answers;
        match answer {
            Some(answer) => drop(answers.insert(at, answer)),
            None => drop(answers.remove(&at)),
        }
    }

    pub(crate) fn answer(&self, at: IpAddr) -> Result<Vec<u8>, Unasked> {
        let answer = self.take(at).ok_or(Unasked::NoAnswer)?;
        Ok(answer.to_string().into_bytes())
    }

    fn take(&self, at: IpAddr) -> Option<Value> {
        let mut state = self.0.lock().unwrap();
        state.asked += 1;
        state.answers.get(&at).cloned()
    }

    /// How often anybody was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.0.lock().unwrap().asked
    }
}
