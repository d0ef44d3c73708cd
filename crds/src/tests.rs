//! Tests of the crate as a whole: the CRD, the cases of `testdata`, documents, values.

mod cases;
mod crd;
mod docs;
mod generated;
mod parse;
mod values;
