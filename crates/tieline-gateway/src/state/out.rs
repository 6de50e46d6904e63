//! What an operator has cut: it outlives a restart.

use rusqlite::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{State, StateError};

/// Something that an operator has cut.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutRow {
    /// `channel` or `component`.
    pub kind: String,
    pub name: String,
    pub since_us: u64,
}

impl State {
    /// Cut; false if it was out before.
    pub fn put_out(&self, out: &OutRow) -> Result<bool, StateError> {
        let changed = self.db.execute(
            "INSERT OR IGNORE INTO out (kind, name, since_us) VALUES (?1, ?2, ?3)",
            params![out.kind, out.name, out.since_us.cast_signed()],
        )?;
        Ok(changed == 1)
    }

    /// Restore; false if it was not out.
    pub fn remove_out(&self, kind: &str, name: &str) -> Result<bool, StateError> {
        Ok(self.db.execute(
            "DELETE FROM out WHERE kind = ?1 AND name = ?2",
            params![kind, name],
        )? == 1)
    }

    pub fn outs(&self) -> Result<Vec<OutRow>, StateError> {
        let mut statement = self
            .db
            .prepare("SELECT kind, name, since_us FROM out ORDER BY kind, name")?;
        let rows = statement.query_map([], |row| {
            Ok(OutRow {
                kind: row.get(0)?,
                name: row.get(1)?,
                since_us: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
