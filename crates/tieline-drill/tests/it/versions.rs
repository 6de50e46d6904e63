//! Versions of models over a ledger whose grid changes: goldens, and what is concluded from what is not there.

use std::sync::Arc;

use serde_json::json;
use tieline_core::record::Hex32;
use tieline_core::{GridRecord, Scope, Snapshot, Tick};
use tieline_drill::{PartyView, VersionRow, VersionsReader, VersionsReport, WaitState};
use tieline_note::jcs;

use crate::grids::{Ledger, small_grid};
use crate::live::{Live, Script};
use crate::random::START;

const HOUR_US: u64 = 3_600_000_000;

/// The small grid where the channels of `sonnet` call it by these names.
fn named(direct: &str, bedrock: &str, vertex: &str) -> GridRecord {
    let mut record = small_grid();
    for (channel, name) in record.channels.iter_mut().zip([direct, bedrock, vertex]) {
        channel.models[0].name = name.into();
    }
    record
}

fn after(hours: u64) -> Tick {
    Tick(START.0 + hours * HOUR_US)
}

impl Ledger {
    fn activate(&mut self, record: &GridRecord, at: Tick) -> Arc<Snapshot> {
        let snapshot = self.archive(record);
        self.activation(&Hex32(snapshot.digest).to_string(), at);
        snapshot
    }

    fn activation(&mut self, grid: &str, at: Tick) {
        let body = json!({ "epoch": 1, "epoch_record": grid, "grid": grid, "packs": [] });
        let entry = json!({ "at": at.0, "body": body, "id": "1", "t": "tieline/activation/v1" });
        self.entries.push(jcs::to_vec(&entry).unwrap());
    }

    fn versions(&self, present: &Snapshot, now: Tick) -> VersionsReport {
        let vertex = present.channel_named("vertex").unwrap();
        let bedrock = present.channel_named("bedrock").unwrap();
        let party = |name: &str| -> Arc<str> { name.into() };
        let parties = [
            PartyView {
                allowed: &|_| true,
                party: party("agency"),
                scope: Scope::All,
            },
            PartyView {
                allowed: &|way| way.channel == vertex,
                party: party("careful"),
                scope: Scope::All,
            },
            PartyView {
                allowed: &|way| way.channel == vertex || way.channel == bedrock,
                party: party("middle"),
                scope: Scope::All,
            },
        ];
        let blobs = |digest: &[u8; 32]| self.blobs.get(digest).cloned();
        let mut reader = VersionsReader::new(&blobs);
        for (index, entry) in (0..).zip(&self.entries) {
            reader.entry(index, entry);
        }
        reader.finish(present, &parties, now)
    }
}

const OLD: [&str; 3] = ["sonnet-20260101", "us.sonnet-20260101-v1:0", "sonnet@20260101"];
const NEW: [&str; 3] = ["sonnet-20260601", "us.sonnet-20260601-v1:0", "sonnet@20260601"];

fn sonnet(report: &VersionsReport) -> &[VersionRow] {
    &report
        .models
        .iter()
        .find(|model| model.model == "sonnet")
        .unwrap()
        .versions
}

#[test]
fn a_version_arrives_channel_by_channel() {
    let mut live = Live::new(&named(OLD[0], OLD[1], OLD[2]));
    live.call("sonnet-only", &Script::default());
    let calls = live.into_ledger();
    let mut ledger = Ledger::default();
    ledger.activate(&named(OLD[0], OLD[1], OLD[2]), START);
    ledger.entries.extend(calls.entries);
    ledger.activate(&named(NEW[0], OLD[1], OLD[2]), after(24));
    // Directives came into force under the same grid.
    ledger.activate(&named(NEW[0], OLD[1], OLD[2]), after(25));
    let present = ledger.activate(&named(NEW[0], NEW[1], OLD[2]), after(100));
    let report = ledger.versions(&present, after(240));
    insta::assert_snapshot!("versions_text", report.text());
    insta::assert_snapshot!("versions_json", serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn what_is_configured_and_was_never_in_force_has_no_instant() {
    let mut ledger = Ledger::default();
    ledger.activate(&named(OLD[0], OLD[1], OLD[2]), START);
    let present = Ledger::default().archive(&named(NEW[0], OLD[1], OLD[2]));
    let report = ledger.versions(&present, after(1));
    let newest = &sonnet(&report)[0];
    assert_eq!(newest.version.as_deref(), Some("2026-06-01"));
    assert_eq!(
        (newest.channels[0].since_us, newest.channels[0].behind_us),
        (None, None)
    );
    assert_eq!(newest.waits, [], "nobody waits for what nobody had");
    let alone = Ledger::default().versions(&present, after(1));
    assert_eq!((alone.since_us, alone.grids), (None, 0));
    assert!(
        alone.text().contains("only the configuration is known"),
        "{}",
        alone.text()
    );
}

#[test]
fn a_name_without_a_version_leaves_it_unknown_who_waits() {
    let mut ledger = Ledger::default();
    ledger.activate(&named(OLD[0], "deployment", "sonnet-latest"), START);
    let present = ledger.activate(&named(NEW[0], "deployment", "sonnet-latest"), after(5));
    let report = ledger.versions(&present, after(6));
    let rows: Vec<_> = sonnet(&report).iter().map(|row| row.version.as_deref()).collect();
    assert_eq!(rows, [Some("2026-06-01"), Some("2026-01-01"), None]);
    for wait in &sonnet(&report)[0].waits {
        assert_eq!(
            (wait.state, wait.waited_us),
            (WaitState::Unknown, None),
            "{wait:?}"
        );
    }
    assert_eq!(sonnet(&report)[0].waits.len(), 2);
}

#[test]
fn what_the_configuration_states_goes_before_names() {
    let mut record = named("a", "b-20260101", "c");
    for channel in &mut record.channels[..3] {
        channel.models[0].version = Some("third".into());
    }
    let mut ledger = Ledger::default();
    let present = ledger.activate(&record, START);
    let report = ledger.versions(&present, after(1));
    let [row] = sonnet(&report) else {
        panic!("one version");
    };
    assert_eq!((row.version.as_deref(), row.channels.len()), (Some("third"), 3));
    assert_eq!(row.waits, []);
}

#[test]
fn a_version_that_left_and_came_back_is_there() {
    let mut ledger = Ledger::default();
    ledger.activate(&named(OLD[0], OLD[1], OLD[2]), START);
    ledger.activate(&named(NEW[0], OLD[1], OLD[2]), after(1));
    let present = ledger.activate(&named(OLD[0], OLD[1], OLD[2]), after(2));
    let report = ledger.versions(&present, after(3));
    let of = |version: &str| {
        sonnet(&report)
            .iter()
            .find(|row| row.version.as_deref() == Some(version))
            .unwrap()
    };
    assert!(of("2026-01-01").is_from_start && !of("2026-06-01").is_from_start);
    let direct = |row: &VersionRow| {
        row.channels
            .iter()
            .find(|reach| reach.channel == "direct")
            .cloned()
            .unwrap()
    };
    assert_eq!(direct(of("2026-01-01")).until_us, None);
    assert_eq!(direct(of("2026-06-01")).until_us, Some(after(2).0));
}

#[test]
fn a_ledger_without_activations_is_read_by_its_decisions() {
    let mut live = Live::new(&named(OLD[0], OLD[1], OLD[2]));
    live.call("sonnet-only", &Script::default());
    let present = live.snapshot.clone();
    let report = live.into_ledger().versions(&present, after(1));
    let row = &sonnet(&report)[0];
    assert!(
        row.channels
            .iter()
            .all(|reach| reach.since_us == Some(START.0 + 2_000_000)),
        "{row:?}"
    );
    let answered: Vec<_> = row
        .channels
        .iter()
        .filter(|reach| reach.answered_us.is_some())
        .collect();
    assert_eq!((answered.len(), &*answered[0].channel), (1, "direct"));
}

#[test]
fn what_cannot_be_read_is_counted() {
    let mut ledger = Ledger::default();
    let present = ledger.activate(&named(OLD[0], OLD[1], OLD[2]), START);
    ledger.activation(&"0".repeat(64), after(1));
    ledger.activation("no digest", after(2));
    ledger.entries.push(b"{".to_vec());
    let report = ledger.versions(&present, after(3));
    assert_eq!(report.unreadable, 3);
    assert_eq!(
        sonnet(&report)[0].channels[0].until_us,
        None,
        "what an unknown grid lacks is unknown"
    );
}
