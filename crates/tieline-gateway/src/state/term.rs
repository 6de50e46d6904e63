//! Licences and statements as they were recorded, and what has been used of licences that are counted. Bodies are texts
//! of the policy library; this file only keeps them.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};
use tieline_core::Tick;
use tieline_policy::{Clearance, Grant, Licence, Statement, Terms};

use super::{State, StateError, damaged, from_json, us, us_opt};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LicenceRow {
    /// The licence as it was recorded.
    pub body: String,
    pub id: String,
    pub revoked_us: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    /// The statement as it was recorded.
    pub body: String,
    pub id: String,
    pub party: String,
    pub revoked_us: Option<u64>,
}

impl State {
    /// Add a licence, or replace the one that has its id.
    pub fn put_licence(&self, licence: &LicenceRow) -> Result<(), StateError> {
        self.db.execute(
            "INSERT INTO licence (id, body, revoked_us) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET body = excluded.body, revoked_us = excluded.revoked_us",
            params![licence.id, licence.body, licence.revoked_us.map(u64::cast_signed)],
        )?;
        Ok(())
    }

    /// By id, revoked ones included.
    pub fn licences(&self) -> Result<Vec<LicenceRow>, StateError> {
        let mut statement = self
            .db
            .prepare("SELECT id, body, revoked_us FROM licence ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(LicenceRow {
                body: row.get(1)?,
                id: row.get(0)?,
                revoked_us: us_opt(row, 2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Revoke a licence; false if it was revoked before.
    pub fn revoke_licence(&self, id: &str, at_us: u64) -> Result<bool, StateError> {
        self.revoke("licence", id, at_us)
    }

    /// Add a statement, or replace the one that has its id.
    pub fn put_statement(&self, statement: &StatementRow) -> Result<(), StateError> {
        self.db.execute(
            "INSERT INTO statement (id, party, body, revoked_us) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET party = excluded.party, body = excluded.body,
                 revoked_us = excluded.revoked_us",
            params![
                statement.id,
                statement.party,
                statement.body,
                statement.revoked_us.map(u64::cast_signed)
            ],
        )?;
        Ok(())
    }

    /// By id, revoked ones included.
    pub fn statements(&self) -> Result<Vec<StatementRow>, StateError> {
        let mut statement = self
            .db
            .prepare("SELECT id, party, body, revoked_us FROM statement ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(StatementRow {
                body: row.get(2)?,
                id: row.get(0)?,
                party: row.get(1)?,
                revoked_us: us_opt(row, 3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Revoke a statement; false if it was revoked before.
    pub fn revoke_statement(&self, id: &str, at_us: u64) -> Result<bool, StateError> {
        self.revoke("statement", id, at_us)
    }

    /// Record that `used` calls in all were made under a licence; a number never goes down, so that a late writer cannot
    /// give back what was spent.
    pub fn put_licence_use(&self, licence: &str, used: u64) -> Result<(), StateError> {
        self.db.execute(
            "INSERT INTO licence_use (licence, used) VALUES (?1, ?2)
             ON CONFLICT (licence) DO UPDATE SET used = max(used, excluded.used)",
            params![licence, used.cast_signed()],
        )?;
        Ok(())
    }

    /// What was used of each counted licence, by its id.
    pub fn licence_uses(&self) -> Result<Vec<(String, u64)>, StateError> {
        let mut statement = self
            .db
            .prepare("SELECT licence, used FROM licence_use ORDER BY licence")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, us(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every licence, statement, clearance and legal block, checked together. A hold that an officer granted is a clearance
    /// of its rules for that party on that model; a legal block is in force unless an officer granted it.
    pub fn terms(&self) -> Result<Terms, StateError> {
        let licences = self.licences()?.into_iter().map(|row| {
            let licence: Licence = from_json(&row.body, "licence")?;
            Ok(Licence {
                revoked: row.revoked_us.map(Tick).or(licence.revoked),
                ..licence
            })
        });
        let statements = self.statements()?.into_iter().map(|row| {
            let statement: Statement = from_json(&row.body, "statement")?;
            Ok(Statement {
                revoked: row.revoked_us.map(Tick).or(statement.revoked),
                ..statement
            })
        });
        let (mut blocks, mut grants) = (Vec::new(), Vec::new());
        for hold in self.holds()? {
            if hold.is_legal_block() {
                let is_over = hold.disposition.as_ref().is_some_and(|said| said.grant);
                blocks.extend((!is_over).then(|| hold.block()));
                continue;
            }
            let Some(said) = hold.disposition.filter(|said| said.grant) else {
                continue;
            };
            grants.extend(hold.rules.iter().map(|rule| Grant {
                clearance: Clearance {
                    model: Some(Arc::from(&*hold.model)),
                    rule: Arc::from(&**rule),
                    ticket: Arc::from(&*hold.ticket),
                },
                party: Arc::from(&*hold.party),
                until: Some(Tick(said.until_us)),
            }));
        }
        let licences = licences.collect::<Result<_, StateError>>()?;
        let statements = statements.collect::<Result<_, StateError>>()?;
        let terms = Terms::new(licences, statements, grants).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            damaged("terms", &format!("{first} ({} problems in all)", problems.len()))
        })?;
        let with = |terms: Terms, (party, block)| terms.with_block(party, block);
        Ok(blocks.into_iter().fold(terms, with))
    }

    /// `what` is the name of a table with an id.
    fn revoke(&self, what: &'static str, id: &str, at_us: u64) -> Result<bool, StateError> {
        let select = format!("SELECT revoked_us FROM {what} WHERE id = ?1");
        let before: Option<Option<i64>> = self.db.query_row(&select, [id], |row| row.get(0)).optional()?;
        match before {
            None => Err(StateError::Missing { what, id: id.into() }),
            Some(Some(_)) => Ok(false),
            Some(None) => {
                let update = format!("UPDATE {what} SET revoked_us = ?2 WHERE id = ?1");
                self.db.execute(&update, params![id, at_us.cast_signed()])?;
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_back_and_revoked_once() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let licence = LicenceRow {
            body: r#"{"id":"l_1"}"#.into(),
            id: "l_1".into(),
            revoked_us: None,
        };
        let statement = StatementRow {
            body: "{}".into(),
            id: "s_1".into(),
            party: "p_1".into(),
            revoked_us: None,
        };
        state.put_licence(&licence).unwrap();
        state.put_statement(&statement).unwrap();
        drop(state);
        let state = State::open(dir.path()).unwrap();
        assert_eq!(state.licences().unwrap(), [licence]);
        assert_eq!(state.statements().unwrap(), [statement]);
        assert!(state.revoke_licence("l_1", 7).unwrap() && state.revoke_statement("s_1", 8).unwrap());
        assert!(
            !state.revoke_licence("l_1", 9).unwrap(),
            "the first revocation stands"
        );
        assert_eq!(state.licences().unwrap()[0].revoked_us, Some(7));
        assert_eq!(state.statements().unwrap()[0].revoked_us, Some(8));
        for error in [state.revoke_licence("x", 9), state.revoke_statement("x", 9)] {
            assert!(matches!(error, Err(StateError::Missing { .. })));
        }
    }

    #[test]
    fn terms_are_made_of_what_is_recorded() {
        use crate::state::{Disposition, HoldRow};
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let body = r#"{"authority":"a","id":"l-1","issuer":"i","kind":"k","parties":[{"id":"p_1"}],
            "t":"tieline/licence/v1","valid_from":5}"#;
        let licence = |id: &str, body: &str| LicenceRow {
            body: body.into(),
            id: id.into(),
            revoked_us: Some(7),
        };
        state.put_licence(&licence("l-1", body)).unwrap();
        for (ticket, grant) in [("t_1", true), ("t_2", false)] {
            let hold = HoldRow {
                calls: 1,
                disposition: Some(Disposition {
                    decided_us: 1,
                    grant,
                    officer: "a_1".into(),
                    reason: "r".into(),
                    until_us: 9,
                }),
                model: "m".into(),
                opened_us: 1,
                party: "p_1".into(),
                refusal: None,
                rules: vec!["p/r".into(), "p/q".into()],
                ticket: ticket.into(),
            };
            state.put_hold(&hold).unwrap();
        }
        let terms = state.terms().unwrap();
        assert_eq!(terms.licences()[0].revoked, Some(Tick(7)));
        let tickets: Vec<_> = terms
            .grants()
            .iter()
            .map(|grant| (&*grant.clearance.ticket, &*grant.clearance.rule, grant.until))
            .collect();
        assert_eq!(
            tickets,
            [("t_1", "p/r", Some(Tick(9))), ("t_1", "p/q", Some(Tick(9)))]
        );
        state.put_licence(&licence("l-2", "{}")).unwrap();
        assert!(matches!(state.terms(), Err(StateError::Damaged { .. })));
    }

    #[test]
    fn what_was_used_never_goes_down() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        for used in [3, 9, 4] {
            state.put_licence_use("l_1", used).unwrap();
        }
        assert_eq!(state.licence_uses().unwrap(), [("l_1".to_owned(), 9)]);
    }
}
