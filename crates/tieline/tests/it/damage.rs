//! A ledger that somebody, or a disk, has changed: `ledger verify` finds it and names it.

use std::path::Path;

use rusqlite::Connection;

use crate::folder::{Folder, Server};

/// Rewrite, unpacked, the first row of entries that `rewrite` has something for; the rows are one for each commit. A row
/// of which nothing is left goes.
fn rewrite(file: &Path, mut rewrite: impl FnMut(i64, Vec<u8>) -> Option<Vec<u8>>) {
    let db = Connection::open(file).unwrap();
    let mut select = db
        .prepare("SELECT first, size, entries FROM bundle ORDER BY first")
        .unwrap();
    let rows = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    let rows: Vec<(i64, i64, Vec<u8>)> = rows.map(Result::unwrap).collect();
    for (first, size, packed) in rows {
        let size = usize::try_from(size).unwrap();
        let entries = if packed.len() == size {
            packed
        } else {
            lz4_flex::block::decompress(&packed, size).unwrap()
        };
        let Some(entries) = rewrite(first, entries) else {
            continue;
        };
        let changed = if entries.is_empty() {
            db.execute("DELETE FROM bundle WHERE first = ?1", [first])
        } else {
            db.execute(
                "UPDATE bundle SET size = length(?2), entries = ?2 WHERE first = ?1",
                (first, entries),
            )
        };
        assert_eq!(changed.unwrap(), 1);
        return;
    }
    panic!("no row has it");
}

/// Change the byte behind the first `before`.
pub(crate) fn change(file: &Path, before: &str, change: impl Fn(u8) -> u8) {
    rewrite(file, |_, mut entries| {
        let found = entries
            .windows(before.len())
            .position(|bytes| bytes == before.as_bytes());
        let at = found? + before.len();
        entries[at] = change(entries[at]);
        Some(entries)
    });
}

/// Take the entry of this index out of the row that holds it; each has its length in front, two bytes of it.
fn remove(file: &Path, index: i64) {
    rewrite(file, |first, entries| {
        let (mut kept, mut rest, mut at) = (Vec::new(), entries.as_slice(), first);
        while let [high, low, ..] = rest {
            let (entry, tail) = rest.split_at(2 + usize::from(u16::from_be_bytes([*high, *low])));
            if at != index {
                kept.extend_from_slice(entry);
            }
            (rest, at) = (tail, at + 1);
        }
        (kept.len() < entries.len()).then_some(kept)
    });
}

/// A folder with one call on record, and its server.
fn one_call() -> (Folder, Server) {
    let folder = Folder::new();
    let server = folder.serve();
    server.chat().must_be(200);
    (folder, server)
}

#[test]
fn a_byte_is_flipped() {
    let (mut folder, server) = one_call();
    server.stop();
    change(&folder.at("ledger.db"), r#""pool":"ch"#, |byte| byte ^ 1);
    for args in [
        &["ledger", "verify"][..],
        &["ledger", "verify", "--json"],
        &["ledger", "verify", "--deep"],
    ] {
        let output = folder.run(args);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .contains("entry 2 was changed")
        );
    }
    folder.check("a_byte_is_flipped");
}

#[test]
fn an_entry_is_removed() {
    let (mut folder, server) = one_call();
    server.stop();
    remove(&folder.at("ledger.db"), 2);
    let output = folder.run(&["ledger", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("entry 2 was removed")
    );
    folder.check("an_entry_is_removed");
}

#[test]
fn the_tail_is_cut_off() {
    let (mut folder, server) = one_call();
    folder.json(&["explain", "last"]);
    folder.text(&["--dir", ".", "ledger", "backup", "earlier.db"]);
    server.chat().must_be(200);
    server.stop();
    folder.text(&["--dir", ".", "ledger", "backup", "later.db"]);
    std::fs::copy(folder.at("earlier.db"), folder.at("ledger.db")).unwrap();
    let output = folder.run(&["ledger", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("cut off"));
    // Nor is it written on.
    let output = folder.run(&["serve"]);
    assert_eq!(output.status.code(), Some(2));
    folder
        .said
        .note("whoever took checkpoint.last back with it has not seen the one that was kept elsewhere");
    std::fs::copy(folder.at("earlier.db.checkpoint"), folder.at("checkpoint.last")).unwrap();
    assert_eq!(folder.run(&["ledger", "verify"]).status.code(), Some(0));
    let output = folder.run(&["ledger", "verify", "--against", "later.db.checkpoint"]);
    assert_eq!(output.status.code(), Some(1));
    folder.check("the_tail_is_cut_off");
}

#[test]
fn a_checkpoint_of_another_log() {
    let (mut folder, server) = one_call();
    server.stop();
    let (other, server) = one_call();
    server.stop();
    other.text(&["--dir", ".", "ledger", "backup", "other.db"]);
    folder.write("other.checkpoint", &other.read("other.db.checkpoint"));
    let key = other.text(&["--dir", ".", "ledger", "key"]);
    folder.write("not-a-note", "hello\n");
    for (args, code) in [
        (&["ledger", "verify", "--against", "other.checkpoint"][..], 1),
        (
            &["ledger", "verify", "--against", "other.checkpoint", "--json"],
            1,
        ),
        (&["ledger", "verify", "--key", key.trim()], 1),
        (&["ledger", "verify", "--against", "not-a-note"], 2),
        (&["ledger", "verify", "--against", "nothing-there"], 2),
        (&["ledger", "verify", "--key", "not-a-key"], 2),
    ] {
        assert_eq!(folder.run(args).status.code(), Some(code), "{args:?}");
    }
    folder.said.note("in place of the folder's own");
    std::fs::copy(folder.at("other.checkpoint"), folder.at("checkpoint.last")).unwrap();
    assert_eq!(folder.run(&["ledger", "verify"]).status.code(), Some(1));
    folder.said.note("and without it");
    std::fs::remove_file(folder.at("checkpoint.last")).unwrap();
    assert_eq!(folder.run(&["ledger", "verify"]).status.code(), Some(1));
    folder.check("a_checkpoint_of_another_log");
}

#[test]
fn no_ledger_at_all() {
    let (mut folder, server) = one_call();
    server.stop();
    std::fs::write(folder.at("ledger.db"), "SQLite format 3? no\n".repeat(300)).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.at(&format!("ledger.db{suffix}")));
    }
    for args in [
        &["ledger", "verify"][..],
        &["ledger", "tail"],
        &["drill", "replay"],
        &["explain", "last"],
        &["serve"],
    ] {
        let output = folder.run(args);
        assert_ne!(output.status.code(), Some(0), "{args:?}");
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("hint: ") || args[0] == "ledger", "{args:?}: {said}");
    }
    // What the hint says works.
    for name in ["ledger.db", "checkpoint.last"] {
        std::fs::rename(folder.at(name), folder.at(&format!("{name}.aside"))).unwrap();
    }
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    assert_eq!(folder.json(&["ledger", "verify"])["ok"], true);
    folder.check("no_ledger_at_all");
}
