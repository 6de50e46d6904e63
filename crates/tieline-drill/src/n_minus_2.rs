//! N-2: every pair of channels and components gone at once. Pairs that take out no more than one of the two alone are that
//! one's contingency, and only counted. Of the others
//!
//! * those in which nobody dials what the second takes out, once the first is gone, are the first's play, step by step;
//! * those that may shed load by the bound of [`Screen`], and the [`WORST_OF_THE_REST`] tightest others, are decided call
//!   by call;
//! * the rest is modelled: there is room, so calls go to the first of their candidates that is left.
//!
//! Plays are independent, so whoever has cores spreads them: first [`Pairs::single`] for each of [`Pairs::singles`], then
//! [`Pairs::judge`] for each of [`Pairs::plays`], then [`Pairs::play`] for each of [`Pairs::chosen`].

mod text;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::ChannelIx;

use crate::bars::{Bars, Miss};
use crate::consequence::Consequence;
use crate::contingency::{Assumed, Contingencies, Contingency, Label, Loss, worst_first};
use crate::elements::{Element, ElementKind};
use crate::n_minus_1::notes;
use crate::page::Streams;
use crate::rehearsal::{Base, Rehearsal};
use crate::screen::{Judged, Screen};
use crate::timeline::Permille;
use crate::traffic::Basis;

/// The schema of [`NMinus2Report`].
pub const N_MINUS_2_V1: &str = "tieline/drill-n-2/v1";

/// Pairs that are decided call by call although the screen finds room for all: the tightest.
pub const WORST_OF_THE_REST: usize = 50;

/// What the loss of each pair of elements would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NMinus2Report {
    /// Which bars of the configuration are missed, by which contingencies.
    pub bars_missed: Vec<Miss>,
    pub base: Base,
    pub basis: Basis,
    /// The pairs that take out more than either alone, worst first: by calls lost, held, degraded, moved, then by name.
    pub contingencies: Vec<Contingency>,
    /// How what is gone shows itself.
    pub loss: Loss,
    /// What is modelled or assumed, in sentences.
    pub notes: Vec<String>,
    /// All pairs.
    pub pairs: u64,
    /// Of these, the pairs that take out no more than one of the two alone: see `drill n-1`.
    pub pairs_as_one: u64,
    /// Sets of channels for which every call was decided again.
    pub plays_exact: u64,
    /// Sets of channels whose consequence is modelled.
    pub plays_modelled: u64,
    /// Always [`N_MINUS_2_V1`].
    pub schema: &'static str,
    /// What the limits of the channels that are left are worth, in thousandths.
    pub survivors_permille: Permille,
}

/// The pairs of a rehearsal.
pub struct Pairs<'r, 't> {
    /// Pairs that take out no more than one of the two.
    as_one: u64,
    both: Contingencies<'r, 't>,
    screen: Screen<'r, 't>,
    singles: Contingencies<'r, 't>,
}

/// The play of one element's loss.
#[derive(Clone, Debug)]
pub struct Single {
    consequence: Consequence,
    /// Whether it dials a channel, channel by channel.
    dialled: Vec<bool>,
}

/// How each play of the pairs is found out.
#[derive(Debug)]
pub struct Plan {
    /// The plays that are decided call by call.
    chosen: Vec<usize>,
    /// The single play that a play is, where it is one.
    same: Vec<Option<usize>>,
}

impl<'r, 't> Pairs<'r, 't> {
    pub fn new(rehearsal: &'r Rehearsal<'t>, assumed: Assumed) -> Self {
        let singles = Contingencies::single(rehearsal, assumed);
        Self::among(singles, &Element::all(rehearsal.snapshot()))
    }

    /// The pairs of elements of one kind.
    pub fn of(rehearsal: &'r Rehearsal<'t>, assumed: Assumed, kind: ElementKind) -> Self {
        let singles = Contingencies::single_of(rehearsal, assumed, kind);
        let mut elements = Element::all(rehearsal.snapshot());
        elements.retain(|element| element.kind == kind);
        Self::among(singles, &elements)
    }

    fn among(singles: Contingencies<'r, 't>, elements: &[Element]) -> Self {
        let (rehearsal, assumed) = (singles.rehearsal(), singles.assumed());
        let snapshot = rehearsal.snapshot();
        let out: Vec<Vec<ChannelIx>> = elements.iter().map(|one| one.channels(snapshot)).collect();
        let within = |a: &[ChannelIx], b: &[ChannelIx]| a.iter().all(|channel| b.contains(channel));
        let (mut pairs, mut as_one) = (Vec::new(), 0);
        let each = || elements.iter().zip(&out).enumerate();
        for (ix, (a, out_a)) in each() {
            for (_, (b, out_b)) in each().skip(ix + 1) {
                if within(out_a, out_b) || within(out_b, out_a) {
                    as_one += 1;
                } else {
                    pairs.push(vec![a.clone(), b.clone()]);
                }
            }
        }
        Self {
            as_one,
            both: Contingencies::new(rehearsal, assumed, pairs),
            screen: Screen::new(rehearsal, assumed),
            singles,
        }
    }

    /// How many plays of single losses it takes first.
    pub fn singles(&self) -> usize {
        self.singles.plays()
    }

    pub fn single(&self, play: usize) -> Single {
        let (consequence, dialled) = self.singles.play_dialling(play);
        Single { consequence, dialled }
    }

    /// Who answers whom while these two are gone, decided call by call.
    pub fn streams(&self, gone: &[Element]) -> Option<Streams> {
        self.both.streams(gone)
    }

    /// How many different plays the pairs are.
    pub fn plays(&self) -> usize {
        self.both.plays()
    }

    /// What the screen says of a play.
    pub fn judge(&self, play: usize) -> Judged {
        self.screen.judge(self.both.out(play))
    }

    /// How each play is found out, from the plays of all singles and what the screen says of all plays: of those that it
    /// screens out, the `worst` tightest are decided call by call nevertheless.
    pub fn plan(&self, singles: &[Single], judged: &[Judged], worst: usize) -> Plan {
        let mut same: Vec<Option<usize>> = vec![None; self.both.plays()];
        let of_element: BTreeMap<&Element, usize> = (self.singles.cases().iter())
            .filter_map(|case| Some((case.gone.first()?, case.play)))
            .collect();
        for case in self.both.cases() {
            let plays = case.gone.iter().filter_map(|one| of_element.get(one).copied());
            let found = plays
                .filter(|single| self.is_same(*single, case.play, singles))
                .min();
            if let Some(place) = same.get_mut(case.play) {
                *place = place.or(found);
            }
        }
        let open = judged.iter().enumerate();
        let mut open: Vec<(usize, &Judged)> = open
            .filter(|(play, _)| same.get(*play).is_some_and(Option::is_none))
            .collect();
        open.sort_by_key(|(play, judged)| (std::cmp::Reverse((judged.may_shed, judged.tightness)), *play));
        let shed = open.iter().filter(|(_, judged)| judged.may_shed).count();
        let chosen = open.into_iter().take(shed.saturating_add(worst));
        Plan {
            chosen: chosen.map(|(play, _)| play).collect(),
            same,
        }
    }

    /// What becomes of the calls in the play that is chosen at `ix`, decided call by call.
    pub fn play(&self, plan: &Plan, ix: usize) -> Consequence {
        let play = plan.chosen.get(ix).copied();
        self.both.play(play.unwrap_or(usize::MAX))
    }

    /// The report, from the plays of all singles and those chosen, each in their order.
    pub fn n_minus_2(
        &self,
        plan: &Plan,
        singles: &[Single],
        chosen: Vec<Consequence>,
        bars: &Bars,
    ) -> NMinus2Report {
        let (rehearsal, assumed) = (self.both.rehearsal(), self.both.assumed());
        let mut exact: BTreeMap<usize, Consequence> = plan.chosen.iter().copied().zip(chosen).collect();
        for (play, single) in plan.same.iter().enumerate() {
            if let Some(single) = single.and_then(|single| singles.get(single)) {
                exact.insert(play, single.consequence.clone());
            }
        }
        let open = (0..self.both.plays()).filter(|play| !exact.contains_key(play));
        let modelled: BTreeMap<usize, Consequence> = open
            .map(|play| (play, self.screen.consequence(self.both.out(play))))
            .collect();
        let row = |case: &crate::contingency::Case| {
            let (consequence, label) = match exact.get(&case.play) {
                Some(consequence) => (consequence, Label::Exact),
                None => (modelled.get(&case.play)?, Label::Modelled),
            };
            Some(Contingency {
                channels_out: self.both.channels_out(case.play),
                consequence: consequence.clone(),
                gone: case.gone.clone(),
                label,
            })
        };
        let mut contingencies: Vec<Contingency> = self.both.cases().iter().filter_map(row).collect();
        contingencies.sort_by(worst_first);
        let base = rehearsal.base().clone();
        let mut notes = notes(&base, rehearsal.traffic(), assumed);
        if !modelled.is_empty() {
            notes.push(
                "Rows labelled modelled were not decided call by call: by the flows of every five minutes, the channels that \
                 are left have room for all, at half their limits. Their calls are put on the first candidate that is \
                 left; calls that fail before the breakers have found out are not in it."
                    .to_owned(),
            );
        }
        NMinus2Report {
            bars_missed: bars.missed(&base, &contingencies),
            basis: rehearsal.basis(),
            loss: assumed.loss,
            notes,
            pairs: self.as_one + contingencies.len() as u64,
            pairs_as_one: self.as_one,
            plays_exact: exact.len() as u64,
            plays_modelled: modelled.len() as u64,
            schema: N_MINUS_2_V1,
            survivors_permille: assumed.survivors,
            base,
            contingencies,
        }
    }

    /// Whether a play is a single play, step by step: nobody dials there what it takes out beyond that. What an operator
    /// cuts is seen without being dialled.
    fn is_same(&self, single: usize, play: usize, singles: &[Single]) -> bool {
        let (out, of_single) = (self.both.out(play), self.singles.out(single));
        let Some(single) = singles.get(single) else {
            return false;
        };
        let is_dialled = |channel: &ChannelIx| {
            let dialled = single.dialled.get(usize::from(channel.0));
            dialled.copied().unwrap_or(true)
        };
        let mut more = out.iter().filter(|channel| !of_single.contains(channel));
        self.both.assumed().loss != Loss::Cut && !more.any(is_dialled)
    }
}

impl Plan {
    /// How many plays are decided call by call.
    pub fn chosen(&self) -> usize {
        self.chosen.len()
    }
}

impl std::fmt::Debug for Pairs<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pairs")
            .field("pairs", &self.both)
            .finish_non_exhaustive()
    }
}
