//! The queue of holds: what waits for an officer, and what the officer said. A disposition is written once.

use rusqlite::{OptionalExtension as _, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{State, StateError, from_json, json, us};

#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRow {
    /// Calls that were held under this ticket.
    pub calls: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    pub model: String,
    /// µs UTC.
    pub opened_us: u64,
    pub party: String,
    /// Ids of the rules that hold.
    pub rules: Vec<String>,
    pub ticket: String,
}

/// What an officer decided about a hold.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disposition {
    /// µs UTC.
    pub decided_us: u64,
    /// Whether calls that these rules hold are let through.
    pub grant: bool,
    /// The id of the officer's key.
    pub officer: String,
    pub reason: String,
    /// µs UTC; from then on the rules hold again.
    pub until_us: u64,
}

/// Columns in the order in which rows are read.
const COLUMNS: &str = "ticket, party, model, rules, opened_us, calls, disposition";

impl State {
    /// Open a hold, or count further calls of one that is open; its disposition is left alone.
    pub fn put_hold(&self, hold: &HoldRow) -> Result<(), StateError> {
        let disposition = hold.disposition.as_ref().map(json).transpose()?;
        self.db.execute(
            "INSERT INTO hold (ticket, party, model, rules, opened_us, calls, disposition)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (ticket) DO UPDATE SET calls = excluded.calls",
            params![
                hold.ticket,
                hold.party,
                hold.model,
                json(&hold.rules)?,
                hold.opened_us.cast_signed(),
                hold.calls.cast_signed(),
                disposition
            ],
        )?;
        Ok(())
    }

    /// Oldest first.
    pub fn holds(&self) -> Result<Vec<HoldRow>, StateError> {
        let query = format!("SELECT {COLUMNS} FROM hold ORDER BY opened_us, ticket");
        let mut statement = self.db.prepare(&query)?;
        let mut rows = statement.query([])?;
        let mut holds = Vec::new();
        while let Some(row) = rows.next()? {
            holds.push(read(row)?);
        }
        Ok(holds)
    }

    pub fn hold(&self, ticket: &str) -> Result<Option<HoldRow>, StateError> {
        let query = format!("SELECT {COLUMNS} FROM hold WHERE ticket = ?1");
        let found = self
            .db
            .query_row(&query, [ticket], |row| Ok(read(row)))
            .optional()?;
        found.transpose()
    }

    /// Dispose of a hold; false if that was done before, which then stands.
    pub fn dispose(&self, ticket: &str, disposition: &Disposition) -> Result<bool, StateError> {
        if self.hold(ticket)?.is_none() {
            return Err(StateError::Missing {
                what: "hold",
                id: ticket.into(),
            });
        }
        let changed = self.db.execute(
            "UPDATE hold SET disposition = ?2 WHERE ticket = ?1 AND disposition IS NULL",
            params![ticket, json(disposition)?],
        )?;
        Ok(changed == 1)
    }
}

fn read(row: &Row<'_>) -> Result<HoldRow, StateError> {
    let (rules, disposition): (String, Option<String>) = (row.get(3)?, row.get(6)?);
    let disposition = disposition.map(|text| from_json(&text, "disposition of a hold"));
    Ok(HoldRow {
        calls: us(row, 5)?,
        disposition: disposition.transpose()?,
        model: row.get(2)?,
        opened_us: us(row, 4)?,
        party: row.get(1)?,
        rules: from_json(&rules, "rules of a hold")?,
        ticket: row.get(0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_disposed_of_once() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let mut hold = HoldRow {
            calls: 1,
            disposition: None,
            model: "m1".into(),
            opened_us: 5,
            party: "p_1".into(),
            rules: vec!["us-ear/x".into()],
            ticket: "h_1".into(),
        };
        state.put_hold(&hold).unwrap();
        let yes = Disposition {
            decided_us: 6,
            grant: true,
            officer: "a_1".into(),
            reason: "Reviewed.".into(),
            until_us: 9,
        };
        let no = Disposition {
            grant: false,
            ..yes.clone()
        };
        assert!(state.dispose("h_1", &yes).unwrap());
        assert!(!state.dispose("h_1", &no).unwrap());
        assert!(matches!(
            state.dispose("h_2", &yes),
            Err(StateError::Missing { .. })
        ));
        hold.calls = 2;
        state.put_hold(&hold).unwrap();
        hold.disposition = Some(yes);
        assert_eq!(
            state.holds().unwrap(),
            [hold],
            "a further call opens nothing again"
        );
    }
}
