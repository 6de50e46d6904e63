//! The log on disk: durable, resumed, protected against a cut tail, a crash and a stranger.

use std::fs;

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;
use tieline_ledger::merkle::{leaf_hash, root_of_leaves, verify_consistency, verify_inclusion};
use tieline_ledger::{LedgerError, Log, Reader, VerifyOptions, create_key, load_key, verify, vkey};
use tieline_note::{Digest, Signer, sha256};

use crate::{ORIGIN, copy, entries, entry, ledger, new_log, open};

fn leaves(size: u64) -> Vec<Digest> {
    (0..size).map(|index| leaf_hash(&entry(index))).collect()
}

#[test]
fn what_was_appended_is_read_and_resumed() {
    for size in [0, 1, 255, 256, 257, 700] {
        let dir = ledger(size);
        let mut log = open(dir.path()).unwrap();
        assert_eq!((log.size(), log.root()), (size, root_of_leaves(&leaves(size))));
        assert_eq!(log.read(0..size + 10).unwrap(), entries(0..size));
        let commit = log.append(&entries(size..size + 3), 5).unwrap();
        assert_eq!((commit.first_index, commit.size), (size, size + 3));
        assert_eq!(commit.root, root_of_leaves(&leaves(size + 3)));
        assert_eq!(
            log.read(size.saturating_sub(1)..size + 1).unwrap().last(),
            Some(&entry(size))
        );
        log.close().unwrap();
    }
}

#[test]
fn ranges_begin_and_end_anywhere() {
    let dir = ledger(600);
    let reader = Reader::open(dir.path()).unwrap();
    for range in [0..1, 255..257, 256..256, 300..512, 599..601, 600..700, 900..950] {
        let expected: Vec<_> = (range.start.min(600)..range.end.min(600)).map(entry).collect();
        assert_eq!(reader.read(range.clone()).unwrap(), expected, "{range:?}");
    }
    assert_eq!(reader.entry(599).unwrap(), Some(entry(599)));
    assert_eq!(reader.entry(600).unwrap(), None);
}

#[test]
fn proofs_from_the_stored_tiles_hold() {
    let dir = ledger(700);
    let reader = Reader::open(dir.path()).unwrap();
    let all = leaves(700);
    for (old, index) in [
        (1, 0),
        (255, 254),
        (256, 3),
        (257, 256),
        (512, 511),
        (699, 400),
        (700, 699),
    ] {
        let root = reader.root_at(old).unwrap();
        let length = usize::try_from(old).unwrap();
        assert_eq!(root, root_of_leaves(&all[..length]));
        let proof = reader.inclusion_proof(index, old).unwrap();
        let leaf = leaf_hash(&entry(index));
        verify_inclusion(&leaf, index, old, &proof, &root).unwrap();
        let proof = reader.consistency_proof(old, 700).unwrap();
        verify_consistency(old, 700, &proof, &root, &reader.root_at(700).unwrap()).unwrap();
    }
    assert!(reader.inclusion_proof(700, 700).is_err());
    assert!(reader.consistency_proof(1, 701).is_err());
}

#[test]
fn blobs_are_stored_once_under_their_digest() {
    let (dir, mut log) = new_log();
    let digest = log.put_blob(b"a grid").unwrap();
    assert_eq!(digest, sha256(b"a grid"));
    assert_eq!(log.put_blob(b"a grid").unwrap(), digest);
    log.commit(&entries(0..1), &[b"a pack", b"a grid"], 1).unwrap();
    assert_eq!(log.blob(&digest).unwrap().as_deref(), Some(&b"a grid"[..]));
    assert_eq!(log.blob(&sha256(b"other")).unwrap(), None);
    log.close().unwrap();
    let report = verify(
        dir.path(),
        &VerifyOptions {
            deep: true,
            ..Default::default()
        },
        |_| {},
    )
    .unwrap();
    assert_eq!((report.size, report.blobs), (1, Some(2)));
}

#[test]
fn an_entry_that_does_not_fit_is_refused_and_nothing_else_is_lost() {
    let (_dir, mut log) = new_log();
    log.append(&entries(0..3), 1).unwrap();
    assert!(matches!(
        log.append(&[vec![b'x'; 65_536]], 2),
        Err(LedgerError::Entry(_))
    ));
    assert!(matches!(log.append(&[vec![]], 2), Err(LedgerError::Entry(_))));
    assert_eq!(log.append(&[vec![b'x'; 65_535]], 2).unwrap().size, 4);
}

#[test]
fn readers_see_commits_while_the_log_is_open() {
    let (dir, mut log) = new_log();
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.size().unwrap(), 0);
    log.append(&entries(0..300), 1).unwrap();
    assert_eq!(reader.size().unwrap(), 300);
    assert_eq!(reader.head().unwrap().checkpoint, log.checkpoint());
    assert_eq!(
        verify(dir.path(), &VerifyOptions::default(), |_| {})
            .unwrap()
            .size,
        300
    );
}

#[test]
fn a_folder_that_cannot_be_written_can_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = ledger(300);
    for file in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(dir.path().join(file));
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let size = Reader::open(dir.path()).and_then(|reader| reader.size());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(size.unwrap(), 300);
}

#[test]
fn a_restored_old_database_is_refused() {
    let (dir, mut log) = new_log();
    log.append(&entries(0..300), 1).unwrap();
    let old = copy(dir.path());
    log.append(&entries(300..400), 2).unwrap();
    log.close().unwrap();
    fs::copy(
        dir.path().join("checkpoint.last"),
        old.path().join("checkpoint.last"),
    )
    .unwrap();
    let error = open(old.path()).unwrap_err();
    assert!(
        matches!(
            error,
            LedgerError::Shortened {
                size: 300,
                expected: 400
            }
        ),
        "{error}"
    );
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(old.path().join(file));
    }
    let error = open(old.path()).unwrap_err();
    assert!(
        matches!(
            error,
            LedgerError::Shortened {
                size: 0,
                expected: 400
            }
        ),
        "{error}"
    );
}

#[test]
fn a_missing_checkpoint_last_is_refused() {
    let dir = ledger(10);
    fs::remove_file(dir.path().join("checkpoint.last")).unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("checkpoint.last is missing"), "{error}");
    // Creation may be cut off between the two files; then nothing was written yet.
    let dir = ledger(0);
    fs::remove_file(dir.path().join("checkpoint.last")).unwrap();
    assert_eq!(open(dir.path()).unwrap().size(), 0);
    assert!(dir.path().join("checkpoint.last").is_file());
}

#[test]
fn files_that_are_no_ledger_of_ours() {
    let dir = ledger(10);
    let path = dir.path().join("ledger.db");
    let set = |pragma: &str| Connection::open(&path).unwrap().execute_batch(pragma).unwrap();
    set("PRAGMA user_version = 3");
    let refused = || [open(dir.path()).err(), Reader::open(dir.path()).err()].map(Option::unwrap);
    for error in refused() {
        assert!(
            matches!(
                error,
                LedgerError::Newer {
                    found: 3,
                    known: 2,
                    ..
                }
            ),
            "{error}"
        );
    }
    for pragma in [
        "PRAGMA user_version = 1",
        "PRAGMA user_version = 2; PRAGMA application_id = 5",
    ] {
        set(pragma);
        for error in refused() {
            assert!(matches!(error, LedgerError::NotLedger { .. }), "{error}");
        }
    }
    for content in [
        &b"not a database, but long enough to be read as one"[..],
        &[0; 9000],
    ] {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(dir.path().join(format!("ledger.db{suffix}")));
        }
        fs::write(&path, content).unwrap();
        for error in refused() {
            assert!(matches!(error, LedgerError::NotLedger { .. }), "{error}");
        }
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        Reader::open(dir.path()),
        Err(LedgerError::NotLedger { .. })
    ));
}

#[test]
fn another_key_cannot_go_on_with_a_log() {
    let dir = ledger(10);
    let other = Signer::new(ORIGIN, &[8; 32]).unwrap();
    assert!(matches!(
        Log::open(dir.path(), ORIGIN, other),
        Err(LedgerError::Checkpoint { .. })
    ));
    let other = Signer::new("tieline.example/other", &[7; 32]).unwrap();
    assert!(matches!(
        Log::open(dir.path(), "tieline.example/other", other),
        Err(LedgerError::Checkpoint { .. })
    ));
}

#[test]
fn a_lost_key_is_not_replaced_by_one_that_signed_nothing() {
    for kept in ["ledger.db", "checkpoint.last"] {
        let from = ledger(3);
        let dir = TempDir::new().unwrap();
        fs::copy(from.path().join(kept), dir.path().join(kept)).unwrap();
        let error = create_key(dir.path(), ORIGIN, &[9; 32]).unwrap_err();
        assert!(error.to_string().contains("put the key back"), "{error}");
        assert!(load_key(dir.path()).unwrap().is_none());
    }
}

#[test]
fn the_key_is_created_once_and_kept_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, _log) = new_log();
    assert!(create_key(dir.path(), ORIGIN, &[9; 32]).is_err());
    let path = dir.path().join("log.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        vkey(dir.path()).unwrap(),
        Signer::new(ORIGIN, &[7; 32]).unwrap().verifier().vkey()
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = load_key(dir.path()).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "PRIVATE+KEY+x").unwrap();
    assert!(matches!(load_key(dir.path()), Err(LedgerError::Key { .. })));
    fs::remove_file(&path).unwrap();
    assert!(load_key(dir.path()).unwrap().is_none());
    assert!(vkey(dir.path()).is_err());
}

#[test]
fn a_second_writer_is_noticed() {
    let (dir, mut log) = new_log();
    let mut second = open(dir.path()).unwrap();
    second.append(&entries(0..1), 1).unwrap();
    let error = log.append(&entries(0..2), 1).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(matches!(
        log.append(&entries(0..2), 1),
        Err(LedgerError::Stopped(_))
    ));
    assert_eq!(second.append(&entries(1..2), 1).unwrap().size, 2);
}

#[test]
fn checkpoint_last_is_at_most_a_second_behind_and_exact_after_close() {
    let (dir, mut log) = new_log();
    let last = || fs::read_to_string(dir.path().join("checkpoint.last")).unwrap();
    log.append(&entries(0..1), 10_000_000).unwrap();
    assert_eq!(last(), log.checkpoint());
    let first = last();
    log.append(&entries(1..2), 10_999_999).unwrap();
    assert_eq!(last(), first);
    log.append(&entries(2..3), 11_000_000).unwrap();
    assert_eq!(last(), log.checkpoint());
    log.append(&entries(3..4), 11_000_001).unwrap();
    let newest = log.checkpoint().to_owned();
    log.close().unwrap();
    assert_eq!(last(), newest);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A crash after any commit leaves exactly what was committed; a torn WAL leaves a prefix or is refused.
    #[test]
    fn a_crash_leaves_a_prefix(batches in prop::collection::vec(1..200_u64, 1..8), cut in 0.0..1.0_f64) {
        let (dir, mut log) = new_log();
        let mut size = 0;
        for count in batches {
            log.append(&entries(size..size + count), 1).unwrap();
            size += count;
        }
        let crashed = copy(dir.path());
        prop_assert_eq!(open(crashed.path()).unwrap().read(0..size).unwrap(), entries(0..size));
        prop_assert_eq!(verify(crashed.path(), &VerifyOptions::default(), |_| {}).unwrap().size, size);

        let torn = copy(dir.path());
        let wal = fs::OpenOptions::new().write(true).open(torn.path().join("ledger.db-wal")).unwrap();
        let length = wal.metadata().unwrap().len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "any place in the file will do")]
        wal.set_len((length as f64 * cut) as u64).unwrap();
        match open(torn.path()) {
            Ok(log) => {
                let kept = log.size();
                prop_assert!(kept <= size);
                prop_assert_eq!(log.read(0..size).unwrap(), entries(0..kept));
            }
            Err(LedgerError::Shortened { size: kept, .. }) => prop_assert!(kept < size),
            // The creation itself was cut off.
            Err(LedgerError::NotLedger { .. }) => {}
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
