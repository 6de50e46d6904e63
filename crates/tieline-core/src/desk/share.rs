//! Scarcity: which classes of calls are shed when a channel's quota runs out, and whose turn it is within a class.
//!
//! Classes are shed in order, from the fill of the fullest bucket on: sheddable at 80 %, sheddable plus at 90 %, critical
//! at 98 %, critical plus at the hard limit alone. Within a class the party that was served least goes first ("Fairness
//! in Serving Large Language Models", arXiv 2401.00588: virtual token counters, lifted when a party comes back): while
//! one that was served less waits, one that was served more is put off. Nobody is put off while nobody waits, so no
//! capacity is left unused. Bounds: [`SHARES_MAX`] parties for each channel; a party that has not called for [`IDLE_MAX`]
//! is forgotten.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quota::ChannelClaim;
use crate::mark::Usage;
use crate::time::{Span, Tick};

/// How much it matters that a call is served when not all can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    Sheddable,
    SheddablePlus,
    Critical,
    /// Never shed: only a hard limit refuses it.
    #[default]
    CriticalPlus,
}

/// Who asks a channel, and how much it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    pub class: Criticality,
    /// Index of the party's buckets.
    pub party: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Shares(BTreeMap<u32, Share>);

#[derive(Clone, Copy, Debug)]
struct Share {
    class: Criticality,
    seen_at: Tick,
    /// Tokens served, output twice: it takes that much longer to make.
    served: u64,
    /// Until when a call of the party that was put off is taken to wait.
    waits_until: Tick,
}

/// 64 bytes each, so 64 KiB for a channel; beyond it, parties share no turn and meet the hard limit alone.
const SHARES_MAX: usize = 1_024;
const IDLE_MAX: Span = Span::from_s(60);
/// A call waits this long for a limit at most ([`crate::call`]).
const WAIT_MAX: Span = Span::from_s(2);
/// When one that was put off may ask again.
const TURN: Span = Span::from_ms(100);
/// A token of output against one of input.
const OUTPUT_WEIGHT: u64 = 2;

impl Criticality {
    /// From which fill of a quota on calls of this class are shed; never for the highest.
    pub const fn shed_permille(self) -> Option<u64> {
        match self {
            Self::Sheddable => Some(800),
            Self::SheddablePlus => Some(900),
            Self::Critical => Some(980),
            Self::CriticalPlus => None,
        }
    }
}

impl Shares {
    /// Whether it is another's turn, and when to ask again.
    pub(super) fn is_others_turn(&mut self, asker: Asker, now: Tick) -> Option<Tick> {
        let own = self.lifted(asker, now)?;
        let waiting = self.0.iter().filter(|(party, share)| {
            **party != asker.party && share.class == asker.class && share.waits_until > now
        });
        let is_others = waiting.map(|(_, share)| share.served).any(|served| served < own);
        is_others.then(|| now.plus(TURN))
    }

    /// A call was refused for want of quota: it is taken to wait.
    pub(super) fn waits(&mut self, asker: Asker, now: Tick) {
        if let Some(share) = self.0.get_mut(&asker.party) {
            share.waits_until = now.plus(WAIT_MAX);
        }
    }

    pub(super) fn granted(&mut self, asker: Asker, claim: &ChannelClaim) {
        if let Some(share) = self.0.get_mut(&asker.party) {
            share.waits_until = Tick(0);
            share.served = share.served.saturating_add(weight(claim.input, claim.output));
        }
    }

    pub(super) fn settle(&mut self, asker: Asker, claim: &ChannelClaim, used: Option<&Usage>) {
        let (Some(share), Some(used)) = (self.0.get_mut(&asker.party), used) else {
            return;
        };
        let reserved = weight(claim.input, claim.output);
        let used = weight(used.prompt(), used.answer());
        share.served = share.served.saturating_add(used).saturating_sub(reserved);
    }

    /// What the party was served, lifted to the least of those that are active if it comes anew: nobody saves up turns.
    fn lifted(&mut self, asker: Asker, now: Tick) -> Option<u64> {
        self.0.retain(|_, share| now.since(share.seen_at) <= IDLE_MAX);
        if !self.0.contains_key(&asker.party) {
            if self.0.len() >= SHARES_MAX {
                return None;
            }
            let least = self.0.values().map(|share| share.served).min().unwrap_or(0);
            let new = Share {
                class: asker.class,
                seen_at: now,
                served: least,
                waits_until: Tick(0),
            };
            self.0.insert(asker.party, new);
        }
        let share = self.0.get_mut(&asker.party)?;
        (share.class, share.seen_at) = (asker.class, now);
        Some(share.served)
    }
}

const fn weight(input: u64, output: u64) -> u64 {
    input.saturating_add(output.saturating_mul(OUTPUT_WEIGHT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(1_781_284_860_000_000);

    fn asker(party: u32) -> Asker {
        Asker {
            class: Criticality::Critical,
            party,
        }
    }

    const CLAIM: ChannelClaim = ChannelClaim {
        input: 10,
        output: 10,
        output_max: 10,
    };

    #[test]
    fn whoever_was_served_least_goes_first_and_nobody_saves_up_turns() {
        let mut shares = Shares::default();
        for _ in 0..5 {
            assert_eq!(shares.is_others_turn(asker(1), START), None, "nobody waits");
            shares.granted(asker(1), &CLAIM);
        }
        // The second comes anew, and starts where the first is.
        assert_eq!(shares.is_others_turn(asker(2), START), None);
        shares.granted(asker(1), &CLAIM);
        shares.waits(asker(2), START);
        let again = START.plus(TURN);
        assert_eq!(
            shares.is_others_turn(asker(1), START),
            Some(again),
            "the second waits"
        );
        assert_eq!(shares.is_others_turn(asker(2), again), None);
        shares.granted(asker(2), &CLAIM);
        assert_eq!(shares.is_others_turn(asker(1), again), None, "served alike");
        // Who has given up waiting holds nobody back.
        shares.granted(asker(1), &CLAIM);
        shares.waits(asker(2), again);
        let later = again.plus(WAIT_MAX);
        assert_eq!(shares.is_others_turn(asker(1), later), None);
    }

    /// Two parties that always want more than there is get the same, however large the calls of one are.
    #[test]
    fn two_that_always_want_more_are_served_alike() {
        let mut shares = Shares::default();
        let (small, large) = (
            CLAIM,
            ChannelClaim {
                input: 70,
                output: 30,
                output_max: 30,
            },
        );
        let mut served = [0_u64; 2];
        let mut now = START;
        for round in 0..1_000_u64 {
            now = now.plus(Span::from_ms(10));
            for party in [0_u32, 1] {
                // One place a round; whoever is refused waits.
                let is_first = party == u32::from(round % 2 == 1);
                let (asker, claim) = (asker(party), if party == 0 { small } else { large });
                if is_first && shares.is_others_turn(asker, now).is_none() {
                    shares.granted(asker, &claim);
                    served[party as usize] += weight(claim.input, claim.output);
                } else {
                    let _ = shares.is_others_turn(asker, now);
                    shares.waits(asker, now);
                }
            }
        }
        let gap = served[0].abs_diff(served[1]);
        assert!(gap <= 2 * weight(large.input, large.output), "{served:?}");
    }
}
