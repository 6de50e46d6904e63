//! What policy says of ways that calls never met: channels that are only offered.

use std::sync::Arc;

use tieline_core::Ruling;

use super::{Kind, NO_LANE, Traffic};

/// What policy says of a party's use, for the end use that its calls state, of a channel and a model on it.
pub type Rules<'a> = dyn Fn(&str, Option<&str>, &str, &str) -> Ruling + 'a;

/// What calls knew of rules.
#[derive(Clone, Debug)]
pub struct Rulings {
    kinds: Vec<Kind>,
    lanes: usize,
}

impl Traffic {
    /// Say what policy rules on models of channels that the calls never met: `rules` is asked for a party, the end use that
    /// its calls state, the channel and the model. What was said of these before is forgotten. Calls about which policy was
    /// never asked stay as they are.
    pub fn judge(&mut self, lanes: &[(Arc<str>, Arc<str>)], rules: &Rules<'_>) {
        let numbers: Vec<u16> = lanes.iter().map(|lane| self.lane(lane)).collect();
        for kind in self.kinds.iter_mut().filter(|kind| !kind.rulings.is_empty()) {
            let party = self.parties.get(kind.party as usize);
            let party: &str = party.map_or("", |party| party);
            kind.rulings.retain(|(lane, _)| !numbers.contains(lane));
            let judged = numbers
                .iter()
                .zip(lanes)
                .filter(|(number, _)| **number != NO_LANE);
            let judged = judged.map(|(number, (channel, model))| {
                (*number, rules(party, kind.end_use.as_deref(), channel, model))
            });
            kind.rulings.extend(judged);
        }
    }

    /// What the calls know of rules, to be put back after [`Traffic::judge`].
    pub fn rulings(&self) -> Rulings {
        Rulings {
            kinds: self.kinds.clone(),
            lanes: self.lanes.len(),
        }
    }

    /// Forget what was said of rules since.
    pub fn put_back(&mut self, rulings: Rulings) {
        self.kinds = rulings.kinds;
        self.lanes.truncate(rulings.lanes);
    }

    fn lane(&mut self, lane: &(Arc<str>, Arc<str>)) -> u16 {
        let known = self.lanes.iter().position(|other| other == lane);
        let place = known.unwrap_or(self.lanes.len());
        // Beyond 65,535 a pair has no lane, and what has none is not used.
        let Some(number) = u16::try_from(place).ok().filter(|ix| *ix != NO_LANE) else {
            return NO_LANE;
        };
        if known.is_none() {
            self.lanes.push(lane.clone());
        }
        number
    }
}
