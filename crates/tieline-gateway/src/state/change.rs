//! Changes that were begun and of which it is not known yet how they end. A row goes with the change itself, in one
//! transaction: where it stands, the change is not in this file.

use rusqlite::params;

use super::{State, StateError, us, us_opt};

/// A change that was begun, under the id of its entry in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BegunRow {
    pub(crate) at_us: u64,
    /// The activation that was to come with it.
    pub(crate) epoch: Option<u64>,
    pub(crate) id: String,
}

impl State {
    pub(crate) fn begin_change(&self, begun: &BegunRow) -> Result<(), StateError> {
        self.db.execute(
            "INSERT INTO change (id, at_us, epoch) VALUES (?1, ?2, ?3)",
            params![
                begun.id,
                begun.at_us.cast_signed(),
                begun.epoch.map(u64::cast_signed)
            ],
        )?;
        Ok(())
    }

    /// Write anew that the change is not in this file. Once this is durable, no transaction that failed before it can
    /// come back from the write-ahead log after a crash.
    pub(crate) fn renew_change(&self, id: &str) -> Result<bool, StateError> {
        let update = "UPDATE change SET at_us = at_us + 1 WHERE id = ?1";
        Ok(self.db.execute(update, [id])? == 1)
    }

    pub(crate) fn end_change(&self, id: &str) -> Result<(), StateError> {
        self.db.execute("DELETE FROM change WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Oldest first.
    pub(crate) fn begun_changes(&self) -> Result<Vec<BegunRow>, StateError> {
        let mut statement = self
            .db
            .prepare("SELECT id, at_us, epoch FROM change ORDER BY at_us, id")?;
        let rows = statement.query_map([], |row| {
            Ok(BegunRow {
                at_us: us(row, 1)?,
                epoch: us_opt(row, 2)?,
                id: row.get(0)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
