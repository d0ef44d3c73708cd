//! Events that are no exceptions: X-Ray has no place for them, so they are metadata.

use tracepipe_otlp::view::{AnyValue, Event, KeyValue};

use crate::attributes::lookup;
use crate::json::Json;
use crate::limits::EVENTS_MAX;

/// What `cause` has of an exception.
const OF_AN_EXCEPTION: [&str; 3] = ["exception.type", "exception.message", "exception.stacktrace"];

/// What `cause` has of an attempt of an AWS SDK that failed.
const OF_AN_ATTEMPT: [&str; 2] = ["http.response.status_code", "aws.http.error_message"];

/// What an event says that stands nowhere else in the document.
#[derive(Debug)]
pub(crate) struct Told<'t> {
    event: &'t Event<'t>,
    /// Attributes that stand in `cause`.
    in_cause: &'static [&'static str],
}

/// The first of the events that say anything, and how many others do.
pub(crate) fn told<'t>(events: &'t [Event<'t>], is_aws_call: bool) -> (Vec<Told<'t>>, u64) {
    let told = |event: &'t Event<'t>| Told {
        event,
        in_cause: in_cause(event, is_aws_call),
    };
    let says = |told: &Told<'_>| told.in_cause.is_empty() || told.attributes().next().is_some();
    let mut said = events.iter().map(told).filter(says);
    let first = said.by_ref().take(EVENTS_MAX).collect();
    (first, said.count() as u64)
}

fn in_cause(event: &Event<'_>, is_aws_call: bool) -> &'static [&'static str] {
    match &*event.name {
        "exception" => &OF_AN_EXCEPTION,
        "HTTP request failure"
            if is_aws_call
                && OF_AN_ATTEMPT
                    .iter()
                    .all(|key| lookup(&event.attributes, key).is_some()) =>
        {
            &OF_AN_ATTEMPT
        }
        _ => &[],
    }
}

impl<'t> Told<'t> {
    fn attributes(&self) -> impl Iterator<Item = &'t KeyValue<'t>> {
        let in_cause = self.in_cause;
        let says =
            move |entry: &&KeyValue<'_>| entry.value != AnyValue::Empty && !in_cause.contains(&&*entry.key);
        self.event.attributes.iter().filter(says)
    }

    /// Writes name, time and attributes.
    pub(crate) fn write(&self, json: &mut Json) {
        json.object(|json| {
            json.key("name").text(&self.event.name);
            json.key("time").seconds(self.event.time_unix_nano);
            if self.attributes().next().is_some() {
                json.key("attributes").some_attributes(self.attributes());
            }
        });
    }
}
