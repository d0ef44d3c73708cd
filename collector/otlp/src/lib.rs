//! OTLP as bytes. See the modules in the order of a span's way:
//! [`json`] -> [`walk`] -> [`store`] -> [`edit`] -> [`view`]; [`proto`] has the few prost messages, [`check`] what a
//! request may look like. Requests with metrics go from [`json`] to [`metrics`] and, in `tracepipe-metrics`, become series.

pub mod check;
mod decode;
pub mod edit;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod head;
pub mod id;
pub mod json;
pub mod metrics;
mod outline;
pub mod proto;
pub mod store;
#[cfg(test)]
mod testing;
pub mod view;
pub mod walk;
pub mod watch;
pub mod wire;

pub use head::{SpanDefect, SpanHead};
pub use id::{SpanId, TraceId};
pub use outline::{SpanOutline, TraceOutline};
