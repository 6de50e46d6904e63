//! What becomes of each call, one by one: in the record, and in several plays of one event that differ in what nobody
//! knows beforehand (the exact moment, what chance draws). What all plays agree on is determined by what is known; of the
//! rest only a range can be stated.
//!
//! Bounds: one [`Fate`] of 40 bytes a call for each play that is compared, one play at a time beside what is agreed on.

use std::sync::Arc;

use tieline_core::Tick;
use tieline_core::record::Outcome;

use crate::engine::play;
use crate::laid::LaneIx;
use crate::rehearsal::Rehearsal;
use crate::seen::How;
use crate::timeline::Timeline;
use crate::traffic::{NO_LANE, Traffic};

/// What becomes of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Channel and model whose answer the caller has, or part of it.
    pub by: Option<(Arc<str>, Arc<str>)>,
    pub how: FateKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FateKind {
    /// The caller has part of an answer.
    Broken,
    Served,
    /// Refused, held for an officer, or nothing could serve it.
    Unserved,
}

/// What several plays say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Call by call, in the order of the traffic: its fate, where every play has the same.
    pub calls: Vec<Option<Fate>>,
    /// Calls that are served with nothing gone and are not in some play (broken off counts as lost): at least those of
    /// which every play says so, at most all of which any play does.
    pub lost_max: u64,
    pub lost_min: u64,
}

impl Forecast {
    /// How many calls' fates are determined.
    pub fn determined(&self) -> usize {
        self.calls.iter().flatten().count()
    }
}

impl Traffic {
    /// When each call arrived, in order.
    pub fn arrivals(&self) -> impl Iterator<Item = Tick> {
        self.calls.iter().map(|call| call.at)
    }

    /// What became of each call in the record.
    pub fn fates(&self) -> Vec<Fate> {
        let of = |call: &crate::traffic::TrafficCall| Fate {
            by: (call.lane != NO_LANE)
                .then(|| self.lanes.get(usize::from(call.lane)).cloned())
                .flatten(),
            how: match call.result {
                Outcome::Served => FateKind::Served,
                Outcome::Broken => FateKind::Broken,
                _ => FateKind::Unserved,
            },
        };
        self.calls.iter().map(of).collect()
    }
}

impl Rehearsal<'_> {
    /// What becomes of each call while the timeline plays, with chance drawn from `seed`.
    pub fn fates(&self, timeline: &Timeline<'_>, seed: u64) -> Vec<Fate> {
        let mut laid = self.laid().clone();
        laid.lay_all(timeline);
        let nothing = Fate {
            by: None,
            how: FateKind::Unserved,
        };
        let mut fates = vec![nothing; self.traffic().calls.len()];
        play(&laid, timeline, seed, &mut |end| {
            if let Some(fate) = fates.get_mut(end.call) {
                *fate = Fate {
                    by: end.answered.and_then(|lane| named(&laid, lane)),
                    how: match end.how {
                        How::Broken => FateKind::Broken,
                        How::Served => FateKind::Served,
                        How::Held | How::Unserved => FateKind::Unserved,
                    },
                };
            }
        });
        fates
    }

    /// What several plays say together, each a timeline and the seed of its chance. Without plays nothing is determined.
    pub fn forecast(&self, plays: &[(&Timeline<'_>, u64)]) -> Forecast {
        let served = |fate: &Fate| fate.how == FateKind::Served;
        let before = self.fates(&Timeline::default(), self.known().seed);
        let mut agreed: Vec<Option<Fate>> = vec![None; before.len()];
        // Whether a call is lost in all plays, and in any.
        let mut lost: Vec<(bool, bool)> = vec![(true, false); before.len()];
        for (nth, (timeline, seed)) in plays.iter().enumerate() {
            let fates = self.fates(timeline, *seed);
            let rows = agreed
                .iter_mut()
                .zip(&mut lost)
                .zip(fates.into_iter().zip(&before));
            for ((agreed, (always, ever)), (fate, before)) in rows {
                let is_lost = served(before) && !served(&fate);
                (*always, *ever) = (*always && is_lost, *ever || is_lost);
                if nth == 0 {
                    *agreed = Some(fate);
                } else if agreed.as_ref() != Some(&fate) {
                    *agreed = None;
                }
            }
        }
        let count = |of: fn(&(bool, bool)) -> bool| lost.iter().filter(|row| of(row)).count() as u64;
        Forecast {
            calls: agreed,
            lost_max: count(|(_, ever)| *ever),
            lost_min: count(|(always, ever)| *always && *ever),
        }
    }
}

fn named(laid: &crate::laid::Laid<'_>, lane: LaneIx) -> Option<(Arc<str>, Arc<str>)> {
    let lane = laid.lanes().get(lane.0 as usize)?;
    Some((lane.channel.clone(), lane.model.clone()))
}
