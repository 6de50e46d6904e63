//! The ledger after a test: its entries, and the laws that hold for each ledger.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tieline_core::record::{DECISION_V1, DecisionEntry, OUTCOME_V1, Outcome, OutcomeEntry};
use tieline_core::{CallId, Code, FaultKind, GridRecord, Snapshot, call};
use tieline_ledger::{Reader, VerifyOptions, verify};
use tieline_note::Digest;

/// All entries of one ledger.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) decisions: BTreeMap<CallId, DecisionEntry>,
    pub(crate) dir: TempDir,
    pub(crate) entries: Vec<Value>,
    /// Outcomes without a decision: only a ledger that may have gaps has any.
    pub(crate) orphans: Vec<OutcomeEntry>,
    pub(crate) outcomes: BTreeMap<CallId, OutcomeEntry>,
}

impl Book {
    pub(crate) fn read(dir: TempDir) -> Self {
        let mut book = Self {
            decisions: BTreeMap::new(),
            dir,
            entries: Vec::new(),
            orphans: Vec::new(),
            outcomes: BTreeMap::new(),
        };
        let reader = Reader::open(book.dir.path()).unwrap();
        for bytes in reader.read(0..u64::MAX).unwrap() {
            let entry: Value = serde_json::from_slice(&bytes).unwrap();
            match entry["t"].as_str().unwrap() {
                DECISION_V1 => {
                    let decision: DecisionEntry = serde_json::from_slice(&bytes).unwrap();
                    let before = book.decisions.insert(decision.id, decision);
                    assert!(before.is_none(), "a second decision: {before:?}");
                }
                OUTCOME_V1 => {
                    let outcome: OutcomeEntry = serde_json::from_slice(&bytes).unwrap();
                    if book.decisions.contains_key(&outcome.id) {
                        let before = book.outcomes.insert(outcome.id, outcome);
                        assert!(before.is_none(), "a second outcome: {before:?}");
                    } else {
                        book.orphans.push(outcome);
                    }
                }
                _ => {}
            }
            book.entries.push(entry);
        }
        book
    }

    /// The laws: every hash is right, every decision has its outcome, everything cited is archived, and deciding again
    /// gives the same entries.
    pub(crate) fn audit(&self) {
        let options = VerifyOptions {
            deep: true,
            ..VerifyOptions::default()
        };
        let report = verify(self.dir.path(), &options, |_| {}).unwrap();
        assert_eq!(report.size, self.entries.len() as u64);
        assert!(
            self.orphans.is_empty(),
            "outcomes before their decisions: {:?}",
            self.orphans
        );
        let mut grids = BTreeMap::new();
        let reader = Reader::open(self.dir.path()).unwrap();
        let blob = |digest: [u8; 32]| reader.blob(&Digest(digest)).unwrap();
        for (id, decision) in &self.decisions {
            let outcome = self.outcomes.get(id);
            assert!(outcome.is_some(), "no outcome of {decision:?}");
            let snapshot = grids.entry(decision.grid.0).or_insert_with(|| {
                let bytes = blob(decision.grid.0).expect("the cited grid is archived");
                let record: GridRecord = serde_json::from_slice(&bytes).unwrap();
                Arc::new(Snapshot::build(Arc::new(record), decision.grid.0).unwrap())
            });
            assert!(
                blob(decision.intake.party_digest.0).is_some(),
                "the cited party is archived"
            );
            let again = call::replay(snapshot, decision, outcome);
            assert_eq!(again, Ok(()), "{decision:#?} {outcome:#?}");
        }
    }

    /// The one call of the ledger.
    pub(crate) fn only(&self) -> (&DecisionEntry, &OutcomeEntry) {
        assert_eq!(self.decisions.len(), 1, "{:#?}", self.entries);
        let id = *self.decisions.keys().next().unwrap();
        self.call(id)
    }

    pub(crate) fn call(&self, id: CallId) -> (&DecisionEntry, &OutcomeEntry) {
        (&self.decisions[&id], &self.outcomes[&id])
    }

    /// All calls, in the order in which they arrived.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&DecisionEntry, &OutcomeEntry)> {
        self.decisions.keys().map(|id| self.call(*id))
    }

    /// The call that arrived as the `n`th.
    pub(crate) fn call_at(&self, n: usize) -> (&DecisionEntry, &OutcomeEntry) {
        self.call(*self.decisions.keys().nth(n).unwrap())
    }

    /// What is archived under a digest.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        Reader::open(self.dir.path()).unwrap().blob(digest).unwrap()
    }

    /// How each call ended, in order of arrival.
    pub(crate) fn results(&self) -> Vec<Outcome> {
        self.decisions.keys().map(|id| self.outcomes[id].result).collect()
    }

    /// Entries of a type.
    pub(crate) fn of_type(&self, t: &str) -> Vec<&Value> {
        self.entries.iter().filter(|entry| entry["t"] == t).collect()
    }

    /// Whether a text stands anywhere in the entries or in what is archived. The file itself says less, for it is packed.
    pub(crate) fn says(&self, part: &str) -> bool {
        let reader = Reader::open(self.path()).unwrap();
        let file = rusqlite::Connection::open(self.path().join("ledger.db")).unwrap();
        let mut statement = file.prepare("SELECT digest FROM blob").unwrap();
        let digests = statement.query_map([], |row| row.get::<_, [u8; 32]>(0)).unwrap();
        let blobs = digests.map(|digest| {
            reader
                .blob(&tieline_note::Digest(digest.unwrap()))
                .unwrap()
                .unwrap()
        });
        let entries = self.entries.iter().map(|entry| entry.to_string().into_bytes());
        let finds = |bytes: Vec<u8>| bytes.windows(part.len()).any(|window| window == part.as_bytes());
        entries.chain(blobs).any(finds)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The attempts of an outcome: channel and fault.
pub(crate) fn attempts(outcome: &OutcomeEntry) -> Vec<(&str, Option<FaultKind>)> {
    let attempts = outcome.attempts.iter();
    attempts
        .map(|attempt| (&*attempt.channel, attempt.fault.map(|fault| fault.kind)))
        .collect()
}

/// Result and code of an outcome.
pub(crate) fn ended(outcome: &OutcomeEntry) -> (Outcome, Option<Code>) {
    (outcome.result, outcome.code)
}
