//! `links`: other spans that caused this one.

use tracepipe_otlp::view::Link;

use crate::json::Json;
use crate::limits::LINKS_MAX;

/// The `links` block.
#[derive(Debug, Default)]
pub(crate) struct Links<'t> {
    links: Vec<&'t Link<'t>>,
    with_attributes: bool,
}

impl<'t> Links<'t> {
    /// The first of those that lead somewhere, and how many others there are.
    pub(crate) fn new(links: &'t [Link<'t>]) -> (Self, u64) {
        let usable = links
            .iter()
            .filter(|link| link.trace_id.is_valid() && link.span_id.is_valid());
        let kept: Vec<_> = usable.take(LINKS_MAX).collect();
        let dropped = (links.len() - kept.len()) as u64;
        (
            Self {
                links: kept,
                with_attributes: true,
            },
            dropped,
        )
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Keeps only the ids. True if that changed anything.
    pub(crate) fn drop_attributes(&mut self) -> bool {
        let had = self.with_attributes && self.links.iter().any(|link| !link.attributes.is_empty());
        self.with_attributes = false;
        had
    }

    /// Writes the value of `links`.
    pub(crate) fn write(&self, json: &mut Json) {
        json.array(|json| {
            for link in &self.links {
                json.object(|json| {
                    json.key("trace_id").trace_id(&link.trace_id.0);
                    json.key("id").hex(&link.span_id.0);
                    if self.with_attributes && !link.attributes.is_empty() {
                        json.key("attributes").attributes(&link.attributes);
                    }
                });
            }
        });
    }
}
