//! `block_on_overflow`: whether a request's traces fit into `num_traces`.

use tracepipe_otlp::head::SpanHead;

use super::TraceTable;

/// Room for as many new traces of one request is kept for the next.
const ROOM_KEPT: usize = 4096;

impl<S: Default> TraceTable<S> {
    /// With `block_on_overflow`: true when all new traces among these spans can be opened while no more than `num_traces`
    /// are. Otherwise the request is to be refused, retryably: room comes with the next decisions. Without it, always
    /// true.
    ///
    /// A request with more new traces than `num_traces` would never fit: it is taken, and the oldest traces are decided
    /// early. Spans with a defect count for nothing.
    pub fn has_room_for(&mut self, spans: &[SpanHead]) -> bool {
        let room = self.num_traces.saturating_sub(self.open.len());
        if !self.block_on_overflow || spans.len() <= room {
            return true;
        }
        let mut new_traces = std::mem::take(&mut self.new_traces);
        let mut last = None;
        for head in spans {
            let id = head.trace_id;
            if last == Some(id) || head.defect.is_some() {
                continue;
            }
            last = Some(id);
            let hash = self.hasher.hash(id);
            if self.open.find(id, hash).is_none() && !self.memory.knows(hash) {
                new_traces.push(hash);
            }
        }
        new_traces.sort_unstable();
        new_traces.dedup();
        let opened = new_traces.len();
        new_traces.clear();
        new_traces.shrink_to(ROOM_KEPT);
        self.new_traces = new_traces;
        opened <= room || opened > self.num_traces
    }
}
