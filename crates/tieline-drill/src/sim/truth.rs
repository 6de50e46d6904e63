//! What is so in the world of a run at this moment: who may use what, what is cut, which grid is in force. The shell
//! acts on it, and the auditor judges by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tieline_core::grid::Candidate;
use tieline_core::{Rule, Ruling, Snapshot, Verdict};

use super::dice::Dice;
use super::lanes::Lane;
use super::world::{Order, PARTIES_MAX, Part, World, number};

#[derive(Debug)]
pub(super) struct Truth<'w> {
    pub(super) cut: BTreeSet<Part>,
    /// How often what is permitted has changed.
    pub(super) generation: u64,
    /// That of the grid in force among the world's.
    pub(super) grid: usize,
    rulings: BTreeMap<(u8, Lane), Ruling>,
    pub(super) snapshot: Arc<Snapshot>,
    world: &'w World,
}

/// The channel and the model of a candidate, by number.
pub(super) fn lane(snapshot: &Snapshot, candidate: Candidate) -> Lane {
    let channel = snapshot.channel(candidate.channel).map(|c| number(&c.name));
    let model = snapshot.model(candidate.model).map(|m| number(&m.name));
    (channel.unwrap_or(u8::MAX), model.unwrap_or(u8::MAX))
}

impl<'w> Truth<'w> {
    /// The start of a world: most things are permitted, nothing is cut. `None` if the world has no grid.
    pub(super) fn new(world: &'w World) -> Option<Self> {
        let mut dice = Dice::new(world.seed, 6);
        let strict = dice.pick(0, &[5, 30]);
        let mut rulings = BTreeMap::new();
        for party in 0..PARTIES_MAX {
            for channel in 0..world.features.channels {
                for model in 0..world.features.models {
                    let ruling = if dice.chance(strict) {
                        dice.pick(Ruling::Hold, &[Ruling::Deny])
                    } else {
                        Ruling::Allow
                    };
                    rulings.insert((party, (channel, model)), ruling);
                }
            }
        }
        Some(Self {
            cut: BTreeSet::new(),
            generation: 1,
            grid: 0,
            rulings,
            snapshot: world.grids.first()?.clone(),
            world,
        })
    }

    pub(super) fn ruling(&self, party: u8, lane: Lane) -> Ruling {
        self.rulings.get(&(party, lane)).copied().unwrap_or(Ruling::Deny)
    }

    pub(super) fn verdict(&self, party: u8, lane: Lane) -> Arc<Verdict> {
        let ruling = self.ruling(party, lane);
        Arc::new(Verdict {
            consumes: Arc::default(),
            epoch: self.generation,
            obligations: Arc::default(),
            rules: Arc::new([Rule {
                citation: "rule book, page 7".into(),
                id: format!("sim/o{party}-c{}-m{}", lane.0, lane.1).into(),
                reason: "So it is ruled.".into(),
            }]),
            ruling,
            valid_until: None,
        })
    }

    pub(super) fn order(&mut self, order: &Order) {
        self.generation += 1;
        for ((party, (channel, model)), ruling) in &mut self.rulings {
            let meant = |of: Option<u8>, is: u8| of.is_none_or(|of| of == is);
            if meant(order.party, *party) && meant(order.channel, *channel) && meant(order.model, *model) {
                *ruling = order.ruling;
            }
        }
    }

    /// Whether a lane is out: cut, itself or by what it needs, or not served any more.
    pub(super) fn is_out(&self, lane: Lane) -> bool {
        let needs = self.world.needs.get(usize::from(lane.0));
        let mut needs = needs.into_iter().flatten();
        self.cut.contains(&Part::Channel(lane.0))
            || needs.any(|need| self.cut.contains(&Part::Component(need.clone())))
            || !self.serves(lane)
    }

    /// Whether the grid in force has the channel with the model on it.
    pub(super) fn serves(&self, lane: Lane) -> bool {
        let mut records = self.snapshot.record.channels.iter();
        let channel = records.find(|record| number(&record.name) == lane.0);
        channel.is_some_and(|channel| {
            channel
                .models
                .iter()
                .any(|served| number(&served.model) == lane.1)
        })
    }

    /// Whether the grid in force names the channel.
    pub(super) fn has_channel(&self, channel: u8) -> bool {
        self.snapshot
            .record
            .channels
            .iter()
            .any(|record| number(&record.name) == channel)
    }

    /// Whether the grid in force names both, whether the one serves the other or not.
    pub(super) fn has(&self, lane: Lane) -> bool {
        let mut models = self.snapshot.record.models.iter();
        self.has_channel(lane.0) && models.any(|record| number(&record.name) == lane.1)
    }
}
