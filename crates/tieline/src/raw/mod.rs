//! What the user wrote in `tieline.toml`, in a file of cases, in a catalogue of offers or in a scenario: every value with
//! its place, nothing resolved, nothing defaulted.
//!
//! The tables are read by a reader of our own over the parsed TOML and not by serde, for a serde reader stops at the
//! first mistake and `tieline check` shows every one. A value of the wrong type or an unknown key is reported and left
//! out; the rest is read on. Bounds: the parser refuses nesting beyond 80 levels; entries keep the order of the file.

pub(crate) mod cases;
pub(crate) mod catalogue;
mod nearest;
mod reader;
pub(crate) mod scenario;
pub(crate) mod shape;
mod syntax;

pub(crate) use nearest::{distance, nearest};
pub(crate) use reader::{At, Entries, List, quoted};

use crate::diagnose::Sink;

/// Read a whole file; none if it is not TOML, which is then reported.
pub(crate) fn parse(text: &str, sink: &mut Sink) -> Option<shape::RawConfig> {
    let table = syntax::parse(text, sink)?;
    Some(shape::read(&table, sink))
}

/// Read a file of cases; none if it is not TOML, which is then reported.
pub(crate) fn parse_cases(text: &str, sink: &mut Sink) -> Option<cases::RawCases> {
    let table = syntax::parse(text, sink)?;
    Some(cases::read(&table, sink))
}

/// Read a catalogue; none if it is not TOML, which is then reported.
pub(crate) fn parse_catalogue(text: &str, sink: &mut Sink) -> Option<catalogue::RawCatalogue> {
    let table = syntax::parse(text, sink)?;
    Some(catalogue::read(&table, sink))
}

/// Read a scenario; none if it is not TOML, which is then reported.
pub(crate) fn parse_scenario(text: &str, sink: &mut Sink) -> Option<scenario::RawScenario> {
    let table = syntax::parse(text, sink)?;
    Some(scenario::read(&table, sink))
}

/// The JSON Schema of a scenario.
pub(crate) fn scenario_schema() -> schemars::Schema {
    schemars::schema_for!(scenario::RawScenario)
}

/// The JSON Schema of `tieline.toml`, for editors and for the reference.
pub(crate) fn schema() -> schemars::Schema {
    schemars::schema_for!(shape::RawConfig)
}
