//! `DIR/state.db`: parties and the evidence about them, keys, what is cut, and what officers decided. Small, transactional,
//! with migrations; read whole at start and after a change, never on a call's path.
//!
//! `DIR/lock` is held by the process that may write here: a running server, or a command when none runs.

mod adoption;
mod change;
mod directive;
mod epoch;
mod hold;
mod key;
mod lock;
mod migration;
mod out;
mod party;
mod term;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;

pub use adoption::AdoptionRow;
pub(crate) use change::BegunRow;
pub(crate) use directive::standing;
pub use directive::{DirectiveRow, in_force};
pub use hold::{Disposition, HoldRow, LegalRefusal};
pub use key::{AdminKeyRow, KeyRow};
pub use lock::Lock;
pub use out::OutRow;
pub use party::PartyRow;
pub use term::{LicenceRow, StatementRow};

/// The state file, open for reading and writing.
#[derive(Debug)]
pub struct State {
    db: Connection,
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

/// How long a statement waits for another connection's transaction.
const BUSY_WAIT: Duration = Duration::from_secs(5);

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
        migration::migrate(&mut db, &path, Clock::start().now())?;
        Ok(Self { db })
    }

    /// Open `DIR/state.db` to read what is in it, from a folder that need not be writable. What writes is refused.
    pub fn read(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join("state.db");
        let db = tieline_ledger::read_only(&path).map_err(|error| unreadable(&path, error))?;
        match (migration::found_version(&db)?, migration::known_version()) {
            (found, known) if found > known => Err(StateError::Newer { path, found, known }),
            (found, known) if found < known => Err(StateError::Older { path }),
            _ => Ok(Self { db }),
        }
    }
}

impl State {
    /// Do several things in one transaction: all of them, or none if `act` fails.
    pub(crate) fn atomically<T, E: From<StateError>>(
        &self,
        act: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = self.db.unchecked_transaction().map_err(StateError::from)?;
        let done = act(self)?;
        tx.commit().map_err(StateError::from)?;
        Ok(done)
    }
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

fn damaged(what: &'static str, why: &impl ToString) -> StateError {
    StateError::Damaged {
        path: "state.db".into(),
        what,
        why: why.to_string(),
    }
}

/// A column that is never negative: µs UTC, or a count.
fn us(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

fn us_opt(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use tieline_core::Limits;
    use tieline_policy::{Kind, Names, PartyRecord};

    use super::*;

    fn party(id: &str) -> PartyRow {
        PartyRow {
            name: "Example".into(),
            record: PartyRecord {
                evidence: Vec::new(),
                groups: Names::default(),
                id: id.into(),
                kind: Kind::Organisation,
                owners: Vec::new(),
                parent: None,
            },
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
        let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON party WHEN NEW.id = 'p3'
                       BEGIN SELECT RAISE(ABORT, 'refused'); END";
        state.db.execute_batch(trigger).unwrap();
        assert!(
            state
                .put_parties(&[party("p1"), party("p2"), party("p3")])
                .is_err()
        );
        assert_eq!(state.parties().unwrap(), []);
        state.put_parties(&[party("p1"), party("p2")]).unwrap();
        assert_eq!(state.parties().unwrap().len(), 2);
    }
}
