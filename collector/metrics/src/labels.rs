//! Names and values of labels.
