//! Parties: a name for people, and the record that the registry resolves facts from.
//!
//! Every change is checked by the registry before it is written, so what stands here makes a registry. Names stay in this
//! file; what decisions cite and the ledger keeps is the opaque id.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_policy::{PartyRecord, Registry, Texts};

use super::{State, StateError, damaged, from_json, json};

#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyRow {
    /// For people; never in the ledger.
    pub name: String,
    /// Its id is opaque.
    #[schemars(with = "crate::admin::schemas::RecordSchema")]
    pub record: PartyRecord,
}

impl PartyRow {
    pub fn id(&self) -> &str {
        &self.record.id
    }
}

impl State {
    /// Add a party, or replace the one that has its id.
    pub fn put_party(&self, party: &PartyRow) -> Result<(), StateError> {
        put(&self.db, party)
    }

    /// Many parties in one transaction: all or none.
    pub fn put_parties(&mut self, parties: &[PartyRow]) -> Result<(), StateError> {
        self.atomically(|state| state.put_each_party(parties))
    }

    /// Within a transaction of the caller's.
    pub(crate) fn put_each_party(&self, parties: &[PartyRow]) -> Result<(), StateError> {
        parties.iter().try_for_each(|party| put(&self.db, party))
    }

    /// By id.
    pub fn parties(&self) -> Result<Vec<PartyRow>, StateError> {
        self.parties_after("", usize::MAX)
    }

    /// The first `max` parties whose id is greater than `after`, by id.
    pub fn parties_after(&self, after: &str, max: usize) -> Result<Vec<PartyRow>, StateError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT name, record FROM party WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let mut rows = statement.query(params![after, i64::try_from(max).unwrap_or(i64::MAX)])?;
        let (mut parties, mut texts) = (Vec::new(), Texts::default());
        while let Some(row) = rows.next()? {
            let record: String = row.get(1)?;
            let mut record: PartyRecord = from_json(&record, "party's record")?;
            texts.share(&mut record);
            parties.push(PartyRow {
                name: row.get(0)?,
                record,
            });
        }
        Ok(parties)
    }

    pub fn party(&self, id: &str) -> Result<Option<PartyRow>, StateError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT name, record FROM party WHERE id = ?1")?;
        let found: Option<(String, String)> = statement
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let row = |(name, record): (String, String)| {
            from_json(&record, "party's record").map(|record| PartyRow { name, record })
        };
        found.map(row).transpose()
    }

    pub fn party_count(&self) -> Result<usize, StateError> {
        let count: i64 = self
            .db
            .query_row("SELECT COUNT(*) FROM party", [], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Every party's record, checked together as of `recorded`, under every licence, statement and clearance.
    pub fn registry(&self, recorded: Tick) -> Result<Registry, StateError> {
        let records = self.parties()?.into_iter().map(|party| party.record).collect();
        let registry = Registry::new(recorded, records).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            let why = format!("{first} ({} problems in all)", problems.len());
            damaged("registry of parties", &why)
        })?;
        Ok(registry.with_terms(Arc::new(self.terms()?)))
    }
}

fn put(db: &Connection, party: &PartyRow) -> Result<(), StateError> {
    let mut statement = db.prepare_cached(
        "INSERT INTO party (id, name, record) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record",
    )?;
    statement.execute(params![party.id(), party.name, json(&party.record)?])?;
    Ok(())
}
