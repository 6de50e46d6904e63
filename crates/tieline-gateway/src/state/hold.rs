//! The queue of holds: what waits for an officer, and what the officer said last.

use rusqlite::{OptionalExtension as _, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::Tick;

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
    /// µs UTC; of a grant, from then on the rules hold again. Of a refusal, when it was said.
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

    /// Add these calls to their holds, in one transaction, and open those that are new; a grant that has ended makes way
    /// for the officer's next word. How many holds found no room, of `holds_max`.
    pub fn open_holds(&self, holds: &[HoldRow], holds_max: u64) -> Result<usize, StateError> {
        self.atomically(|state| {
            let count = state
                .db
                .query_row("SELECT COUNT(*) FROM hold", [], |row| us(row, 0))?;
            let (mut room, mut lost) = (holds_max.saturating_sub(count), 0);
            for hold in holds {
                match state.hold(&hold.ticket)? {
                    Some(known) => state.reopen(&known, hold)?,
                    None if room > 0 => {
                        room -= 1;
                        state.put_hold(hold)?;
                    }
                    None => lost += 1,
                }
            }
            Ok(lost)
        })
    }

    fn reopen(&self, known: &HoldRow, more: &HoldRow) -> Result<(), StateError> {
        let has_ended = |said: &&Disposition| said.grant && said.until_us <= more.opened_us;
        if known.disposition.as_ref().is_some_and(|said| has_ended(&said)) {
            self.db.execute(
                "UPDATE hold SET disposition = NULL, opened_us = ?2 WHERE ticket = ?1",
                params![known.ticket, more.opened_us.cast_signed()],
            )?;
        }
        self.put_hold(&HoldRow {
            calls: known.calls.saturating_add(more.calls),
            ..known.clone()
        })
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

    /// Dispose of a hold. What was said of it before is replaced; the ledger has all of it.
    pub fn dispose(&self, ticket: &str, disposition: &Disposition) -> Result<(), StateError> {
        let changed = self.db.execute(
            "UPDATE hold SET disposition = ?2 WHERE ticket = ?1",
            params![ticket, json(disposition)?],
        )?;
        if changed == 0 {
            return Err(StateError::Missing {
                what: "hold",
                id: ticket.into(),
            });
        }
        Ok(())
    }
}

impl Disposition {
    /// Whether it stands: a refusal until something else is said, a grant until it ends.
    pub fn holds(&self, now: Tick) -> bool {
        !self.grant || self.until_us > now.0
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
    fn a_hold_keeps_the_last_word_and_reopens_when_a_grant_has_ended() {
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
        state.dispose("h_1", &no).unwrap();
        state.dispose("h_1", &yes).unwrap();
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
        let mut more = state.holds().unwrap().remove(0);
        more.disposition = None;
        more.calls = 3;
        for (opened_us, expected) in [(8, (5, true)), (9, (9, false))] {
            more.opened_us = opened_us;
            assert_eq!(state.open_holds(&[more.clone()], 1).unwrap(), 0);
            let hold = state.hold("h_1").unwrap().unwrap();
            assert_eq!((hold.opened_us, hold.disposition.is_some()), expected);
        }
        assert_eq!(state.hold("h_1").unwrap().unwrap().calls, 8);
        more.ticket = "h_2".into();
        assert_eq!(state.open_holds(&[more], 1).unwrap(), 1, "there is no room");
    }
}
