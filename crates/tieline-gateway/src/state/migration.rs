//! Versions of the state file: each the statements that lead to it from the one before, and what code does to the rows.
//!
//! Version 2 keeps evidence where version 1 kept facts. What an operator had entered becomes evidence by `operator`, of
//! the kind that each fact needs at least, obtained at the migration and expiring when the fact did: it resolves to the
//! facts that there were. A party without a kind becomes an organisation, which opens nothing: no rule asks whether a
//! party is one.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, params};
use tieline_core::Tick;
use tieline_policy::{Evidence, FactValue, Kind, PartyFacts, PartyRecord};

use super::{StateError, from_json, json};

struct Version {
    statements: &'static str,
    /// What statements cannot say, at this instant.
    then: fn(&Transaction<'_>, Tick) -> Result<(), StateError>,
}

const VERSIONS: [Version; 5] = [
    Version {
        statements: "
    CREATE TABLE party (id TEXT PRIMARY KEY, name TEXT NOT NULL, facts TEXT NOT NULL) STRICT;
    CREATE TABLE key (
        id TEXT PRIMARY KEY, party TEXT NOT NULL REFERENCES party (id), digest BLOB NOT NULL UNIQUE,
        scope TEXT, limits TEXT NOT NULL, created_us INTEGER NOT NULL, revoked_us INTEGER) STRICT;
    CREATE TABLE admin_key (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, digest BLOB NOT NULL UNIQUE,
        revoked_us INTEGER) STRICT;
    CREATE TABLE epoch (number INTEGER PRIMARY KEY, digest BLOB NOT NULL) STRICT;
    CREATE TABLE out (kind TEXT NOT NULL, name TEXT NOT NULL, since_us INTEGER NOT NULL, PRIMARY KEY (kind, name)) STRICT;
",
        then: |_, _| Ok(()),
    },
    Version {
        statements: "
    ALTER TABLE party RENAME COLUMN facts TO record;
    CREATE TABLE licence (id TEXT PRIMARY KEY, body TEXT NOT NULL, revoked_us INTEGER) STRICT;
    CREATE TABLE licence_use (licence TEXT PRIMARY KEY, used INTEGER NOT NULL) STRICT;
    CREATE TABLE statement (
        id TEXT PRIMARY KEY, party TEXT NOT NULL, body TEXT NOT NULL, revoked_us INTEGER) STRICT;
    CREATE TABLE hold (
        ticket TEXT PRIMARY KEY, party TEXT NOT NULL, model TEXT NOT NULL, rules TEXT NOT NULL,
        opened_us INTEGER NOT NULL, calls INTEGER NOT NULL, disposition TEXT) STRICT;
    CREATE TABLE directive (
        id TEXT NOT NULL, version INTEGER NOT NULL, note TEXT NOT NULL, digest BLOB NOT NULL,
        applied_us INTEGER NOT NULL, revoked_us INTEGER, PRIMARY KEY (id, version)) STRICT;
    CREATE TABLE adoption (
        pack TEXT NOT NULL, digest BLOB NOT NULL, officer TEXT NOT NULL, entity TEXT NOT NULL,
        adopted_us INTEGER NOT NULL, PRIMARY KEY (pack, digest, entity)) STRICT;
",
        then: facts_to_evidence,
    },
    Version {
        statements: "
    CREATE TABLE change (id TEXT PRIMARY KEY, at_us INTEGER NOT NULL, epoch INTEGER) STRICT;
",
        then: |_, _| Ok(()),
    },
    Version {
        statements: "
    CREATE TABLE party_limits (party TEXT PRIMARY KEY REFERENCES party (id), limits TEXT NOT NULL) STRICT;
",
        then: |_, _| Ok(()),
    },
    Version {
        statements: "
    ALTER TABLE hold ADD COLUMN refusal TEXT;
",
        then: |_, _| Ok(()),
    },
];

/// Who asserted what a version 1 file held.
const OPERATOR: &str = "operator";

/// Brings a state file up to date. What an older version held is read as it was written.
pub(super) fn migrate(db: &mut Connection, path: &Path, now: Tick) -> Result<(), StateError> {
    let (found, known) = (found_version(db)?, known_version());
    if found > known {
        return Err(StateError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for (step, version) in VERSIONS.iter().zip(1_i64..).filter(|(_, at)| *at > found) {
        let tx = db.transaction()?;
        tx.execute_batch(step.statements)?;
        (step.then)(&tx, now)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
    Ok(())
}

pub(super) fn found_version(db: &Connection) -> Result<i64, StateError> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

pub(super) fn known_version() -> i64 {
    i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX)
}

fn facts_to_evidence(tx: &Transaction<'_>, now: Tick) -> Result<(), StateError> {
    let mut read = tx.prepare("SELECT id, record FROM party")?;
    let mut write = tx.prepare("UPDATE party SET record = ?2 WHERE id = ?1")?;
    let mut rows = read.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, facts): (String, String) = (row.get(0)?, row.get(1)?);
        all.push((id, from_json::<PartyFacts>(&facts, "party's facts")?));
    }
    for (id, facts) in all {
        write.execute(params![id, json(&record(&id, facts, now))?])?;
    }
    Ok(())
}

fn record(id: &str, facts: PartyFacts, now: Tick) -> PartyRecord {
    let mut evidence = Vec::new();
    let expires = facts.expires.clone();
    let mut assert = |value: FactValue, expires: Option<Tick>| {
        // What had expired before is kept as expired: it must have been obtained before it did.
        let obtained = expires.map_or(now, |at| now.min(Tick(at.0.saturating_sub(1))));
        evidence.push(Evidence {
            digest: None,
            expires,
            issuer: Arc::from(OPERATOR),
            kind: value.kind_min(),
            obtained,
            value,
        });
    };
    let one = [
        facts.class.map(FactValue::Class),
        facts.data_centre.map(FactValue::DataCentre),
        facts.end_uses.map(|names| FactValue::EndUses(names.into())),
        facts.headquarters.map(FactValue::Headquarters),
        facts.jurisdiction.map(FactValue::Jurisdiction),
        facts.listed.map(|names| FactValue::Listed(names.into())),
        facts.parent_headquarters.map(FactValue::ParentHeadquarters),
        facts
            .person_class
            .map(|names| FactValue::PersonClass(names.into())),
    ];
    let many = facts.licences.into_iter().map(FactValue::Licence);
    let many = many.chain(facts.statements.into_iter().map(FactValue::Statement));
    for value in one.into_iter().flatten().chain(many) {
        let until = expires.get(&value.fact()).copied();
        assert(value, until);
    }
    for other in facts.also {
        assert(other.value, other.expires);
    }
    PartyRecord {
        evidence,
        groups: facts.groups.into(),
        id: Arc::from(id),
        kind: facts.kind.unwrap_or(Kind::Organisation),
        owners: Vec::new(),
        parent: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    /// A file as version 1 made it.
    fn version_1(dir: &Path, facts: &[(&str, &str)]) {
        let db = Connection::open(dir.join("state.db")).unwrap();
        db.execute_batch(VERSIONS[0].statements).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        for (id, facts) in facts {
            let name = format!("The name of {id}");
            db.execute("INSERT INTO party VALUES (?1, ?2, ?3)", params![id, name, facts])
                .unwrap();
            let mut digest = [0; 32];
            digest[..id.len()].copy_from_slice(id.as_bytes());
            db.execute(
                "INSERT INTO key VALUES (?1, ?2, ?3, NULL, '{}', 5, NULL)",
                params![format!("k_{id}"), id, digest],
            )
            .unwrap();
        }
        db.execute("INSERT INTO epoch VALUES (4, ?1)", [[7; 32]]).unwrap();
    }

    #[test]
    fn a_version_1_file_resolves_to_the_facts_that_it_held() {
        let dir = tempfile::tempdir().unwrap();
        let full = r#"{"class":"agency","data_centre":"DE","end_uses":[],"expires":{"jurisdiction":4102444800000000},
            "groups":["g"],"headquarters":"FR","jurisdiction":"DE","kind":"organisation","licences":["l"],"listed":[],
            "parent_headquarters":"US","person_class":["us_person"],"statements":["s","t"]}"#;
        let doubtful = r#"{"also":[{"expires":4102444800000000,"value":{"jurisdiction":"FR"}}],"jurisdiction":"DE",
            "kind":"organisation"}"#;
        let facts = [
            ("p_bare", "{}"),
            ("p_doubtful", doubtful),
            ("p_full", full),
            ("p_was", r#"{"expires":{"jurisdiction":5},"jurisdiction":"DE"}"#),
        ];
        version_1(dir.path(), &facts);
        let state = State::open(dir.path()).unwrap();
        let registry = state.registry(crate::clock::Clock::start().now()).unwrap();
        for (id, facts) in facts {
            let before: PartyFacts = serde_json::from_str(facts).unwrap();
            let mut expected = before.at(Tick(NOW));
            expected.kind = Some(Kind::Organisation);
            assert_eq!(registry.resolve_party(id).unwrap().facts, expected, "{id}");
        }
        let rows = state.parties().unwrap();
        assert_eq!(rows[2].name, "The name of p_full");
        assert!(
            rows[2]
                .record
                .evidence
                .iter()
                .all(|piece| &*piece.issuer == OPERATOR)
        );
        assert_eq!(state.keys().unwrap().len(), facts.len());
        assert_eq!(state.epoch(&[7; 32]).unwrap(), (4, false));
        drop(state);
        State::open(dir.path()).unwrap();
    }

    #[test]
    fn facts_that_cannot_be_read_leave_the_old_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        version_1(dir.path(), &[("p_1", "{}"), ("p_2", r#"{"nationality":"DE"}"#)]);
        for _ in 0..2 {
            let error = State::open(dir.path()).unwrap_err();
            assert!(matches!(error, StateError::Damaged { .. }), "{error}");
        }
        let db = Connection::open(dir.path().join("state.db")).unwrap();
        assert_eq!(found_version(&db).unwrap(), 1);
        db.query_row("SELECT facts FROM party WHERE id = 'p_1'", [], |_| Ok(()))
            .unwrap();
    }
}
