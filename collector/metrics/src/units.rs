//! Units as parts of names.
