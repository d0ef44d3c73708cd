//! Makes a document that X-Ray would refuse for its size small enough.

use crate::json::Json;
use crate::segment::Document;

/// Makes something smaller, by about as many bytes as the second argument says. False when there is nothing of it.
type Step = for<'d, 't> fn(&'d mut Document<'t>, usize) -> bool;

/// From what is missed least to what is missed most. The last step always suffices: what it leaves is bounded by
/// the limits of a name and of one annotation, escaped, a few kilobytes.
const STEPS: [Step; 10] = [
    |document, excess| document.metadata.drop_largest(excess),
    |document, _| document.sql.as_mut().is_some_and(|sql| sql.cut_texts()),
    |document, _| document.links.drop_attributes(),
    |document, _| document.cause.as_mut().is_some_and(|cause| cause.cut_stacks()),
    |document, _| document.cause.as_mut().is_some_and(|cause| cause.cut_texts()),
    |document, _| {
        document
            .cause
            .as_mut()
            .is_some_and(|cause| cause.keep_first(EXCEPTIONS_KEPT))
    },
    |document, excess| document.annotations.drop_largest(excess),
    |document, _| document.sql.take().is_some(),
    |document, _| document.aws.take().is_some(),
    |document, _| document.keep_essentials(),
];

/// How many exceptions a document keeps that is too large with all of them.
const EXCEPTIONS_KEPT: usize = 10;

/// Writes a document into an empty buffer, as much of it as fits into `bytes_max`. True if something is missing.
pub(crate) fn write_within_limit(document: &mut Document<'_>, bytes_max: usize, json: &mut Json) -> bool {
    let mut steps = STEPS.iter();
    let mut shrunk = false;
    loop {
        json.clear();
        document.write(json);
        let excess = json.len().saturating_sub(bytes_max);
        if excess == 0 || !steps.by_ref().any(|step| step(document, excess)) {
            return shrunk;
        }
        shrunk = true;
    }
}
