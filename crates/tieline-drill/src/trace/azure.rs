//! The traces of Azure's model serving (AzurePublicDataset): `TIMESTAMP,ContextTokens,GeneratedTokens`, times in UTC. They
//! are calls of a CSV with other names for three columns.

use super::calls::{Calls, Column};

/// The header, and what its columns are here.
const COLUMNS: [(&str, Column); 3] = [
    ("TIMESTAMP", Column::At),
    ("ContextTokens", Column::PromptTokens),
    ("GeneratedTokens", Column::OutputTokens),
];

pub(super) fn is_header(line: &str) -> bool {
    line.trim()
        .split(',')
        .map(str::trim)
        .eq(COLUMNS.iter().map(|(name, _)| *name))
}

pub(super) fn reader() -> Calls {
    Calls::of(COLUMNS.map(|(_, column)| Some(column)).to_vec())
}
