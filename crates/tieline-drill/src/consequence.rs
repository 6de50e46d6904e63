//! What a timeline does: every call compared with what becomes of it with nothing gone, counted as the calls end.
//!
//! Bounds: some 50 bytes a party, [`PARTY_ROWS_MAX`] parties reported, two histograms of times.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Candidate;
use tieline_core::{ROWS_MAX, Tick};

use crate::fill::Tightest;
use crate::known::PartyClass;
use crate::laid::{Laid, LaneIx};
use crate::rehearsal::{Before, HhiAfter, PartyBefore, Rehearsal};
use crate::seen::{End, How, Played};
use crate::tally::{Fate, Tally};
use crate::timeline::Timeline;
use crate::times::{Quantiles, Times};
use crate::traffic::{Asked, TrafficCall};
use crate::world::Returns;

/// Parties reported of one contingency, those that lose most first: a page. All are counted.
pub const PARTY_ROWS_MAX: usize = 50;

/// What becomes of the calls under a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Consequence {
    /// Attempts of all calls; absent where the calls were not decided again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// By the class of the calls' parties, those classes that have calls.
    pub classes: Vec<ClassRow>,
    /// Over the calls that are served with and without the loss.
    pub cost_change_nano: CostChange,
    /// Calls that are served elsewhere or at other prices and whose cost here or there is not known.
    pub cost_unknown_calls: u64,
    pub critical: Critical,
    /// Over the calls that are served with and without the loss; modelled. Absent where there are none, or where the calls
    /// were not decided again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_content: Option<FirstContent>,
    /// Where calls flow that did not, or no more: lanes whose number of answers is another.
    pub flows: Vec<FlowChange>,
    pub hhi_after: HhiAfter,
    /// The parties that it touches, those that lose most first.
    pub parties: Vec<PartyRow>,
    /// How many parties have calls that are not served any more.
    pub parties_losing: u64,
    /// How many parties it touches.
    pub parties_touched: u64,
    pub recovery: Recovery,
    /// The channels that were out and came back, by name.
    pub returns: Vec<Return>,
    pub tally: Tally,
    /// The limit of a channel that comes closest to its end; absent where none is stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tightest: Option<Tightest>,
}

/// The calls of the parties of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClassRow {
    pub class: PartyClass,
    pub parties: u64,
    /// How many of them have calls that are not served any more.
    pub parties_losing: u64,
    pub tally: Tally,
}

/// One party's calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartyRow {
    pub class: PartyClass,
    pub party: String,
    pub tally: Tally,
}

/// Calls that matter by their pool and their key (`critical` or `critical_plus`), and are not served any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Critical {
    pub calls_unserved: u64,
    /// The parties whose calls they are, those that lose most first; at most 50.
    pub parties: Vec<String>,
    /// How many parties that are.
    pub parties_losing: u64,
}

/// Times from a call's arrival to its first content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FirstContent {
    pub after: Quantiles,
    pub before: Quantiles,
}

/// Calls that a model on a channel answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FlowChange {
    pub after: u64,
    pub before: u64,
    pub channel: String,
    pub model: String,
}

/// How long service was worse than with nothing gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Recovery {
    /// From the first thing that happens to the arrival of the last call that was worse off (degraded, held or lost), of
    /// the parties that recovered, in µs. Absent where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_us: Option<u64>,
    /// Parties of which the last call was worse off.
    pub parties_not: u64,
    /// Parties of which a call was worse off, and the last was not.
    pub parties_recovered: u64,
}

/// A channel that was out and came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Return {
    pub channel: String,
    /// The longest time from its return until it began an answer, in µs; absent where it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_us: Option<u64>,
    /// How often it came back.
    pub times: u64,
    /// Of these, how often it was not used until it went out again or the traffic ended.
    pub unused: u64,
}

/// A change in cost: a signed decimal string of nano-dollars, or `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub enum CostChange {
    Nano(i128),
    /// A call moved and its price or usage is not known, so the sum is not either.
    Unknown,
}

impl CostChange {
    /// As a cell of a table.
    pub(crate) fn cell(self) -> String {
        match self {
            Self::Nano(0) => "-".to_owned(),
            Self::Nano(nano) => crate::table::signed_usd(nano),
            Self::Unknown => "unknown".to_owned(),
        }
    }
}

impl Consequence {
    /// Whether nothing changes for anyone.
    pub const fn is_nothing(&self) -> bool {
        !self.tally.is_touched()
    }

    /// What nothing does.
    pub(crate) fn nothing(rehearsal: &Rehearsal<'_>) -> Self {
        let base = rehearsal.base();
        let counts = vec![PartyCount::default(); rehearsal.parties().len()];
        Self {
            attempts: Some(base.attempts),
            classes: classes(rehearsal, &counts),
            cost_change_nano: CostChange::Nano(0),
            cost_unknown_calls: 0,
            critical: Critical::default(),
            first_content: base.first_content.map(|times| FirstContent {
                after: times,
                before: times,
            }),
            flows: Vec::new(),
            hhi_after: base.hhi,
            parties: Vec::new(),
            parties_losing: 0,
            parties_touched: 0,
            recovery: Recovery::default(),
            returns: Vec::new(),
            tally: base.tally(),
            tightest: base.tightest.clone(),
        }
    }
}

/// Counts a play, call by call.
pub(crate) struct Counter<'r> {
    after: Times,
    before: Times,
    cost: i128,
    cost_unknown: u64,
    critical: u64,
    laid: &'r Laid<'r>,
    /// Calls answered, by lane.
    lanes: Vec<u64>,
    parties: Vec<PartyCount>,
    rehearsal: &'r Rehearsal<'r>,
    tally: Tally,
}

/// Calls of one kind that one lane answers with nothing gone.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) calls: u64,
    /// By how much more they would cost over each of their candidates; none where that is not known.
    pub(crate) costs: [Option<i128>; ROWS_MAX],
    pub(crate) kind: usize,
    pub(crate) lane: LaneIx,
}

/// What of a party's calls is not as it was.
#[derive(Clone, Copy, Debug, Default)]
struct PartyCount {
    critical: u32,
    degraded: u32,
    held: u32,
    lost: u32,
    moved: u32,
    /// When the last call arrived that was as well off as before.
    well_at: Tick,
    /// When the last arrived that was not.
    worse_at: Tick,
}

impl<'r> Counter<'r> {
    pub(crate) fn new(rehearsal: &'r Rehearsal<'r>, laid: &'r Laid<'r>) -> Self {
        Self {
            after: Times::default(),
            before: Times::default(),
            cost: 0,
            cost_unknown: 0,
            critical: 0,
            laid,
            lanes: vec![0; laid.lanes().len()],
            parties: vec![PartyCount::default(); rehearsal.parties().len()],
            rehearsal,
            tally: Tally::default(),
        }
    }

    /// Count how a call ended; what that is.
    pub(crate) fn count(&mut self, end: &End) -> Option<Fate> {
        let before = self.rehearsal.before(end.call).unwrap_or_default();
        let call = self.laid.traffic.calls.get(end.call)?;
        if let Some(count) = end.answered.and_then(|lane| self.lanes.get_mut(lane.0 as usize)) {
            *count += 1;
        }
        let fate = self.fate(call, before, end);
        self.tally.count(fate);
        self.count_party(call, fate);
        let is_served = !matches!(fate, Fate::RefusedBefore | Fate::Held | Fate::Lost);
        if let (true, Some(lane), Some(by)) = (is_served, before.lane(), end.by) {
            self.before.see(before.first_content_us);
            let after = end.first_content.unwrap_or_default().0;
            self.after.see(u32::try_from(after).unwrap_or(u32::MAX));
            let is_elsewhere = end.answered != Some(lane);
            if is_elsewhere || by.0 != 0 {
                self.count_cost(call, lane, by, is_elsewhere);
            }
        }
        Some(fate)
    }

    /// Calls that go to another of their candidates, that of `row`.
    pub(crate) fn count_moved(&mut self, group: &Group, after: Candidate, row: usize) {
        let Some(lane) = self.laid.grid(0).lane(after) else {
            return;
        };
        let fate = self.fate_of_move(group.kind, group.lane, lane);
        self.count_group(group, fate, Some(lane));
        match group.costs.get(row).copied().flatten() {
            Some(change) => self.cost += change,
            None => self.cost_unknown += group.calls,
        }
    }

    /// Calls that meet the same fate, and the lane that answers them if it is another.
    pub(crate) fn count_group(&mut self, group: &Group, fate: Fate, moved_to: Option<LaneIx>) {
        self.tally.count_all(fate, group.calls);
        let lane = moved_to.unwrap_or(group.lane);
        let answered = self.lanes.get_mut(lane.0 as usize);
        if let Some(count) = answered.filter(|_| !fate.is_unserved()) {
            *count += group.calls;
        }
        let Some(kind) = self.laid.traffic.kinds.get(group.kind) else {
            return;
        };
        let Some(party) = self.parties.get_mut(kind.party as usize) else {
            return;
        };
        let calls = u32::try_from(group.calls).unwrap_or(u32::MAX);
        if let Some(field) = party.field(fate) {
            *field = field.saturating_add(calls);
        }
        if fate.is_unserved() && self.rehearsal.is_critical(group.kind) {
            self.critical += group.calls;
            party.critical = party.critical.saturating_add(calls);
        }
    }

    fn fate(&self, call: &TrafficCall, before: Before, end: &End) -> Fate {
        let Some(lane) = before.lane() else {
            return Fate::RefusedBefore;
        };
        let Some(after) = end.answered else {
            return Fate::unserved(end.how);
        };
        if end.how == How::Broken && !before.is_broken() {
            return Fate::Lost;
        }
        if after == lane {
            return Fate::Kept;
        }
        self.fate_of_move(call.kind as usize, lane, after)
    }

    fn fate_of_move(&self, kind: usize, before: LaneIx, after: LaneIx) -> Fate {
        let model = |lane| self.laid.lane_named(lane).map(|lane| &lane.model);
        let (old, new) = (model(before), model(after));
        if old == new || new.is_some_and(|new| self.is_shown(kind, new)) {
            Fate::Moved
        } else {
            Fate::Degraded
        }
    }

    /// Whether a receipt shows that the model serves the pool that calls of a kind ask for.
    fn is_shown(&self, kind: usize, model: &Arc<str>) -> bool {
        let receipts = &self.rehearsal.known().receipts;
        let kind = self.laid.traffic.kinds.get(kind);
        match kind.map(|kind| &kind.ask) {
            Some(Asked::Pool(pool)) => receipts.passes(pool, model),
            _ => false,
        }
    }

    fn count_party(&mut self, call: &TrafficCall, fate: Fate) {
        let kind = self.laid.traffic.kinds.get(call.kind as usize);
        let Some(party) = kind.and_then(|kind| self.parties.get_mut(kind.party as usize)) else {
            return;
        };
        if fate == Fate::RefusedBefore {
            return;
        }
        if let Some(field) = party.field(fate) {
            *field = field.saturating_add(1);
        }
        if fate.is_well() {
            party.well_at = party.well_at.max(call.at);
        } else {
            party.worse_at = party.worse_at.max(call.at);
        }
        if fate.is_unserved() && self.rehearsal.is_critical(call.kind as usize) {
            self.critical += 1;
            party.critical = party.critical.saturating_add(1);
        }
    }

    /// What a call costs that is served over another lane, or under another grid.
    fn count_cost(
        &mut self,
        call: &TrafficCall,
        lane: LaneIx,
        (grid, after): (usize, Candidate),
        is_elsewhere: bool,
    ) {
        let before = self.rehearsal.candidate(lane);
        let price = |grid, candidate| {
            let served = self.laid.grid(grid).snapshot.served(candidate);
            served.and_then(|served| served.price)
        };
        let at_a_price = before.map(|before| price(0, before));
        if !is_elsewhere && at_a_price == Some(price(grid, after)) {
            return;
        }
        let costs = before.and_then(|before| self.laid.cost(0, call, before));
        match costs.zip(self.laid.cost(grid, call, after)) {
            Some((before, after)) => self.cost += i128::from(after.0) - i128::from(before.0),
            None => self.cost_unknown += 1,
        }
    }

    /// The sums of a play, with at most so many parties.
    pub(crate) fn consequence(
        self,
        timeline: &Timeline<'_>,
        played: Played<'_>,
        rows_max: usize,
    ) -> Consequence {
        let times = self.before.quantiles().zip(self.after.quantiles());
        Consequence {
            attempts: Some(played.seen.attempts),
            first_content: times.map(|(before, after)| FirstContent { after, before }),
            recovery: self.recovery(timeline),
            tightest: played.seen.fills.tightest(self.laid),
            returns: played.world.into_returns().into_iter().map(returned).collect(),
            ..self.sums(rows_max)
        }
    }

    /// The sums of groups, without what only a play tells. Groups are of calls that are served with nothing gone; the rest
    /// stay refused.
    pub(crate) fn modelled(mut self) -> Consequence {
        let refused = self.rehearsal.base().refused;
        self.tally.count_all(Fate::RefusedBefore, refused);
        self.sums(PARTY_ROWS_MAX)
    }

    fn sums(&self, rows_max: usize) -> Consequence {
        let rehearsal = self.rehearsal;
        let (mut rows, mut critical) = (Vec::new(), Vec::new());
        for ((count, before), ix) in self.parties.iter().zip(rehearsal.parties()).zip(0..) {
            let tally = count.tally(*before);
            if tally.is_touched() {
                let party = self.laid.party(u32::try_from(ix).unwrap_or(u32::MAX));
                if count.critical > 0 {
                    critical.push((count.critical, party.clone()));
                }
                rows.push(PartyRow {
                    class: rehearsal.class(ix),
                    party,
                    tally,
                });
            }
        }
        rows.sort_by(|a, b| {
            let weights = b.tally.weight().cmp(&a.tally.weight());
            weights.then_with(|| a.party.cmp(&b.party))
        });
        critical.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
        let parties_touched = rows.len() as u64;
        let parties_losing = rows.iter().filter(|row| row.tally.unserved() > 0).count() as u64;
        rows.truncate(rows_max);
        Consequence {
            attempts: None,
            classes: classes(rehearsal, &self.parties),
            cost_change_nano: if self.cost_unknown == 0 {
                CostChange::Nano(self.cost)
            } else {
                CostChange::Unknown
            },
            cost_unknown_calls: self.cost_unknown,
            critical: Critical {
                calls_unserved: self.critical,
                parties_losing: critical.len() as u64,
                parties: critical
                    .into_iter()
                    .take(PARTY_ROWS_MAX)
                    .map(|(_, party)| party)
                    .collect(),
            },
            first_content: None,
            flows: self.flows(),
            hhi_after: HhiAfter::of(self.laid, &self.lanes),
            parties: rows,
            parties_losing,
            parties_touched,
            recovery: Recovery::default(),
            returns: Vec::new(),
            tally: self.tally,
            tightest: None,
        }
    }

    fn flows(&self) -> Vec<FlowChange> {
        let lanes = self.laid.lanes().iter().zip((0..).map(LaneIx)).zip(&self.lanes);
        let changed = lanes.filter_map(|((lane, ix), after)| {
            let before = self.rehearsal.answers(ix);
            (before != *after).then(|| FlowChange {
                after: *after,
                before,
                channel: lane.channel.to_string(),
                model: lane.model.to_string(),
            })
        });
        changed.collect()
    }

    fn recovery(&self, timeline: &Timeline<'_>) -> Recovery {
        let first = timeline.happenings().first().map(|(at, _)| *at);
        let begun = self.laid.traffic.calls.first().map(|call| call.at);
        let lost_at = first.max(begun).unwrap_or_default();
        let mut recovery = Recovery::default();
        let is_worse = |party: &&PartyCount| party.degraded > 0 || party.held > 0 || party.lost > 0;
        for party in self.parties.iter().filter(is_worse) {
            if party.well_at > party.worse_at {
                recovery.parties_recovered += 1;
                let after = party.worse_at.since(lost_at).0;
                recovery.longest_us = recovery.longest_us.max(Some(after));
            } else {
                recovery.parties_not += 1;
            }
        }
        recovery
    }
}

impl PartyCount {
    /// Where calls of a fate are counted; nowhere, if nothing changes for them.
    const fn field(&mut self, fate: Fate) -> Option<&mut u32> {
        match fate {
            Fate::RefusedBefore | Fate::Kept => None,
            Fate::Moved => Some(&mut self.moved),
            Fate::Degraded => Some(&mut self.degraded),
            Fate::Held => Some(&mut self.held),
            Fate::Lost => Some(&mut self.lost),
        }
    }

    fn tally(&self, before: PartyBefore) -> Tally {
        let Self {
            degraded,
            held,
            lost,
            moved,
            ..
        } = *self;
        let [moved, degraded, held, lost] = [moved, degraded, held, lost].map(u64::from);
        Tally {
            degraded,
            held,
            kept: u64::from(before.served).saturating_sub(moved + degraded + held + lost),
            lost,
            moved,
            refused_before: before.refused.into(),
        }
    }
}

fn classes(rehearsal: &Rehearsal<'_>, counts: &[PartyCount]) -> Vec<ClassRow> {
    let mut rows = PartyClass::ALL.map(|class| ClassRow {
        class,
        parties: 0,
        parties_losing: 0,
        tally: Tally::default(),
    });
    for ((count, before), ix) in counts.iter().zip(rehearsal.parties()).zip(0..) {
        let class = rehearsal.class(ix);
        if let Some(row) = rows.iter_mut().find(|row| row.class == class) {
            let tally = count.tally(*before);
            row.parties += 1;
            row.parties_losing += u64::from(tally.unserved() > 0);
            row.tally.add(&tally);
        }
    }
    rows.into_iter().filter(|row| row.tally.calls() > 0).collect()
}

fn returned((channel, returns): (Arc<str>, Returns)) -> Return {
    Return {
        channel: channel.to_string(),
        longest_us: returns.longest.map(|span| span.0),
        times: returns.times,
        unused: returns.unused,
    }
}

impl Serialize for CostChange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nano(nano) => serializer.collect_str(nano),
            Self::Unknown => serializer.serialize_str("unknown"),
        }
    }
}
