//! Every way to tamper with a ledger, and what is said about it.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, params};
use tieline_ledger::merkle::leaf_hash;
use tieline_ledger::{Finding, Report, VerifyOptions, Witness, verify};
use tieline_note::{Signer, sha256};

use crate::{ORIGIN, copy, entries, entry, ledger, new_log};

fn check(dir: &Path) -> Result<Report, Finding> {
    verify(dir, &VerifyOptions::default(), |_| {})
}

fn database(dir: &Path) -> Connection {
    Connection::open(dir.join("ledger.db")).unwrap()
}

/// The row that holds entry `index`: first, leaves, entries.
fn row(db: &Connection, index: u64) -> (u64, Vec<u8>, Vec<Vec<u8>>) {
    let query =
        "SELECT first, leaves, size, entries FROM bundle WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
    let (first, leaves, size, packed): (i64, Vec<u8>, i64, Vec<u8>) = db
        .query_row(query, [i64::try_from(index).unwrap()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    let size = usize::try_from(size).unwrap();
    let bytes = if packed.len() == size {
        packed
    } else {
        lz4_flex::block::decompress(&packed, size).unwrap()
    };
    let entries = tieline_ledger::tile::entries(&bytes)
        .map(|entry| entry.unwrap().to_vec())
        .collect();
    (u64::try_from(first).unwrap(), leaves, entries)
}

/// Replaces the entries of a row, stored as they are.
fn put(db: &Connection, first: u64, leaves: &[u8], entries: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    let size = i64::try_from(bytes.len()).unwrap();
    let row = params![i64::try_from(first).unwrap(), leaves, size, bytes];
    assert_eq!(
        db.execute(
            "UPDATE bundle SET leaves = ?2, size = ?3, entries = ?4 WHERE first = ?1",
            row
        )
        .unwrap(),
        1
    );
}

/// Changes entry `index`, and its stored hash if `with_hash`.
fn change(dir: &Path, index: u64, with_hash: bool) {
    let db = database(dir);
    let (first, mut leaves, mut all) = row(&db, index);
    let at = usize::try_from(index - first).unwrap();
    all[at][9] ^= 1;
    if with_hash {
        leaves[at * 32..at * 32 + 32].copy_from_slice(leaf_hash(&all[at]).as_bytes());
    }
    put(&db, first, &leaves, &all);
}

#[test]
fn a_good_ledger_is_reported() {
    for size in [0, 1, 256, 257, 700] {
        let dir = ledger(size);
        let mut last = None;
        let options = VerifyOptions {
            deep: true,
            ..Default::default()
        };
        let report = verify(dir.path(), &options, |progress| last = Some(progress)).unwrap();
        let bytes: usize = entries(0..size).iter().map(Vec::len).sum();
        assert_eq!(
            (report.size, report.last_size, report.bytes),
            (size, size, bytes as u64)
        );
        assert_eq!(last.map_or(0, |progress| progress.entries), size);
    }
}

#[test]
fn a_changed_entry_is_named() {
    for index in [0, 255, 256, 511, 600, 699] {
        let dir = ledger(700);
        change(dir.path(), index, false);
        let Err(Finding::Changed {
            index: found,
            expected,
            actual,
        }) = check(dir.path())
        else {
            panic!("entry {index} passed")
        };
        assert_eq!((found, expected), (index, leaf_hash(&entry(index))));
        assert_ne!(expected, actual);
    }
}

#[test]
fn the_first_of_several_is_named() {
    let dir = ledger(700);
    for index in [650, 300, 301] {
        change(dir.path(), index, false);
    }
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Changed { index: 300, .. })
    ));
}

#[test]
fn an_entry_changed_with_its_hash_is_placed_in_its_bundle() {
    let dir = ledger(700);
    change(dir.path(), 300, true);
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Range {
            first: 256,
            last: 511
        })
    ));
    // Above the last, partial bundle there is no stored hash but the root.
    let dir = ledger(700);
    change(dir.path(), 650, true);
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Root {
            size: 700,
            witness: Witness::Stored,
            ..
        })
    ));
}

#[test]
fn a_removed_entry_is_named() {
    for (index, with_hash) in [
        (100, false),
        (255, false),
        (300, true),
        (620, false),
        (699, false),
    ] {
        let dir = ledger(700);
        let db = database(dir.path());
        let (first, mut leaves, mut all) = row(&db, index);
        let at = usize::try_from(index - first).unwrap();
        all.remove(at);
        if with_hash {
            leaves.drain(at * 32..at * 32 + 32);
        }
        put(&db, first, &leaves, &all);
        match check(dir.path()).unwrap_err() {
            Finding::Removed { index: found } => assert_eq!(found, index),
            Finding::Unreadable { index: found, .. } => assert!(with_hash && found == first),
            other => panic!("{index}: {other}"),
        }
    }
}

#[test]
fn rows_taken_out() {
    let dir = ledger(700);
    database(dir.path())
        .execute("DELETE FROM bundle WHERE first = 256", [])
        .unwrap();
    assert!(matches!(check(dir.path()), Err(Finding::Removed { index: 256 })));
    let dir = ledger(700);
    database(dir.path())
        .execute("DELETE FROM bundle WHERE first >= 600", [])
        .unwrap();
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Shortened {
            size: 600,
            expected: 700,
            ..
        })
    ));
}

#[test]
fn a_row_that_was_added_or_cannot_be_cut() {
    let dir = ledger(700);
    let add = "INSERT INTO bundle SELECT 700, 1, zeroblob(32), 3, x'000141'";
    database(dir.path()).execute(add, []).unwrap();
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Unreadable { index: 700, .. })
    ));
    for set in [
        "entries = zeroblob(5)",
        "entries = zeroblob(5), size = 5",
        "entries = x'ffff00'",
        "entries = x'ffff00', size = 3",
        "size = 0",
        "size = -1",
        "size = size - 1",
        "size = 9223372036854775807",
        "count = -1",
        "count = 9999999",
        "count = 0",
        "leaves = x'00'",
        "entries = CAST('text' AS BLOB)",
        "leaves = zeroblob(0), entries = zeroblob(0)",
    ] {
        let dir = ledger(700);
        database(dir.path())
            .execute(&format!("UPDATE bundle SET {set} WHERE first = 256"), [])
            .unwrap();
        let finding = check(dir.path()).unwrap_err();
        let at = match &finding {
            Finding::Unreadable { index, .. } | Finding::Changed { index, .. } => *index,
            other => panic!("{set}: {other}"),
        };
        if set == "size = size - 1" {
            // What was unpacked before the end was found missing is good.
            assert!((257..512).contains(&at), "{finding}");
        } else {
            assert_eq!(at, 256, "{set}: {finding}");
        }
    }
}

#[test]
fn a_byte_flipped_in_a_packed_row_is_placed() {
    let good = ledger(700);
    let (first, _, entries) = row(&database(good.path()), 256);
    let end = first + entries.len() as u64;
    let query = "SELECT entries FROM bundle WHERE first = 256";
    let packed: Vec<u8> = database(good.path())
        .query_row(query, [], |row| row.get(0))
        .unwrap();
    assert!(packed.len() < entries.iter().map(Vec::len).sum::<usize>() / 2);
    let mut before = 0;
    for at in (0..packed.len()).step_by(packed.len() / 40) {
        let dir = copy(good.path());
        let mut bytes = packed.clone();
        bytes[at] ^= 0x10;
        database(dir.path())
            .execute("UPDATE bundle SET entries = ?1 WHERE first = 256", [bytes])
            .unwrap();
        let index = match check(dir.path()).unwrap_err() {
            Finding::Changed { index, .. } | Finding::Unreadable { index, .. } => index,
            other => panic!("byte {at}: {other}"),
        };
        // What stands before the damage in the row was read and found good; damage further on is found further on.
        assert!((first..end).contains(&index), "byte {at}: {index}");
        assert!(index + 9 > before, "byte {at}: {index} after {before}");
        before = before.max(index);
        let reader = tieline_ledger::Reader::open(dir.path()).unwrap();
        assert!(reader.read(0..256).is_ok());
    }
    assert!(before > first + (end - first) / 2, "{before} of {first}..{end}");
}

#[test]
fn a_changed_tile_is_told_from_a_changed_entry() {
    let dir = ledger(700);
    let db = database(dir.path());
    let (first, mut leaves, all) = row(&db, 300);
    leaves[40] ^= 1;
    put(&db, first, &leaves, &all);
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Tile { level: 0, number: 1 })
    ));
    let dir = ledger(700);
    database(dir.path())
        .execute("UPDATE tile SET hashes = zeroblob(64)", [])
        .unwrap();
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Tile { level: 1, number: 0 })
    ));
    let dir = ledger(700);
    database(dir.path()).execute("DELETE FROM tile", []).unwrap();
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Tile { level: 1, number: 0 })
    ));
}

#[test]
fn a_tail_that_was_cut_off() {
    let (dir, mut log) = new_log();
    log.append(&entries(0..300), 1).unwrap();
    let old = copy(dir.path());
    log.append(&entries(300..400), 5_000_000).unwrap();
    let newest = log.checkpoint().to_owned();
    log.close().unwrap();
    let options = VerifyOptions {
        against: Some(newest),
        ..Default::default()
    };
    let finding = verify(old.path(), &options, |_| {}).unwrap_err();
    assert!(
        matches!(
            finding,
            Finding::Shortened {
                size: 300,
                expected: 400,
                witness: Witness::Against
            }
        ),
        "{finding}"
    );
    assert_eq!(
        verify(dir.path(), &options, |_| {}).unwrap().against_size,
        Some(400)
    );
    fs::copy(
        dir.path().join("checkpoint.last"),
        old.path().join("checkpoint.last"),
    )
    .unwrap();
    let finding = check(old.path()).unwrap_err();
    assert!(
        matches!(
            finding,
            Finding::Shortened {
                witness: Witness::Last,
                ..
            }
        ),
        "{finding}"
    );
    fs::remove_file(old.path().join("checkpoint.last")).unwrap();
    assert!(matches!(check(old.path()), Err(Finding::NoLast)));
}

#[test]
fn a_history_that_was_rewritten_with_the_right_key() {
    let dir = ledger(300);
    let kept = fs::read_to_string(dir.path().join("checkpoint.last")).unwrap();
    let (rewritten, mut log) = new_log();
    log.append(&entries(1..500), 1).unwrap();
    log.close().unwrap();
    let options = VerifyOptions {
        against: Some(kept),
        ..Default::default()
    };
    let finding = verify(rewritten.path(), &options, |_| {}).unwrap_err();
    assert!(
        matches!(
            finding,
            Finding::Root {
                size: 300,
                witness: Witness::Against,
                ..
            }
        ),
        "{finding}"
    );
}

#[test]
fn checkpoints_and_keys_of_others() {
    let dir = ledger(300);
    let other = Signer::new(ORIGIN, &[8; 32]).unwrap();
    let options = VerifyOptions {
        verifier: Some(other.verifier().clone()),
        ..Default::default()
    };
    let finding = verify(dir.path(), &options, |_| {}).unwrap_err();
    assert!(
        matches!(
            finding,
            Finding::Checkpoint {
                witness: Witness::Stored,
                ..
            }
        ),
        "{finding}"
    );

    let foreign = tieline_note::Checkpoint {
        origin: ORIGIN.to_owned(),
        size: 10,
        root: sha256(b""),
    };
    let foreign = foreign.sign(&other).unwrap();
    let options = VerifyOptions {
        against: Some(foreign.clone()),
        ..Default::default()
    };
    let finding = verify(dir.path(), &options, |_| {}).unwrap_err();
    assert!(
        matches!(
            finding,
            Finding::Checkpoint {
                witness: Witness::Against,
                ..
            }
        ),
        "{finding}"
    );
    fs::write(dir.path().join("checkpoint.last"), foreign).unwrap();
    let finding = check(dir.path()).unwrap_err();
    assert!(
        matches!(
            finding,
            Finding::Checkpoint {
                witness: Witness::Last,
                ..
            }
        ),
        "{finding}"
    );
}

#[test]
fn a_stored_head_that_was_edited() {
    let dir = ledger(300);
    database(dir.path())
        .execute(
            "UPDATE head SET checkpoint = replace(checkpoint, '300', '299')",
            [],
        )
        .unwrap();
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Checkpoint {
            witness: Witness::Stored,
            ..
        })
    ));
    let dir = ledger(300);
    database(dir.path())
        .execute("UPDATE head SET size = 299", [])
        .unwrap();
    assert!(matches!(
        check(dir.path()),
        Err(Finding::Shortened {
            witness: Witness::Stored,
            ..
        })
    ));
    fs::remove_file(dir.path().join("log.key")).unwrap();
    assert!(matches!(check(dir.path()), Err(Finding::NoKey)));
}

#[test]
fn rows_where_no_reader_looks() {
    for first in [i64::MIN, -1, i64::MAX] {
        let dir = ledger(300);
        database(dir.path())
            .execute(
                "INSERT INTO bundle SELECT ?1, 1, zeroblob(32), 3, x'000141'",
                [first],
            )
            .unwrap();
        let finding = check(dir.path()).unwrap_err();
        assert!(
            finding.to_string().starts_with(&format!("the row at {first} ")),
            "{finding}"
        );
    }
}

#[test]
fn a_head_of_another_log() {
    let dir = ledger(300);
    database(dir.path())
        .execute("UPDATE head SET origin = 'evil.example/log'", [])
        .unwrap();
    let finding = check(dir.path()).unwrap_err();
    assert!(matches!(finding, Finding::Content { .. }), "{finding}");
}

#[test]
fn what_could_show_each_reader_something_else() {
    for change in [
        "ALTER TABLE bundle RENAME TO kept; CREATE VIEW bundle AS SELECT * FROM kept WHERE random() <> 0;",
        "CREATE TRIGGER evil AFTER INSERT ON bundle BEGIN DELETE FROM blob; END;",
    ] {
        let dir = ledger(300);
        database(dir.path()).execute_batch(change).unwrap();
        let finding = check(dir.path()).unwrap_err();
        assert!(
            finding.to_string().contains("which a ledger never has"),
            "{finding}"
        );
    }
}

#[test]
fn a_deep_run_looks_into_entries_and_blobs() {
    let deep = VerifyOptions {
        deep: true,
        ..Default::default()
    };
    for bad in [
        &br#"{"t":"tieline/x/v1","id":"a","at":1}"#[..],
        b"{}",
        b"\xff",
        br#"{"at":1,"id":"a","t":"x"}"#,
    ] {
        let (dir, mut log) = new_log();
        log.append(&[entry(0), bad.to_vec()], 1).unwrap();
        log.close().unwrap();
        assert!(check(dir.path()).is_ok());
        let finding = verify(dir.path(), &deep, |_| {}).unwrap_err();
        assert!(
            matches!(&finding, Finding::Content { what, .. } if what == "entry 1"),
            "{finding}"
        );
    }
    let (dir, mut log) = new_log();
    log.put_blob(b"a grid").unwrap();
    log.close().unwrap();
    database(dir.path())
        .execute("UPDATE blob SET bytes = x'00'", [])
        .unwrap();
    let finding = verify(dir.path(), &deep, |_| {}).unwrap_err();
    assert!(
        matches!(&finding, Finding::Content { what, .. } if what.starts_with("blob ")),
        "{finding}"
    );
}

#[test]
fn any_flipped_byte_of_the_file_is_answered() {
    let dir = ledger(300);
    let path = dir.path().join("ledger.db");
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(good.len() / 150) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        fs::write(&path, &bytes).unwrap();
        for file in ["ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::remove_file(dir.path().join(file));
        }
        // Free space and page bookkeeping may change unseen; the entries may not.
        if let Ok(report) = check(dir.path()) {
            assert_eq!(report.size, 300, "byte {at}");
            let reader = tieline_ledger::Reader::open(dir.path()).unwrap();
            assert_eq!(reader.read(0..300).unwrap(), entries(0..300), "byte {at}");
        }
    }
}
