//! `DIR/state.db`: parties, their keys, administrators' keys, and what is cut. Small, transactional, with migrations; read
//! whole at start and after a change, never on a call's path.
//!
//! `DIR/lock` is held by the process that may write here: a running server, or a command when none runs.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::Limits;
use tieline_policy::PartyFacts;

/// The state file, open for reading and writing.
#[derive(Debug)]
pub struct State {
    db: Connection,
}

/// The right to write to a state folder; given back when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyRow {
    #[schemars(with = "crate::admin::openapi::FactsSchema")]
    pub facts: PartyFacts,
    /// Opaque and random.
    pub id: String,
    /// For people; never in the ledger.
    pub name: String,
}

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

/// Something that an operator has cut.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutRow {
    /// `channel` or `component`.
    pub kind: String,
    pub name: String,
    pub since_us: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(
        "another process (pid {pid}) is using the state folder {dir}; stop it, or give another folder with --dir"
    )]
    Busy { dir: PathBuf, pid: String },
    #[error("cannot use {path}: {source}; check that the folder exists and may be written")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} holds a {what} that cannot be read: {why}; restore the file from a backup")]
    Damaged {
        path: PathBuf,
        what: &'static str,
        why: String,
    },
    #[error("{path} was written by a newer tieline (version {found}, this one knows {known}); use that one")]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} was written by an older tieline; start this one on it once, which brings it up to date")]
    Older { path: PathBuf },
    #[error("there is no {what} `{id}`")]
    Missing { what: &'static str, id: String },
    #[error("database error in the state file: {0}")]
    Db(#[from] rusqlite::Error),
}

/// Schema versions, each the statements that lead to it from the one before.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE party (id TEXT PRIMARY KEY, name TEXT NOT NULL, facts TEXT NOT NULL) STRICT;
    CREATE TABLE key (
        id TEXT PRIMARY KEY, party TEXT NOT NULL REFERENCES party (id), digest BLOB NOT NULL UNIQUE,
        scope TEXT, limits TEXT NOT NULL, created_us INTEGER NOT NULL, revoked_us INTEGER) STRICT;
    CREATE TABLE admin_key (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, digest BLOB NOT NULL UNIQUE,
        revoked_us INTEGER) STRICT;
    CREATE TABLE epoch (number INTEGER PRIMARY KEY, digest BLOB NOT NULL) STRICT;
    CREATE TABLE out (kind TEXT NOT NULL, name TEXT NOT NULL, since_us INTEGER NOT NULL, PRIMARY KEY (kind, name)) STRICT;
"];

/// How long a statement waits for another connection's transaction.
const BUSY_WAIT: Duration = Duration::from_secs(5);

// === impl Lock ===

impl Lock {
    /// Take the lock, or say who has it.
    pub fn take(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join("lock");
        let io = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = std::fs::read_to_string(&path).unwrap_or_default();
                let pid = if pid.trim().is_empty() {
                    "unknown".into()
                } else {
                    pid.trim().to_owned()
                };
                return Err(StateError::Busy {
                    dir: dir.to_owned(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

// === impl State ===

impl State {
    /// Open `DIR/state.db`, creating or migrating it. Private to the owner (0600), for it holds people's names.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join("state.db");
        create_private(&path).map_err(|source| StateError::Io {
            path: path.clone(),
            source,
        })?;
        let mut db = Connection::open(&path)?;
        db.busy_timeout(BUSY_WAIT)?;
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
            .map_err(|error| unreadable(&path, error))?;
        migrate(&mut db, &path)?;
        Ok(Self { db })
    }

    /// Open `DIR/state.db` to read what is in it, from a folder that need not be writable. What writes is refused.
    pub fn read(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join("state.db");
        let db = tieline_ledger::read_only(&path).map_err(|error| unreadable(&path, error))?;
        match (found_version(&db)?, known_version()) {
            (found, known) if found > known => Err(StateError::Newer { path, found, known }),
            (found, known) if found < known => Err(StateError::Older { path }),
            _ => Ok(Self { db }),
        }
    }

    pub fn put_party(&self, party: &PartyRow) -> Result<(), StateError> {
        self.db.execute(
            "INSERT INTO party (id, name, facts) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, facts = excluded.facts",
            params![party.id, party.name, json(&party.facts)?],
        )?;
        Ok(())
    }

    /// Many parties in one transaction: all or none.
    pub fn put_parties(&mut self, parties: &[PartyRow]) -> Result<(), StateError> {
        let tx = self.db.transaction()?;
        {
            let mut statement = tx.prepare("INSERT INTO party (id, name, facts) VALUES (?1, ?2, ?3)")?;
            for party in parties {
                statement.execute(params![party.id, party.name, json(&party.facts)?])?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    pub fn parties(&self) -> Result<Vec<PartyRow>, StateError> {
        let mut statement = self.db.prepare("SELECT id, name, facts FROM party ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut parties = Vec::new();
        while let Some(row) = rows.next()? {
            let facts: String = row.get(2)?;
            parties.push(PartyRow {
                facts: from_json(&facts, "party's facts")?,
                id: row.get(0)?,
                name: row.get(1)?,
            });
        }
        Ok(parties)
    }

    pub fn party(&self, id: &str) -> Result<Option<PartyRow>, StateError> {
        Ok(self.parties()?.into_iter().find(|party| party.id == id))
    }

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

fn migrate(db: &mut Connection, path: &Path) -> Result<(), StateError> {
    let (found, known) = (found_version(db)?, known_version());
    if found > known {
        return Err(StateError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for (statements, version) in MIGRATIONS
        .iter()
        .zip(1_i64..)
        .filter(|(_, version)| *version > found)
    {
        let tx = db.transaction()?;
        tx.execute_batch(statements)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
    Ok(())
}

/// What SQLite says of a file that is not its own names neither the file nor a way out.
fn unreadable(path: &Path, error: rusqlite::Error) -> StateError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            StateError::Damaged {
                path: path.to_owned(),
                what: "database",
                why: "it is no SQLite file, or damaged".to_owned(),
            }
        }
        _ => StateError::Db(error),
    }
}

fn found_version(db: &Connection) -> Result<i64, StateError> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

fn json<T: Serialize>(value: &T) -> Result<String, StateError> {
    serde_json::to_string(value).map_err(|error| damaged("value", &error))
}

fn from_json<T: for<'de> Deserialize<'de>>(text: &str, what: &'static str) -> Result<T, StateError> {
    serde_json::from_str(text).map_err(|error| damaged(what, &error))
}

fn damaged(what: &'static str, error: &serde_json::Error) -> StateError {
    StateError::Damaged {
        path: "state.db".into(),
        what,
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(id: &str) -> PartyRow {
        PartyRow {
            facts: PartyFacts::default(),
            id: id.into(),
            name: "Example".into(),
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("state.db"),
            b"not a database, but long enough to be read as one",
        )
        .unwrap();
        for error in [
            State::open(dir.path()).unwrap_err(),
            State::read(dir.path()).unwrap_err(),
        ] {
            assert!(matches!(error, StateError::Damaged { .. }), "{error}");
            assert!(
                error.to_string().contains("state.db") && error.to_string().contains("backup"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_reader_reads_beside_the_writer_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(State::read(dir.path()), Err(StateError::Db(_))));
        assert!(!dir.path().join("state.db").exists());
        let state = State::open(dir.path()).unwrap();
        state.put_party(&party("p1")).unwrap();
        let reader = State::read(dir.path()).unwrap();
        assert_eq!(reader.parties().unwrap(), [party("p1")]);
        assert!(matches!(reader.put_party(&party("p2")), Err(StateError::Db(_))));
        state.db.pragma_update(None, "user_version", 0).unwrap();
        assert!(matches!(State::read(dir.path()), Err(StateError::Older { .. })));
    }

    #[test]
    fn what_is_put_is_read_back_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        state.put_party(&party("p1")).unwrap();
        let key = KeyRow {
            created_us: 5,
            digest: [3; 32],
            id: "k1".into(),
            limits: Limits {
                requests_per_minute: Some(9),
                ..Limits::default()
            },
            party: "p1".into(),
            revoked_us: None,
            scope: Some(vec!["chat".into()]),
        };
        state.put_key(&key).unwrap();
        let out = OutRow {
            kind: "channel".into(),
            name: "a".into(),
            since_us: 7,
        };
        assert!(state.put_out(&out).unwrap());
        assert!(!state.put_out(&out).unwrap(), "cutting twice changes nothing");
        drop(state);
        let state = State::open(dir.path()).unwrap();
        assert_eq!(state.parties().unwrap(), [party("p1")]);
        assert_eq!(state.keys().unwrap(), [key]);
        assert_eq!(state.outs().unwrap(), [out]);
        assert!(state.revoke_key("k1", 8).unwrap());
        assert!(!state.revoke_key("k1", 9).unwrap());
        assert!(matches!(
            state.revoke_key("k2", 9),
            Err(StateError::Missing { .. })
        ));
        assert_eq!(state.keys().unwrap()[0].revoked_us, Some(8));
    }

    #[test]
    fn two_processes_cannot_hold_one_folder() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        let error = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(lock);
        Lock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_newer_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        state.db.pragma_update(None, "user_version", 99).unwrap();
        drop(state);
        assert!(matches!(
            State::open(dir.path()),
            Err(StateError::Newer { found: 99, .. })
        ));
    }

    #[test]
    fn an_import_is_all_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path()).unwrap();
        assert!(
            state
                .put_parties(&[party("p1"), party("p2"), party("p1")])
                .is_err()
        );
        assert_eq!(state.parties().unwrap(), []);
        state.put_parties(&[party("p1"), party("p2")]).unwrap();
        assert_eq!(state.parties().unwrap().len(), 2);
    }
}
