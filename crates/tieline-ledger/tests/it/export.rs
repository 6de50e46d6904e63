//! Exports and backups.

use std::fs;

use tempfile::TempDir;
use tieline_ledger::tile::{self, TileKind};
use tieline_ledger::{Reader, VerifyOptions, backup, export_tiles, verify};

use crate::{entries, ledger, new_log};

#[test]
fn exported_tiles_have_the_layout_of_the_specification() {
    let dir = ledger(700);
    let out = TempDir::new().unwrap();
    let report = export_tiles(dir.path(), out.path()).unwrap();
    assert_eq!(report.files, 3 + 1 + 3);
    let read = |path: &str| fs::read(out.path().join(path)).unwrap();
    assert_eq!(read("checkpoint"), report.head.checkpoint.as_bytes());
    assert_eq!(read("tile/0/000").len(), 8192);
    assert_eq!(read("tile/0/002.p/188").len(), 188 * 32);
    assert_eq!(read("tile/1/000.p/2").len(), 64);
    let bundles = ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/188"]
        .map(read)
        .concat();
    let mut all: Vec<Vec<u8>> = Vec::new();
    for bundle in ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/188"] {
        all.extend(tile::entries(&read(bundle)).map(|entry| entry.unwrap().to_vec()));
    }
    assert_eq!(all, entries(0..700));
    assert!(bundles.len() > 700);
}

#[test]
fn a_second_export_adds_what_is_new() {
    let (dir, mut log) = new_log();
    let out = TempDir::new().unwrap();
    log.append(&entries(0..300), 1).unwrap();
    export_tiles(dir.path(), out.path()).unwrap();
    log.append(&entries(300..600), 1).unwrap();
    let report = export_tiles(dir.path(), out.path()).unwrap();
    assert_eq!(
        fs::read_to_string(out.path().join("checkpoint")).unwrap(),
        report.head.checkpoint
    );
    assert!(out.path().join("tile/0/001").is_file());
    // What another log left there is replaced.
    fs::write(out.path().join("tile/0/000"), [0; 8192]).unwrap();
    export_tiles(dir.path(), out.path()).unwrap();
    assert_ne!(fs::read(out.path().join("tile/0/000")).unwrap(), [0; 8192]);
}

#[test]
fn tiles_are_served_at_every_width_up_to_the_size() {
    let dir = ledger(300);
    let reader = Reader::open(dir.path()).unwrap();
    for path in tile::tiles(300).collect::<Vec<_>>() {
        let whole = reader.tile(&path).unwrap().unwrap();
        for width in [1, path.width / 2 + 1] {
            let part = reader.tile(&tile::TilePath { width, ..path }).unwrap().unwrap();
            assert!(whole.starts_with(&part));
        }
    }
    for text in [
        "tile/0/001",
        "tile/0/001.p/45",
        "tile/1/000.p/2",
        "tile/2/000.p/1",
        "tile/entries/002.p/1",
    ] {
        assert_eq!(reader.tile(&text.parse().unwrap()).unwrap(), None, "{text}");
    }
    let path = tile::TilePath {
        kind: TileKind::Entries,
        number: u64::MAX,
        width: 256,
    };
    assert_eq!(reader.tile(&path).unwrap(), None);
}

#[test]
fn a_backup_of_an_open_ledger_verifies() {
    let (dir, mut log) = new_log();
    log.append(&entries(0..300), 1).unwrap();
    let target = TempDir::new().unwrap();
    let file = target.path().join("ledger.db");
    let report = backup(dir.path(), &file).unwrap();
    log.append(&entries(300..400), 2).unwrap();
    assert_eq!(report.head.size, 300);
    assert!(backup(dir.path(), &file).is_err());
    fs::copy(dir.path().join("log.key"), target.path().join("log.key")).unwrap();
    fs::rename(&report.checkpoint, target.path().join("checkpoint.last")).unwrap();
    assert_eq!(
        verify(target.path(), &VerifyOptions::default(), |_| {})
            .unwrap()
            .size,
        300
    );
}
