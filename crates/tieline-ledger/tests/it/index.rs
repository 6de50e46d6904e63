//! The query index: it follows the ledger, and is begun anew when it does not fit.

use std::fs;

use tieline_ledger::{Index, Log, Reader};

use crate::{copy, new_log};

fn decision(call: u64) -> Vec<u8> {
    format!(r#"{{"at":{call},"id":"c{call}","t":"tieline/decision/v1"}}"#).into_bytes()
}

fn outcome(call: u64) -> Vec<u8> {
    format!(r#"{{"at":{call},"id":"c{call}","t":"tieline/outcome/v1"}}"#).into_bytes()
}

fn receipt(call: u64) -> Vec<u8> {
    format!(r#"{{"at":1,"call":"c{call}","id":"r{call}","t":"tieline/receipt/v1"}}"#).into_bytes()
}

fn fill(log: &mut Log, calls: std::ops::Range<u64>) {
    let all: Vec<_> = calls.flat_map(|call| [decision(call), outcome(call)]).collect();
    log.append(&all, 1).unwrap();
}

#[test]
fn entries_of_a_call_are_found() {
    let (dir, mut log) = new_log();
    fill(&mut log, 0..500);
    log.append(&[decision(500), receipt(3), b"no json".to_vec()], 2)
        .unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let mut index = Index::open(dir.path()).unwrap();
    assert_eq!(index.catch_up(&reader).unwrap(), 1003);
    assert_eq!(index.entries_of("c3").unwrap(), [6, 7, 1001]);
    assert_eq!(index.entries_of("r3").unwrap(), [1001]);
    assert_eq!(index.entries_of("nobody").unwrap(), [0_u64; 0]);
    assert_eq!(index.decisions().unwrap(), 501);
    let latest: Vec<_> = index
        .latest(2)
        .unwrap()
        .into_iter()
        .map(|call| (call.id, call.entry))
        .collect();
    assert_eq!(latest, [("c500".to_owned(), 1000), ("c499".to_owned(), 998)]);
    let undecided = index.undecided().unwrap();
    assert_eq!(undecided.len(), 1);
    assert_eq!((undecided[0].id.as_str(), undecided[0].at_us), ("c500", 500));
    log.append(&[outcome(500)], 3).unwrap();
    assert_eq!(index.catch_up(&reader).unwrap(), 1004);
    assert!(index.undecided().unwrap().is_empty());
}

#[test]
fn an_index_that_does_not_fit_is_begun_anew() {
    let (dir, mut log) = new_log();
    fill(&mut log, 0..10);
    let short = copy(dir.path());
    fill(&mut log, 10..20);
    let mut index = Index::open(dir.path()).unwrap();
    index.catch_up(log.reader()).unwrap();
    drop(index);

    // Ahead of the ledger.
    fs::copy(dir.path().join("index.db"), short.path().join("index.db")).unwrap();
    let mut index = Index::open(short.path()).unwrap();
    assert_eq!(index.catch_up(&Reader::open(short.path()).unwrap()).unwrap(), 20);
    assert!(index.entries_of("c15").unwrap().is_empty());
    assert_eq!(index.entries_of("c5").unwrap(), [10, 11]);

    // Of a ledger that went on otherwise.
    let mut other = crate::open(short.path()).unwrap();
    fill(&mut other, 30..40);
    let mut index = Index::open(dir.path()).unwrap();
    assert_eq!(index.catch_up(other.reader()).unwrap(), 40);
    assert_eq!(index.entries_of("c30").unwrap(), [20, 21]);

    // Damaged, and of another version.
    drop(index);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(dir.path().join(format!("index.db{suffix}")));
    }
    fs::write(
        dir.path().join("index.db"),
        "no database at all, but a text of some length",
    )
    .unwrap();
    let mut index = Index::open(dir.path()).unwrap();
    assert_eq!(index.catch_up(log.reader()).unwrap(), 40);
    assert_eq!(index.entries_of("c15").unwrap(), [30, 31]);
}
