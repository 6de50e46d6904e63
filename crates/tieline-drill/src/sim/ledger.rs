//! The ledger of a run: entries in order, each durable at some instant, and what a crash leaves of them. What was not
//! durable is gone; a decision that is left without its outcome is closed as lost, as the gateway does at its next start.
//!
//! Bounds: two entries for each call of the load.

use std::collections::BTreeMap;

use tieline_core::record::OutcomeEntry;
use tieline_core::{CallId, Span, Tick};
use tieline_note::{jcs, sha256, sha256_parts};

use super::world::LedgerMood;

#[derive(Debug)]
pub(super) struct Ledger {
    /// The digest of everything that was ever written, durable or not.
    digest: [u8; 32],
    /// Entries never go ahead of one that was written before.
    durable_at: Tick,
    entries: Vec<Entry>,
    /// Whether entries keep their bytes, to be read as a ledger afterwards.
    is_kept: bool,
    mood: LedgerMood,
}

#[derive(Debug)]
struct Entry {
    bytes: Vec<u8>,
    call: CallId,
    durable_at: Tick,
    is_decision: bool,
}

/// The instant at which what a stopped ledger took is durable.
const NEVER: Tick = Tick(u64::MAX);

impl Default for Ledger {
    fn default() -> Self {
        Self {
            digest: [0; 32],
            durable_at: Tick(0),
            entries: Vec::new(),
            is_kept: false,
            mood: LedgerMood::Keeps(Span::from_ms(5)),
        }
    }
}

impl Ledger {
    /// Keep the bytes of what is written from here on.
    pub(super) const fn keep(&mut self) {
        self.is_kept = true;
    }

    /// What was kept, in order.
    pub(super) fn into_entries(self) -> Vec<Vec<u8>> {
        self.entries.into_iter().map(|entry| entry.bytes).collect()
    }

    /// A ledger that stopped stays so until the process is started anew.
    pub(super) fn set_mood(&mut self, mood: LedgerMood) {
        if !matches!(self.mood, LedgerMood::Dead) {
            self.mood = mood;
        }
    }

    /// Take a decision: when its fate is known, and whether it is durable then. `None` if there is no room.
    pub(super) fn decision(&mut self, call: CallId, bytes: &[u8], now: Tick) -> Option<(Tick, bool)> {
        if matches!(self.mood, LedgerMood::Full) {
            return None;
        }
        let durable_at = self.write(call, true, bytes, now);
        Some(match durable_at {
            NEVER => (now.plus(Span::from_ms(3)), false),
            at => (at, true),
        })
    }

    /// Outcomes have room kept for them.
    pub(super) fn outcome(&mut self, call: CallId, bytes: &[u8], now: Tick) {
        self.write(call, false, bytes, now);
    }

    fn write(&mut self, call: CallId, is_decision: bool, bytes: &[u8], now: Tick) -> Tick {
        self.digest = sha256_parts(&[&self.digest, &sha256(bytes).0]).0;
        let durable_at = match self.mood {
            LedgerMood::Dead => NEVER,
            LedgerMood::Full => now.plus(Span::from_ms(5)),
            LedgerMood::Keeps(span) => now.plus(span),
        };
        self.durable_at = self.durable_at.max(durable_at);
        let bytes = if self.is_kept { bytes.to_vec() } else { Vec::new() };
        self.entries.push(Entry {
            bytes,
            call,
            durable_at: self.durable_at,
            is_decision,
        });
        self.durable_at
    }

    /// What is not durable is gone, and decisions without outcome are closed as lost; how many.
    pub(super) fn crash(&mut self, now: Tick) -> u64 {
        self.entries.retain(|entry| entry.durable_at <= now);
        self.mood = LedgerMood::Keeps(Span::from_ms(5));
        self.durable_at = now;
        let open: Vec<CallId> = self
            .counts()
            .into_iter()
            .filter(|(_, counts)| *counts == (1, 0))
            .map(|(call, _)| call)
            .collect();
        for call in &open {
            let entry = OutcomeEntry::lost(*call, now);
            self.write(*call, false, &jcs::to_vec(&entry).unwrap_or_default(), now);
        }
        open.len() as u64
    }

    /// What is wrong with the pairs of decisions and outcomes.
    pub(super) fn unpaired(&self) -> Vec<String> {
        let wrong = self.counts().into_iter().filter(|(_, counts)| *counts != (1, 1));
        wrong
            .map(|(call, (decisions, outcomes))| {
                format!("{call} has {decisions} decisions and {outcomes} outcomes in the ledger")
            })
            .collect()
    }

    pub(super) const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Decisions and outcomes of each call.
    fn counts(&self) -> BTreeMap<CallId, (u32, u32)> {
        let mut counts = BTreeMap::<CallId, (u32, u32)>::new();
        for entry in &self.entries {
            let (decisions, outcomes) = counts.entry(entry.call).or_default();
            *if entry.is_decision { decisions } else { outcomes } += 1;
        }
        counts
    }
}
