//! Numbers of epochs: one for each change of what is in force, never given twice.

use rusqlite::{OptionalExtension as _, params};

use super::{State, StateError};

impl State {
    /// The number of the epoch that `digest` (packs and what enforces) stands for: the last one's if it is the same, else
    /// the next. Whether it is new comes with it.
    pub fn epoch(&self, digest: &[u8; 32]) -> Result<(u64, bool), StateError> {
        let last: Option<(i64, [u8; 32])> = self
            .db
            .query_row(
                "SELECT number, digest FROM epoch ORDER BY number DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        match last {
            Some((number, known)) if known == *digest => Ok((number.cast_unsigned(), false)),
            last => {
                let next = last.map_or(1, |(number, _)| number + 1);
                self.db.execute(
                    "INSERT INTO epoch (number, digest) VALUES (?1, ?2)",
                    params![next, digest],
                )?;
                Ok((next.cast_unsigned(), true))
            }
        }
    }
}
