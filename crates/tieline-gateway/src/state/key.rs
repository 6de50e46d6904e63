//! Keys of parties and of administrators, by the digests of their secrets.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use tieline_core::Limits;

use super::{State, StateError, from_json, json};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    pub created_us: u64,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    pub id: String,
    pub limits: Limits,
    pub party: String,
    pub revoked_us: Option<u64>,
    /// Pools and models it may ask for; none is all.
    pub scope: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminKeyRow {
    pub digest: [u8; 32],
    pub id: String,
    pub name: String,
    pub revoked_us: Option<u64>,
    pub role: String,
}

impl State {
    /// Many keys in one transaction: all or none.
    pub fn put_keys(&mut self, keys: &[KeyRow]) -> Result<(), StateError> {
        let tx = self.db.transaction()?;
        for key in keys {
            insert_key(&tx, key)?;
        }
        tx.commit()?;
        Ok(())
    }

    pub fn put_key(&self, key: &KeyRow) -> Result<(), StateError> {
        insert_key(&self.db, key)
    }

    /// Every key, revoked ones included, in the order in which they were added: a new one never changes the place of
    /// another, by which its limits are counted.
    pub fn keys(&self) -> Result<Vec<KeyRow>, StateError> {
        let mut statement = self.db.prepare(
            "SELECT id, party, digest, scope, limits, created_us, revoked_us FROM key ORDER BY rowid",
        )?;
        let mut rows = statement.query([])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let scope: Option<String> = row.get(3)?;
            let limits: String = row.get(4)?;
            keys.push(KeyRow {
                created_us: row.get::<_, i64>(5)?.cast_unsigned(),
                digest: row.get(2)?,
                id: row.get(0)?,
                limits: from_json(&limits, "key's limits")?,
                party: row.get(1)?,
                revoked_us: row.get::<_, Option<i64>>(6)?.map(i64::cast_unsigned),
                scope: scope.map(|scope| from_json(&scope, "key's scope")).transpose()?,
            });
        }
        Ok(keys)
    }

    /// Limits of all the keys of a party together, by party.
    pub fn party_limits(&self) -> Result<BTreeMap<String, Limits>, StateError> {
        let mut statement = self.db.prepare("SELECT party, limits FROM party_limits")?;
        let mut rows = statement.query([])?;
        let mut all = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (party, limits): (String, String) = (row.get(0)?, row.get(1)?);
            all.insert(party, from_json(&limits, "party's limits")?);
        }
        Ok(all)
    }

    /// Give a party these limits in place of those that it had.
    pub fn put_party_limits(&self, party: &str, limits: &Limits) -> Result<(), StateError> {
        self.db.execute(
            "INSERT OR REPLACE INTO party_limits (party, limits) VALUES (?1, ?2)",
            params![party, json(limits)?],
        )?;
        Ok(())
    }

    /// Revoke a key; false if it was revoked before.
    pub fn revoke_key(&self, id: &str, at_us: u64) -> Result<bool, StateError> {
        let exists: Option<Option<i64>> = self
            .db
            .query_row("SELECT revoked_us FROM key WHERE id = ?1", [id], |row| row.get(0))
            .optional()?;
        match exists {
            None => Err(StateError::Missing {
                what: "key",
                id: id.into(),
            }),
            Some(Some(_)) => Ok(false),
            Some(None) => {
                let at = at_us.cast_signed();
                self.db
                    .execute("UPDATE key SET revoked_us = ?2 WHERE id = ?1", params![id, at])?;
                Ok(true)
            }
        }
    }

    pub fn put_admin_key(&self, key: &AdminKeyRow) -> Result<(), StateError> {
        self.db.execute(
            "INSERT INTO admin_key (id, name, role, digest, revoked_us) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                key.id,
                key.name,
                key.role,
                key.digest.as_slice(),
                key.revoked_us.map(u64::cast_signed)
            ],
        )?;
        Ok(())
    }

    pub fn admin_keys(&self) -> Result<Vec<AdminKeyRow>, StateError> {
        let mut statement = self
            .db
            .prepare("SELECT digest, id, name, revoked_us, role FROM admin_key ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(AdminKeyRow {
                digest: row.get(0)?,
                id: row.get(1)?,
                name: row.get(2)?,
                revoked_us: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
                role: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn insert_key(db: &Connection, key: &KeyRow) -> Result<(), StateError> {
    let scope = key.scope.as_ref().map(json).transpose()?;
    db.execute(
        "INSERT INTO key (id, party, digest, scope, limits, created_us, revoked_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            key.id,
            key.party,
            key.digest.as_slice(),
            scope,
            json(&key.limits)?,
            key.created_us.cast_signed(),
            key.revoked_us.map(u64::cast_signed)
        ],
    )?;
    Ok(())
}
