//! The queue of holds: what waits for an officer, and what the officer said last.
//!
//! A legal block is a hold whose only rule is the engine's [`Rule::LEGAL_BLOCK`]. It is in force from when it is written
//! until an officer grants it, and again when a channel refuses the party once more; a refusal by the officer leaves it.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::{Rule, Tick};
use tieline_policy::Block;

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
    /// Of a legal block, what the channel said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<LegalRefusal>,
    /// Ids of the rules that hold.
    pub rules: Vec<String>,
    pub ticket: String,
}

/// A channel's refusal of a model to a party on legal grounds.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegalRefusal {
    /// µs UTC.
    pub at_us: u64,
    pub channel: String,
    /// The HTTP status; absent for a refusal that came in a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
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
    /// µs UTC; of a grant, from then on the rules hold again. Of a refusal, and of a grant that ended a legal block for
    /// good, when it was said.
    pub until_us: u64,
}

/// Columns in the order in which rows are read.
const COLUMNS: &str = "ticket, party, model, rules, opened_us, calls, disposition, refusal";

impl State {
    /// Open a hold, or count further calls of one that is open; its disposition is left alone.
    pub fn put_hold(&self, hold: &HoldRow) -> Result<(), StateError> {
        let disposition = hold.disposition.as_ref().map(json).transpose()?;
        let refusal = hold.refusal.as_ref().map(json).transpose()?;
        self.db.execute(
            "INSERT INTO hold (ticket, party, model, rules, opened_us, calls, disposition, refusal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (ticket) DO UPDATE SET calls = excluded.calls",
            params![
                hold.ticket,
                hold.party,
                hold.model,
                json(&hold.rules)?,
                hold.opened_us.cast_signed(),
                hold.calls.cast_signed(),
                disposition,
                refusal
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

    /// Put a legal block into force, unless it is: the channel's word is newer than an officer's grant. False if there is
    /// no room for it, of `blocks_max`.
    pub fn block(&self, hold: &HoldRow, blocks_max: u64) -> Result<bool, StateError> {
        if let Some(known) = self.hold(&hold.ticket)? {
            if known.disposition.as_ref().is_some_and(|said| said.grant) {
                let refusal = hold.refusal.as_ref().map(json).transpose()?;
                self.db.execute(
                    "UPDATE hold SET disposition = NULL, opened_us = ?2, refusal = ?3 WHERE ticket = ?1",
                    params![known.ticket, hold.opened_us.cast_signed(), refusal],
                )?;
            }
            let calls = known.calls.saturating_add(hold.calls);
            self.put_hold(&HoldRow { calls, ..known })?;
            return Ok(true);
        }
        let count = self.db.query_row(
            "SELECT COUNT(*) FROM hold WHERE rules = ?1",
            [json(&[Rule::LEGAL_BLOCK])?],
            |row| us(row, 0),
        )?;
        if count >= blocks_max {
            return Ok(false);
        }
        self.put_hold(hold)?;
        Ok(true)
    }

    fn reopen(&self, known: &HoldRow, more: &HoldRow) -> Result<(), StateError> {
        // Only a channel's word puts a block in force again: a call that was held before the grant is counted, no more.
        let has_ended =
            |said: &&Disposition| said.grant && said.until_us <= more.opened_us && !known.is_legal_block();
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

impl HoldRow {
    pub fn is_legal_block(&self) -> bool {
        matches!(self.rules.as_slice(), [only] if only == Rule::LEGAL_BLOCK)
    }

    /// The block that such a hold is, and on whom.
    pub(crate) fn block(&self) -> (Arc<str>, Block) {
        let refusal = self.refusal.as_ref();
        let block = Block {
            channel: refusal.map_or_else(|| Arc::from("unknown"), |refusal| Arc::from(&*refusal.channel)),
            model: Arc::from(&*self.model),
            status: refusal.and_then(|refusal| refusal.status),
            ticket: Arc::from(&*self.ticket),
        };
        (Arc::from(&*self.party), block)
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
    let refusal: Option<String> = row.get(7)?;
    let refusal = refusal.map(|text| from_json(&text, "legal refusal of a hold"));
    Ok(HoldRow {
        calls: us(row, 5)?,
        disposition: disposition.transpose()?,
        model: row.get(2)?,
        opened_us: us(row, 4)?,
        party: row.get(1)?,
        refusal: refusal.transpose()?,
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
            refusal: None,
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

    /// What an officer and channels say, in order, and whether the block is in force then.
    #[test]
    fn a_block_lasts_until_it_is_granted_and_is_back_with_the_next_refusal() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let refusal = |at_us| HoldRow {
            calls: 1,
            disposition: None,
            model: "m1".into(),
            opened_us: at_us,
            party: "p_1".into(),
            refusal: Some(LegalRefusal {
                at_us,
                channel: "a".into(),
                status: Some(403),
            }),
            rules: vec![Rule::LEGAL_BLOCK.into()],
            ticket: "h_1".into(),
        };
        let said = |grant| Disposition {
            decided_us: 6,
            grant,
            officer: "a_1".into(),
            reason: "Reviewed.".into(),
            until_us: 6,
        };
        let is_in_force = || state.terms().unwrap().block("p_1", "m1").is_some();
        assert!(!is_in_force());
        assert!(state.block(&refusal(5), 1).unwrap() && is_in_force());
        state.dispose("h_1", &said(false)).unwrap();
        assert!(is_in_force(), "a refusal leaves it");
        state.dispose("h_1", &said(true)).unwrap();
        assert!(!is_in_force());
        assert_eq!(state.open_holds(&[refusal(7)], 1).unwrap(), 0);
        assert!(!is_in_force(), "a call that was held says nothing new");
        assert!(state.block(&refusal(8), 1).unwrap() && is_in_force());
        let hold = state.hold("h_1").unwrap().unwrap();
        assert_eq!(
            (hold.calls, hold.opened_us, hold.refusal),
            (3, 8, refusal(8).refusal)
        );
        let other = HoldRow {
            ticket: "h_2".into(),
            ..refusal(9)
        };
        assert!(!state.block(&other, 1).unwrap(), "there is no room");
    }
}
