//! Traces of other systems as traffic: the hour of Azure (CSV), the one of Mooncake (JSON Lines), client series of
//! ServeGen, and a CSV of one's own. A mapping says whose the calls are and what they ask for ([`Mapping`]).
//!
//! Bytes come in pieces ([`TraceReader::feed`]); a call is 64 bytes from the moment in which its line was read. Every line
//! that is wrong is reported with its place, and the file is refused, unless the mapping leaves such rows out; what is left
//! out is counted. Bounds: [`LINE_BYTES_MAX`] a line, [`crate::CALLS_MAX`] calls.

mod azure;
mod calls;
mod fields;
mod lines;
mod mapped;
mod mapping;
mod mooncake;
mod reader;
mod remarks;
mod row;
mod servegen;

pub use self::lines::LINE_BYTES_MAX;
pub use self::mapping::{Format, MAPPING_BYTES_MAX, Mapping};
pub use self::reader::{TraceOptions, TraceReader};
