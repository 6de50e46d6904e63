//! Holds on their way to the officer's queue: a call that is held gets a ticket at once, and the hold is written behind.
//!
//! A ticket follows from the party, the model and the rules, so that repeated calls share it, and a caller can quote it
//! before anybody has written it. Bounds: [`WAITING_MAX`] tickets wait for the writer, [`HOLDS_MAX`] stand in the state
//! file; what is beyond is counted as lost, and no call ever waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tieline_core::{Rule, Tick, Verdict};
use tieline_note::{jcs, sha256};
use tokio::sync::{Notify, watch};

use crate::shared::Shared;
use crate::state::{HoldRow, LegalRefusal};

/// Tickets that wait to be written: of some 500 bytes each, 2 MB. Calls of one ticket wait as one.
const WAITING_MAX: usize = 4_096;

/// Holds in the state file: of some 500 bytes each, 32 MB, and more than officers can read.
const HOLDS_MAX: u64 = 65_536;

/// How long holds gather between two writes, so that a storm of them is twenty transactions a second at most.
const LINGER: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(crate) struct Holds {
    changed: Notify,
    waiting: Mutex<BTreeMap<String, HoldRow>>,
}

/// One held call, as an open hold. A legal block is a hold of its own: it is disposed of by itself, and the other rules
/// after it.
pub(crate) fn hold(party: &str, model: &str, verdict: &Verdict, now: Tick) -> HoldRow {
    let mut rules: Vec<String> = verdict.rules.iter().map(|rule| rule.id.to_string()).collect();
    if rules.iter().any(|rule| rule == Rule::LEGAL_BLOCK) {
        rules = vec![Rule::LEGAL_BLOCK.to_owned()];
    }
    rules.sort();
    rules.dedup();
    open(party, model, rules, now)
}

/// A legal block, as an open hold.
pub(crate) fn legal_block(party: &str, model: &str, refusal: LegalRefusal) -> HoldRow {
    let at = Tick(refusal.at_us);
    HoldRow {
        refusal: Some(refusal),
        ..open(party, model, vec![Rule::LEGAL_BLOCK.to_owned()], at)
    }
}

fn open(party: &str, model: &str, rules: Vec<String>, now: Tick) -> HoldRow {
    HoldRow {
        calls: 1,
        disposition: None,
        model: model.to_owned(),
        opened_us: now.0,
        party: party.to_owned(),
        refusal: None,
        ticket: ticket(party, model, &rules),
        rules,
    }
}

/// `h_` and 16 hexadecimal digits.
fn ticket(party: &str, model: &str, rules: &[String]) -> String {
    // Strings always have canonical JSON.
    let text = jcs::to_vec(&(party, model, rules)).unwrap_or_default();
    let digest = sha256(&text).to_string();
    format!("h_{}", digest.chars().take(16).collect::<String>())
}

// === impl Holds ===

impl Holds {
    /// Have it written; false if there is no room.
    pub(crate) fn put(&self, hold: HoldRow) -> bool {
        let mut waiting = self.waiting();
        if let Some(known) = waiting.get_mut(&hold.ticket) {
            known.calls = known.calls.saturating_add(hold.calls);
            known.opened_us = known.opened_us.min(hold.opened_us);
            known.refusal = known.refusal.take().or(hold.refusal);
        } else if waiting.len() < WAITING_MAX {
            waiting.insert(hold.ticket.clone(), hold);
        } else {
            return false;
        }
        drop(waiting);
        self.changed.notify_one();
        true
    }

    fn take(&self) -> Vec<HoldRow> {
        std::mem::take(&mut *self.waiting()).into_values().collect()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, HoldRow>> {
        // A panic while holding the lock would have been between two updates of one map.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Write holds as they come, until the stop.
pub(crate) async fn write(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        let goes_on = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => false,
            () = shared.holds.changed.notified() => true,
        };
        if !goes_on {
            return;
        }
        flush(&shared).await;
        tokio::time::sleep(LINGER).await;
    }
}

/// Write what waits. What cannot be written waits on, and is written with the next hold or at the stop.
pub(crate) async fn flush(shared: &Arc<Shared>) {
    let shared = shared.clone();
    let put = move || {
        let holds = shared.holds.take();
        if holds.is_empty() {
            return;
        }
        let written = shared.state().open_holds(&holds, HOLDS_MAX);
        let lost = written.unwrap_or_else(|why| {
            tracing::error!(%why, "holds were not written");
            let kept = holds.into_iter().map(|hold| shared.holds.put(hold));
            kept.filter(|kept| !kept).count()
        });
        if lost > 0 {
            tracing::error!(lost, "holds were lost for want of room; dispose of what waits");
            shared
                .metrics
                .holds_lost
                .inc_by(u64::try_from(lost).unwrap_or(u64::MAX));
        }
    };
    let _ = tokio::task::spawn_blocking(put).await;
}

#[cfg(test)]
mod tests {
    use tieline_core::Ruling;

    use super::*;

    fn of(party: &str, model: &str, rules: &[&str]) -> HoldRow {
        let rule = |id: &&str| Rule {
            citation: "c".into(),
            id: Arc::from(*id),
            reason: "r".into(),
        };
        let verdict = Verdict {
            consumes: Arc::default(),
            epoch: 1,
            obligations: Arc::default(),
            rules: rules.iter().map(rule).collect(),
            ruling: Ruling::Hold,
            valid_until: None,
        };
        hold(party, model, &verdict, Tick(5))
    }

    #[test]
    fn a_ticket_follows_from_party_model_and_rules_alone() {
        let first = of("p_1", "m", &["a/b", "a/a"]);
        assert_eq!(first.ticket, of("p_1", "m", &["a/a", "a/b", "a/a"]).ticket);
        assert_eq!(first.ticket.len(), 18);
        let refusal = LegalRefusal {
            at_us: 5,
            channel: "a".into(),
            status: None,
        };
        let block = of("p_1", "m", &["a/b", Rule::LEGAL_BLOCK]);
        assert_eq!(block.ticket, legal_block("p_1", "m", refusal).ticket);
        for other in [
            of("p_2", "m", &["a/a", "a/b"]),
            of("p_1", "n", &["a/a", "a/b"]),
            of("p_1", "m", &["a/a"]),
        ] {
            assert_ne!(first.ticket, other.ticket);
        }
    }

    #[test]
    fn calls_of_one_ticket_wait_as_one_and_a_full_queue_takes_no_other() {
        let holds = Holds::default();
        for n in 0..WAITING_MAX {
            assert!(holds.put(of("p_1", &format!("m{n}"), &["a/b"])));
        }
        assert!(!holds.put(of("p_1", "other", &["a/b"])));
        assert!(holds.put(of("p_1", "m0", &["a/b"])));
        let taken = holds.take();
        assert_eq!(taken.len(), WAITING_MAX);
        assert_eq!(taken.iter().map(|hold| hold.calls).max(), Some(2));
        assert!(holds.put(of("p_1", "other", &["a/b"])), "there is room again");
    }
}
