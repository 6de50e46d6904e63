//! The writer's thread: nothing is lost unseen, whatever the queue and the disk do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::Value;
use tieline_ledger::{OnFull, PushError, VerifyOptions, Writer, WriterConfig, verify};

use crate::{entries, entry, new_log, open};

fn config(queue_entries_max: usize, on_full: OnFull) -> WriterConfig {
    WriterConfig {
        queue_entries_max,
        on_full,
        linger: Duration::ZERO,
        ..WriterConfig::default()
    }
}

/// A clock that stops the writer's thread inside each commit until the test lets it go on.
fn gate() -> (impl Fn() -> u64 + Send + Sync + 'static, Receiver<()>, Sender<()>) {
    let (entered, enter) = channel();
    let (go, may_go) = channel();
    let may_go = std::sync::Mutex::new(may_go);
    let clock = move || {
        if std::thread::current().name() == Some("ledger") && entered.send(()).is_ok() {
            let _ = may_go.lock().unwrap().recv();
        }
        1_000_000
    };
    (clock, enter, go)
}

fn lost(entries: &[Vec<u8>]) -> u64 {
    let gaps = entries
        .iter()
        .map(|entry| serde_json::from_slice::<Value>(entry).unwrap());
    gaps.filter(|gap| gap["t"] == "tieline/gap/v1")
        .map(|gap| gap["lost"].as_u64().unwrap())
        .sum()
}

/// A tail cut off while nothing happens is noticed too: `checkpoint.last` does not wait for the next commit.
#[test]
fn checkpoint_last_catches_up_while_nothing_happens() {
    let (dir, log) = new_log();
    let writer = Writer::spawn(log, WriterConfig::default(), || 7).unwrap();
    writer.push(entry(0)).unwrap();
    assert_eq!(writer.flush().unwrap(), 1);
    let last = || std::fs::read_to_string(dir.path().join("checkpoint.last")).unwrap();
    let began = std::time::Instant::now();
    while last() != writer.head().checkpoint {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", last());
        std::thread::yield_now();
    }
    writer.close().unwrap();
}

#[test]
fn pushed_then_closed_is_durable_in_order() {
    let (dir, log) = new_log();
    let writer = Writer::spawn(log, WriterConfig::default(), || 7).unwrap();
    for entry in entries(0..1000) {
        writer.push(entry).unwrap();
    }
    assert_eq!(writer.flush().unwrap(), 1000);
    assert_eq!(writer.head().size, 1000);
    writer.push(entry(1000)).unwrap();
    writer.close().unwrap();
    writer.close().unwrap();
    assert_eq!(writer.push(entry(0)), Err(PushError::Closed));
    assert!(matches!(writer.flush(), Err(PushError::Closed)));
    let log = open(dir.path()).unwrap();
    assert_eq!(log.read(0..2000).unwrap(), entries(0..1001));
    assert_eq!(
        verify(dir.path(), &VerifyOptions::default(), |_| {})
            .unwrap()
            .last_size,
        1001
    );
}

#[test]
fn a_durable_push_learns_its_index() {
    let (dir, log) = new_log();
    // Nobody waits a minute: a durable push ends the linger time.
    let config = WriterConfig {
        linger: Duration::from_mins(1),
        ..WriterConfig::default()
    };
    let writer = Writer::spawn(log, config, || 7).unwrap();
    let (send, receive) = channel();
    for index in 0..10 {
        writer.push(entry(2 * index)).unwrap();
        let send = send.clone();
        writer
            .push_durable(
                entry(2 * index + 1),
                Box::new(move |result| send.send(result).unwrap()),
            )
            .unwrap();
        let at = receive.recv().unwrap().unwrap();
        assert_eq!(at, 2 * index + 1);
        assert_eq!(
            crate::Reader::open(dir.path()).unwrap().entry(at).unwrap(),
            Some(entry(at))
        );
    }
    writer.close().unwrap();
}

#[test]
fn a_callback_that_panics_harms_nobody() {
    let (_dir, log) = new_log();
    let writer = Writer::spawn(log, WriterConfig::default(), || 7).unwrap();
    writer
        .push_durable(entry(0), Box::new(|_| panic!("the callback")))
        .unwrap();
    assert_eq!(writer.flush().unwrap(), 1);
    assert_eq!(writer.push(entry(1)), Ok(()));
    writer.close().unwrap();
}

/// Whoever is told that an entry is durable may look at the writer, and push.
#[test]
fn a_callback_may_push() {
    let (dir, log) = new_log();
    let writer = Arc::new(Writer::spawn(log, WriterConfig::default(), || 7).unwrap());
    let (send, receive) = channel();
    let weak = Arc::downgrade(&writer);
    let done = move |_| {
        let pushed = weak.upgrade().map(|writer| writer.push(entry(1)));
        send.send(pushed).unwrap();
    };
    writer.push_durable(entry(0), Box::new(done)).unwrap();
    let pushed = receive.recv_timeout(Duration::from_secs(30));
    assert_eq!(pushed, Ok(Some(Ok(()))));
    assert_eq!(writer.flush().unwrap(), 2);
    writer.close().unwrap();
    assert_eq!(open(dir.path()).unwrap().read(0..10).unwrap(), entries(0..2));
}

/// More than several commits take, in number and in bytes, while the first is under way.
#[test]
fn what_waits_is_committed_in_order_however_much_it_is() {
    let (dir, log) = new_log();
    let (clock, entered, go) = gate();
    let writer = Writer::spawn(log, config(65_536, OnFull::Refuse), clock).unwrap();
    writer.push(entry(0)).unwrap();
    entered.recv().unwrap();
    let long = |index: u64| format!(r#"{{"id":"{index}","x":"{}"}}"#, "x".repeat(60_000)).into_bytes();
    let mut expected = entries(0..2_600);
    expected.extend((2_600..2_700).map(long));
    for entry in expected.iter().skip(1) {
        writer.push(entry).unwrap();
    }
    let bytes: usize = expected.iter().skip(1).map(Vec::len).sum();
    let health = writer.health();
    assert_eq!((health.queued_entries, health.queued_bytes), (2_699, bytes));
    drop(entered);
    go.send(()).unwrap();
    assert_eq!(writer.flush().unwrap(), 2_700);
    // One entry; 1,024 twice; the rest up to 4 MiB; what is left.
    assert_eq!(writer.health().commits, 5);
    assert_eq!(writer.health().queued_bytes, 0);
    writer.close().unwrap();
    assert_eq!(open(dir.path()).unwrap().read(0..3_000).unwrap(), expected);
}

#[test]
fn a_full_queue_refuses() {
    let (dir, log) = new_log();
    let (clock, entered, go) = gate();
    let writer = Writer::spawn(log, config(4, OnFull::Refuse), clock).unwrap();
    writer.push(entry(0)).unwrap();
    entered.recv().unwrap();
    for index in 1..5 {
        writer.push(entry(index)).unwrap();
    }
    assert!(matches!(
        writer.push(entry(5)),
        Err(PushError::Full { entries: 4, .. })
    ));
    assert_eq!(writer.health().queued_entries, 4);
    writer.push_owed(entry(5)).unwrap();
    assert_eq!(
        writer.health().queued_entries,
        5,
        "what is owed is taken all the same"
    );
    drop(entered);
    go.send(()).unwrap();
    writer.close().unwrap();
    assert_eq!(open(dir.path()).unwrap().read(0..10).unwrap(), entries(0..6));
}

#[test]
fn bytes_are_a_limit_too() {
    let (_dir, log) = new_log();
    let (clock, entered, go) = gate();
    let config = WriterConfig {
        queue_bytes_max: 1000,
        linger: Duration::ZERO,
        ..WriterConfig::default()
    };
    let writer = Writer::spawn(log, config, clock).unwrap();
    writer.push(vec![b'1'; 900]).unwrap();
    entered.recv().unwrap();
    writer.push(vec![b'1'; 900]).unwrap();
    assert!(matches!(
        writer.push(vec![b'1'; 101]),
        Err(PushError::Full { bytes: 900, .. })
    ));
    assert!(matches!(
        writer.put_blob(vec![b'1'; 101]),
        Err(PushError::Full { .. })
    ));
    assert_eq!(writer.push(vec![b'1'; 100]), Ok(()));
    assert!(matches!(
        writer.push(vec![b'1'; 65_536]),
        Err(PushError::Entry(_))
    ));
    drop(entered);
    go.send(()).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_gap_is_recorded_where_the_entries_would_stand() {
    let (dir, log) = new_log();
    let (clock, entered, go) = gate();
    let writer = Writer::spawn(log, config(2, OnFull::Gap), clock).unwrap();
    writer.push(entry(0)).unwrap();
    entered.recv().unwrap();
    for index in 1..6 {
        writer.push(entry(index)).unwrap();
    }
    assert!(matches!(
        writer.push_durable(entry(9), Box::new(|_| {})),
        Err(PushError::Full { .. })
    ));
    assert_eq!(writer.health().lost_entries, 3);
    drop(entered);
    go.send(()).unwrap();
    writer.flush().unwrap();
    writer.push(entry(6)).unwrap();
    writer.close().unwrap();
    let all = open(dir.path()).unwrap().read(0..10).unwrap();
    assert_eq!(
        [&all[..3], &all[4..]].concat(),
        [entries(0..3), entries(6..7)].concat()
    );
    assert_eq!(
        String::from_utf8(all[3].clone()).unwrap(),
        r#"{"at":1000000,"first_at":1000000,"id":"gap-1000000","lost":3,"t":"tieline/gap/v1"}"#
    );
}

#[test]
fn blobs_are_there_before_the_entries_that_cite_them() {
    let (dir, log) = new_log();
    let writer = Writer::spawn(log, WriterConfig::default(), || 7).unwrap();
    let digest = writer.put_blob(b"a pack".to_vec()).unwrap();
    writer.push(entry(0)).unwrap();
    assert_eq!(writer.flush().unwrap(), 1);
    let reader = crate::Reader::open(dir.path()).unwrap();
    assert_eq!(reader.blob(&digest).unwrap().as_deref(), Some(&b"a pack"[..]));
    writer.close().unwrap();
}

#[test]
fn a_failed_commit_is_seen_by_everyone() {
    let (dir, log) = new_log();
    let writer = Writer::spawn(log, WriterConfig::default(), || 7).unwrap();
    writer.push(entry(0)).unwrap();
    writer.flush().unwrap();
    Connection::open(dir.path().join("ledger.db"))
        .unwrap()
        .execute_batch("DROP TABLE bundle")
        .unwrap();
    let (send, receive) = channel();
    writer
        .push_durable(entry(1), Box::new(move |result| send.send(result).unwrap()))
        .unwrap();
    let stopped = receive.recv().unwrap().unwrap_err();
    assert_eq!(writer.push(entry(2)), Err(PushError::Stopped(stopped.clone())));
    let health = writer.health();
    assert_eq!(
        (health.stopped, health.unwritten_entries, health.size),
        (Some(stopped), 1, 1)
    );
    assert!(writer.close().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Pushed entries are committed, refused or counted in a gap, each exactly once, and in order.
    #[test]
    fn entries_are_conserved(
        count in 1..400_u64, queue in 1..50_usize, is_gap: bool, linger_us in 0..300_u64, threads in 1..4_u64,
    ) {
        let (dir, log) = new_log();
        let on_full = if is_gap { OnFull::Gap } else { OnFull::Refuse };
        let linger = Duration::from_micros(linger_us);
        let writer = Writer::spawn(log, WriterConfig { linger, ..config(queue, on_full) }, || 7).unwrap();
        let refused = Arc::new(AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (writer, refused) = (&writer, &refused);
                scope.spawn(move || {
                    for index in 0..count {
                        if let Err(error) = writer.push(entry(thread * 1000 + index)) {
                            assert!(matches!(error, PushError::Full { .. }), "{error}");
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        writer.close().unwrap();
        let lost_entries = writer.health().lost_entries;
        let all = open(dir.path()).unwrap().read(0..u64::MAX).unwrap();
        let gaps = all.iter().filter(|entry| entry.windows(6).any(|part| part == b"/gap/v")).count() as u64;
        prop_assert_eq!(lost(&all), lost_entries);
        let refused = refused.load(Ordering::Relaxed);
        prop_assert_eq!(all.len() as u64 - gaps + lost_entries + refused, threads * count);
        for thread in 0..threads {
            let numbers: Vec<u64> = all
                .iter()
                .filter_map(|entry| serde_json::from_slice::<Value>(entry).unwrap()["id"].as_str()?.strip_prefix("call-")?.parse().ok())
                .filter(|number| number / 1000 == thread)
                .collect();
            prop_assert!(numbers.is_sorted());
        }
    }
}
