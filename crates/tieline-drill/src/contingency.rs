//! Contingencies: elements that are gone from the first call to the last, one or several at once, and what becomes of the
//! calls. Those that take the same channels out are one play; a play whose channels nobody dials is the base.
//!
//! How an element goes is a choice: it fails whoever dials it, and the live breakers have to find that out, or an operator
//! cuts it. Plays are independent, so whoever has cores spreads them: [`Contingencies::play`] for each of
//! [`Contingencies::plays`], in any order.

pub(crate) mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::{ChannelIx, Snapshot, Tick};

use crate::consequence::{Consequence, PARTY_ROWS_MAX};
use crate::derate::derated;
use crate::elements::{Element, ElementKind};
use crate::laid::Laid;
use crate::page::Streams;
use crate::rehearsal::Rehearsal;
use crate::timeline::{Failure, Happening, Permille, Timeline};

/// One contingency, and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Contingency {
    /// The channels that it takes out.
    pub channels_out: Vec<String>,
    pub consequence: Consequence,
    /// What is gone at once.
    pub gone: Vec<Element>,
    pub label: Label,
}

/// How a row was come by. It is no surer than the calls that it rests on, of which `basis` says what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Every call was decided again by the live core.
    Exact,
    /// Flows were computed, and no call decided again.
    Modelled,
}

/// How an element that is gone shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// An operator has cut it: nobody dials it.
    Cut,
    /// It answers with errors.
    Errors,
    /// It refuses connections.
    Refused,
    /// It stays silent until a limit of time passes.
    Silent,
}

/// What is assumed of every contingency of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumed {
    pub loss: Loss,
    /// What the limits of the channels that are left are worth while something is gone; 1,000 is all. In an outage
    /// everybody moves to the survivors at once.
    pub survivors: Permille,
}

/// Contingencies to be played.
#[derive(Debug)]
pub struct Contingencies<'r, 't> {
    assumed: Assumed,
    cases: Vec<Case>,
    /// The grid with what the survivors are worth, if that is not all, and the traffic on it.
    derated: Option<(Arc<Snapshot>, Laid<'t>)>,
    plays: Vec<Vec<ChannelIx>>,
    rehearsal: &'r Rehearsal<'t>,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) gone: Vec<Element>,
    /// Index of the play.
    pub(crate) play: usize,
}

impl Default for Assumed {
    fn default() -> Self {
        Self {
            loss: Loss::Refused,
            survivors: 1_000,
        }
    }
}

impl<'r, 't> Contingencies<'r, 't> {
    /// The loss of each channel and each component alone.
    pub fn single(rehearsal: &'r Rehearsal<'t>, assumed: Assumed) -> Self {
        let elements = Element::all(rehearsal.snapshot());
        let each = elements.into_iter().map(|element| vec![element]);
        Self::new(rehearsal, assumed, each)
    }

    /// The same of one kind of element.
    pub fn single_of(rehearsal: &'r Rehearsal<'t>, assumed: Assumed, kind: ElementKind) -> Self {
        let elements = Element::all(rehearsal.snapshot()).into_iter();
        let each = elements
            .filter(|element| element.kind == kind)
            .map(|element| vec![element]);
        Self::new(rehearsal, assumed, each)
    }

    pub(crate) fn new(
        rehearsal: &'r Rehearsal<'t>,
        assumed: Assumed,
        each: impl IntoIterator<Item = Vec<Element>>,
    ) -> Self {
        let snapshot = rehearsal.snapshot();
        let mut known: BTreeMap<Vec<ChannelIx>, usize> = BTreeMap::new();
        let mut plays: Vec<Vec<ChannelIx>> = Vec::new();
        let cases = each.into_iter().map(|gone| {
            let mut out: Vec<ChannelIx> = gone.iter().flat_map(|one| one.channels(snapshot)).collect();
            out.sort_unstable();
            out.dedup();
            let play = *known.entry(out).or_insert_with_key(|out| {
                plays.push(out.clone());
                plays.len() - 1
            });
            Case { gone, play }
        });
        let cases = cases.collect();
        Self {
            assumed,
            cases,
            derated: assumed.left(snapshot).map(|grid| {
                let laid = rehearsal.laid_on(&grid);
                (grid, laid)
            }),
            plays,
            rehearsal,
        }
    }

    /// How many plays it takes.
    pub fn plays(&self) -> usize {
        self.plays.len()
    }

    /// What becomes of the calls in one of the plays.
    pub fn play(&self, play: usize) -> Consequence {
        self.play_dialling(play).0
    }

    /// The same, and which channels were dialled.
    pub(crate) fn play_dialling(&self, play: usize) -> (Consequence, Vec<bool>) {
        let out = self.out(play);
        if self.is_nothing(out) {
            return (self.rehearsal.nothing(), self.rehearsal.dialled().to_vec());
        }
        let timeline = self.timeline(out);
        match &self.derated {
            None => self.rehearsal.play_for(&timeline, PARTY_ROWS_MAX),
            Some((_, laid)) => self
                .rehearsal
                .play_on(laid, &timeline, PARTY_ROWS_MAX, &mut |_, _, _| {}),
        }
    }

    /// Who answers whom while this is gone, decided call by call; none where it is no case here.
    pub fn streams(&self, gone: &[Element]) -> Option<Streams> {
        let case = self.cases.iter().find(|case| case.gone == gone)?;
        let timeline = self.timeline(self.out(case.play));
        Some(self.rehearsal.play_streams(&timeline, 0).1)
    }

    /// The channels that a play takes out.
    pub(crate) fn out(&self, play: usize) -> &[ChannelIx] {
        self.plays.get(play).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn cases(&self) -> &[Case] {
        &self.cases
    }

    pub(crate) const fn rehearsal(&self) -> &'r Rehearsal<'t> {
        self.rehearsal
    }

    pub(crate) const fn assumed(&self) -> Assumed {
        self.assumed
    }

    /// The names of the channels that a play takes out.
    pub(crate) fn channels_out(&self, play: usize) -> Vec<String> {
        let named = self
            .out(play)
            .iter()
            .filter_map(|ix| self.rehearsal.snapshot().channel(*ix));
        named.map(|channel| channel.name.to_string()).collect()
    }

    /// The rows of the contingencies, from the consequences of the plays: those with the worst consequence first, then
    /// channels before components, by name.
    pub(crate) fn rows(&self, consequences: &[Consequence]) -> Vec<Contingency> {
        let rows = self.cases.iter().filter_map(|case| {
            Some(Contingency {
                channels_out: self.channels_out(case.play),
                consequence: consequences.get(case.play)?.clone(),
                gone: case.gone.clone(),
                label: Label::Exact,
            })
        });
        let mut rows: Vec<Contingency> = rows.collect();
        rows.sort_by(worst_first);
        rows
    }

    /// What fails only whoever dials it changes nothing where nobody does: the play would be the base, step by step.
    fn is_nothing(&self, out: &[ChannelIx]) -> bool {
        let is_dialled = |ix: &ChannelIx| self.rehearsal.dials(usize::from(ix.0));
        let is_as_before = self.derated.is_none() && self.assumed.loss != Loss::Cut;
        out.is_empty() && self.derated.is_none() || is_as_before && !out.iter().any(is_dialled)
    }

    fn timeline(&self, out: &[ChannelIx]) -> Timeline<'static> {
        let mut timeline = Timeline::default();
        let grid = self.derated.iter().map(|(grid, _)| Happening::Grid(grid.clone()));
        let gone = out
            .iter()
            .filter_map(|ix| self.rehearsal.snapshot().channel(*ix))
            .map(|channel| {
                self.assumed.loss.takes(Element {
                    kind: ElementKind::Channel,
                    name: channel.name.to_string(),
                })
            });
        for happening in grid.chain(gone) {
            // A grid has 4,096 channels at most, and a timeline room for 65,536 happenings.
            let _ = timeline.at(Tick(0), happening);
        }
        timeline
    }
}

/// The order of contingencies by consequence.
pub(crate) fn worst_first(a: &Contingency, b: &Contingency) -> std::cmp::Ordering {
    let weight = |c: &Contingency| c.consequence.tally.weight();
    weight(b).cmp(&weight(a)).then_with(|| a.gone.cmp(&b.gone))
}

impl Assumed {
    /// The grid with what is left, where its limits are not worth all that they say.
    pub(crate) fn left(self, snapshot: &Snapshot) -> Option<Arc<Snapshot>> {
        (self.survivors != 1_000)
            .then(|| derated(snapshot, self.survivors))
            .flatten()
    }
}

impl Loss {
    const ALL: [Self; 4] = [Self::Cut, Self::Errors, Self::Refused, Self::Silent];

    /// What happens when an element goes like that.
    pub(crate) const fn takes(self, element: Element) -> Happening {
        match self {
            Self::Cut => Happening::Cut(element),
            Self::Errors => Happening::Out(element, Failure::Errors),
            Self::Refused => Happening::Out(element, Failure::Refused),
            Self::Silent => Happening::Out(element, Failure::Silent),
        }
    }

    /// What happens when it comes back.
    pub(crate) const fn gives_back(self, element: Element) -> Happening {
        match self {
            Self::Cut => Happening::Restore(element),
            Self::Errors | Self::Refused | Self::Silent => Happening::Back(element),
        }
    }

    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Errors => "errors",
            Self::Refused => "refused",
            Self::Silent => "silent",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|loss| loss.name() == name)
    }

    /// As it reads after what is gone.
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::Cut => "cut by an operator",
            Self::Errors => "answering with errors",
            Self::Refused => "refusing connections",
            Self::Silent => "silent",
        }
    }
}
