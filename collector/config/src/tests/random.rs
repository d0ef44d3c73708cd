//! No text makes the parser panic.

use proptest::prelude::*;

use super::{SMALLEST, load_text};
use crate::Override;

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        drop(load_text(&text));
        drop(Override::parse(&text));
    }

    #[test]
    fn text_of_yaml_signs_is_answered(text in "[-a:\\[\\]{},&*!|>'\"%@`#? \n\t<~0-9.$}]{0,120}") {
        drop(load_text(&text));
        drop(Override::parse(&text));
    }

    #[test]
    fn a_damaged_file_is_answered(at in 0..SMALLEST.len(), cut in 0..40_usize, put in "[-a:\\[\\]{}&*$ \n]{0,12}") {
        let end = (at + cut).min(SMALLEST.len());
        drop(load_text(&format!("{}{put}{}", &SMALLEST[..at], &SMALLEST[end..])));
    }

    #[test]
    fn any_variable_is_answered(value in "[-a:\\[\\]{},&*$ \n}env]{0,60}") {
        drop(super::load_with(&["exporters.awsxray=${env:A}", "receivers.otlp.x=a${env:A}"], &[("A", &value)]));
    }
}
