//! The world around the calls of a what-if: which elements are out, what is slow or fails, which orders rule and which
//! grid is in force, and therefore what policy and a channel answer to a call. It follows a [`Timeline`], instant by
//! instant, and what it does to the live board it does by the board's own means.
//!
//! Whether an attempt fails where a share of them does is a number drawn from the seed, the call, the lane and the try, so
//! that two timelines draw alike what they share. Bounds: those of the timeline and of the grids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrayvec::ArrayVec;
use tieline_core::grid::Candidate;
use tieline_core::{
    Board, ChannelIx, Fault, FaultKind, Phase, ROWS_MAX, Rng, Ruling, Seed, Snapshot, Span, Tick, Verdict,
};

use crate::elements::{Element, ElementKind};
use crate::laid::{Answer, Laid, LaneIx, Rulings};
use crate::timeline::{Failure, Happening, OrderIx, Permille, Timeline};
use crate::traffic::TrafficCall;

/// From the dial to a refused connection: a round trip.
const REFUSED_AFTER: Span = Span::from_ms(1);
/// From the dial to an error: what stands in front of a service that is down says so.
const ERROR_AFTER: Span = Span::from_ms(50);

const WHOLE: Permille = 1_000;

pub(crate) struct World<'w> {
    /// How each channel stands, grid by grid.
    channels: Vec<Vec<Standing>>,
    cuts: BTreeSet<Element>,
    failing: BTreeMap<Arc<str>, Permille>,
    /// The grid in force.
    grid: usize,
    laid: &'w Laid<'w>,
    /// The happening that comes next.
    next: usize,
    orders: BTreeSet<OrderIx>,
    outs: BTreeMap<Element, Failure>,
    returns: BTreeMap<Arc<str>, Returns>,
    /// What the orders in force and the record rule together, by grid and kind, as far as it was asked.
    ruled: Vec<Vec<Option<Rulings>>>,
    seed: u64,
    slow: BTreeMap<Arc<str>, Permille>,
    timeline: &'w Timeline<'w>,
    /// Allow, hold and deny; a run has its own, for their counts of owners are written at each call.
    verdicts: [Arc<Verdict>; 3],
}

/// How a channel stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// It works again since, and was not used since.
    back_at: Option<Tick>,
    failing: Permille,
    /// How it fails whoever dials it, and since when it does.
    out: Option<(Failure, Tick)>,
    slow: Permille,
}

/// How a channel that was out came to be used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Returns {
    /// The longest time from its return to the first answer that it began.
    pub(crate) longest: Option<Span>,
    pub(crate) times: u64,
    /// Of the times, those after which it was not used while it worked.
    pub(crate) unused: u64,
}

/// A call that dials, as the world sees it.
pub(crate) struct Dial<'c> {
    pub(crate) candidate: Candidate,
    /// Index of the call in the traffic.
    pub(crate) call: usize,
    pub(crate) grid: usize,
    pub(crate) record: &'c TrafficCall,
    /// How often the call tried this lane before.
    pub(crate) tries: u8,
}

impl<'w> World<'w> {
    /// The world before anything happens, and the board that the calls share.
    pub(crate) fn new(laid: &'w Laid<'w>, timeline: &'w Timeline<'w>, seed: u64) -> (Self, Board) {
        let up = Standing {
            back_at: None,
            failing: 0,
            out: None,
            slow: WHOLE,
        };
        let channels = laid.grids().iter().map(|grid| &grid.snapshot.channels);
        let world = Self {
            channels: channels.map(|channels| vec![up; channels.len()]).collect(),
            cuts: BTreeSet::new(),
            failing: BTreeMap::new(),
            grid: 0,
            laid,
            next: 0,
            orders: BTreeSet::new(),
            outs: BTreeMap::new(),
            returns: BTreeMap::new(),
            ruled: vec![Vec::new(); laid.grids().len()],
            seed,
            slow: BTreeMap::new(),
            timeline,
            verdicts: [Ruling::Allow, Ruling::Hold, Ruling::Deny].map(verdict),
        };
        let board = Board::new(laid.grid(0).snapshot.clone(), Vec::new());
        (world, board)
    }

    /// The grid under which calls that arrive are decided.
    pub(crate) const fn grid(&self) -> usize {
        self.grid
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Tick> {
        let next = self.timeline.happenings().get(self.next);
        next.map(|(at, _)| *at)
    }

    /// Let the next thing happen. True if a channel may have gone out by it.
    pub(crate) fn turn(&mut self, board: &mut Board) -> bool {
        let Some((at, happening)) = self.timeline.happenings().get(self.next) else {
            return false;
        };
        self.next += 1;
        match happening {
            Happening::Out(element, failure) => {
                self.outs.insert(element.clone(), *failure);
                self.stand(*at);
                return true;
            }
            Happening::Back(element) => {
                self.outs.remove(element);
                self.stand(*at);
            }
            Happening::Cut(element) => {
                self.cuts.insert(element.clone());
                cut(board, element, true);
            }
            Happening::Restore(element) => {
                self.cuts.remove(element);
                cut(board, element, false);
            }
            Happening::Slow { channel, time } => {
                self.slow.insert(channel.clone(), *time);
                self.stand(*at);
            }
            Happening::Failing { channel, share } => {
                self.failing.insert(channel.clone(), *share);
                self.stand(*at);
            }
            Happening::Grid(snapshot) => self.carry(board, snapshot),
            Happening::Order(order) => {
                self.orders.insert(*order);
                self.ruled.iter_mut().for_each(Vec::clear);
            }
            Happening::Revoke(order) => {
                self.orders.remove(order);
                self.ruled.iter_mut().for_each(Vec::clear);
            }
        }
        false
    }

    /// Whether a channel went out at this instant: what was under way on it is lost.
    pub(crate) fn went_out(&self, grid: usize, channel: ChannelIx, at: Tick) -> bool {
        let standing = self.standing(grid, channel);
        standing.is_some_and(|standing| standing.out.is_some_and(|(_, since)| since == at))
    }

    /// The verdicts on the rows whose bits are set.
    pub(crate) fn verdicts(
        &mut self,
        grid: usize,
        call: &TrafficCall,
        rows: u8,
    ) -> ArrayVec<Arc<Verdict>, ROWS_MAX> {
        let Self { laid, verdicts, .. } = self;
        let recorded = laid.grid(grid).rulings(call);
        if self.orders.is_empty() {
            return pick(verdicts, recorded, rows);
        }
        let kind = call.kind as usize;
        let known = self.ruled.get(grid).and_then(|kinds| kinds.get(kind)?.as_ref());
        if let Some(known) = known {
            return pick(&self.verdicts, known, rows);
        }
        let ruled = self.strictest(grid, call, recorded);
        let verdicts = pick(&self.verdicts, &ruled, rows);
        if let Some(kinds) = self.ruled.get_mut(grid) {
            if kinds.len() <= kind {
                kinds.resize(kind + 1, None);
            }
            if let Some(place) = kinds.get_mut(kind) {
                *place = Some(ruled);
            }
        }
        verdicts
    }

    /// What a dialled lane does; nothing, where it stays silent.
    pub(crate) fn dialled(&self, dial: &Dial<'_>) -> Option<Answer> {
        let fails = |fault: Fault, took: Span| {
            Some(Answer {
                fault: Some(fault),
                took,
                ttft: None,
            })
        };
        let standing = self.standing(dial.grid, dial.candidate.channel);
        let lane = self.laid.grid(dial.grid).lane(dial.candidate);
        let (Some(standing), Some(lane)) = (standing, lane) else {
            return fails(Fault::new(FaultKind::Connect, Phase::Connect), REFUSED_AFTER);
        };
        match standing.out {
            Some((Failure::Silent, _)) => return None,
            Some((Failure::Refused, _)) => {
                return fails(Fault::new(FaultKind::Connect, Phase::Connect), REFUSED_AFTER);
            }
            Some((Failure::Errors, _)) => {
                let fault = Fault::new(FaultKind::Overload, Phase::Head).with_status(503);
                return fails(fault, ERROR_AFTER);
            }
            None => {}
        }
        let recorded = self.laid.answer(dial.record, lane);
        if recorded.fault.is_none() && self.fails(dial, lane, standing.failing) {
            let fault = Fault::new(FaultKind::Transient, Phase::Head).with_status(500);
            return fails(fault, slowed(ERROR_AFTER, standing.slow));
        }
        Some(Answer {
            fault: recorded.fault,
            took: slowed(recorded.took, standing.slow),
            ttft: recorded.ttft.map(|ttft| slowed(ttft, standing.slow)),
        })
    }

    /// A lane began an answer.
    pub(crate) fn answered(&mut self, grid: usize, channel: ChannelIx, now: Tick) {
        let back_at = self.standing(grid, channel).and_then(|standing| standing.back_at);
        if let Some(back_at) = back_at
            && let Some(name) = self.laid.grid(grid).snapshot.channel(channel).map(|c| &c.name)
        {
            let returns = self.returns.entry(name.clone()).or_default();
            returns.longest = returns.longest.max(Some(now.since(back_at)));
            self.awaited(&name.clone(), None);
        }
    }

    /// What became of channels that were out, by name.
    pub(crate) fn into_returns(mut self) -> BTreeMap<Arc<str>, Returns> {
        let grid = self.laid.grid(self.grid);
        let standings = self.channels.get(self.grid).into_iter().flatten();
        for (channel, standing) in grid.snapshot.channels.iter().zip(standings) {
            if standing.back_at.is_some() {
                self.returns.entry(channel.name.clone()).or_default().unused += 1;
            }
        }
        self.returns
    }

    fn standing(&self, grid: usize, channel: ChannelIx) -> Option<&Standing> {
        self.channels.get(grid)?.get(usize::from(channel.0))
    }

    /// A draw for each call, lane and try, the same whatever else happens.
    fn fails(&self, dial: &Dial<'_>, lane: LaneIx, share: Permille) -> bool {
        if share == 0 {
            return false;
        }
        let Some(lane) = self.laid.lane_named(lane) else {
            return false;
        };
        let of_lane = [&*lane.channel, &*lane.model]
            .into_iter()
            .flat_map(|name| name.bytes().chain([0]))
            .fold(0, |sum, byte| mixed(sum, byte.into()));
        let of_call = mixed(mixed(self.seed, dial.call as u64), dial.tries.into());
        mixed(of_call, of_lane) % u64::from(WHOLE) < u64::from(share)
    }

    /// What the record and every order in force rule on the candidates of a call.
    fn strictest(&self, grid: usize, call: &TrafficCall, recorded: &[Ruling]) -> Rulings {
        let on = self.laid.grid(grid);
        let kind = self.laid.traffic.kinds.get(call.kind as usize);
        let party = kind.and_then(|kind| self.laid.traffic.parties.get(kind.party as usize));
        let party = party.map_or("", |party| party);
        let ruled = recorded
            .iter()
            .zip(on.candidates(call))
            .map(|(ruling, candidate)| {
                let lane = on.lane(*candidate).and_then(|lane| self.laid.lane_named(lane));
                let of_orders = lane.into_iter().flat_map(|lane| {
                    let of = |order: &OrderIx| self.timeline.ruled(*order, party, &lane.channel, &lane.model);
                    self.orders.iter().map(of)
                });
                of_orders.fold(*ruling, Ruling::max)
            });
        ruled.collect()
    }

    /// Work out anew how every channel stands.
    fn stand(&mut self, at: Tick) {
        let (laid, grid) = (self.laid, self.grid);
        for (ix, (on, standings)) in laid.grids().iter().zip(&mut self.channels).enumerate() {
            let snapshot = &on.snapshot;
            for (channel, standing) in snapshot.channels.iter().zip(standings) {
                let hit = |element: &Element| element.takes_out(snapshot, channel);
                let out = self.outs.iter().filter(|(element, _)| hit(element));
                let out = out.map(|(_, failure)| *failure).max();
                let was = standing.out;
                standing.out = out.map(|failure| (failure, was.map_or(at, |(_, since)| since)));
                standing.slow = self.slow.get(&channel.name).copied().unwrap_or(WHOLE);
                standing.failing = self.failing.get(&channel.name).copied().unwrap_or(0);
                let returns = |returns: &mut BTreeMap<Arc<str>, Returns>, of: fn(&mut Returns)| {
                    if ix == grid {
                        of(returns.entry(channel.name.clone()).or_default());
                    }
                };
                if was.is_some() && standing.out.is_none() {
                    standing.back_at = Some(at);
                    returns(&mut self.returns, |returns| returns.times += 1);
                } else if was.is_none() && standing.out.is_some() && standing.back_at.take().is_some() {
                    returns(&mut self.returns, |returns| returns.unused += 1);
                }
            }
        }
    }

    /// Since when a channel is waited for, on every grid.
    fn awaited(&mut self, name: &Arc<str>, since: Option<Tick>) {
        for (on, standings) in self.laid.grids().iter().zip(&mut self.channels) {
            let channels = on.snapshot.channels.iter().zip(standings);
            for (_, standing) in channels.filter(|(channel, _)| channel.name == *name) {
                standing.back_at = since;
            }
        }
    }

    /// Another grid is in force. What the one before did not name could not be cut in it.
    fn carry(&mut self, board: &mut Board, snapshot: &Arc<Snapshot>) {
        let Some(grid) = self.laid.grid_of(snapshot) else {
            return;
        };
        self.grid = grid;
        board.carry(snapshot.clone(), Vec::new());
        for element in &self.cuts {
            cut(board, element, true);
        }
    }
}

/// Cut or restore an element of the board's grid, as an operator does.
fn cut(board: &mut Board, element: &Element, is_cut: bool) {
    let Board { fleet, snapshot, .. } = board;
    match (element.kind, is_cut) {
        (ElementKind::Channel, true) => snapshot
            .channel_named(&element.name)
            .map(|ix| fleet.cut_channel(ix)),
        (ElementKind::Channel, false) => snapshot
            .channel_named(&element.name)
            .map(|ix| fleet.restore_channel(ix)),
        (ElementKind::Component, true) => snapshot
            .component_named(&element.name)
            .map(|ix| fleet.cut_component(ix)),
        (ElementKind::Component, false) => snapshot
            .component_named(&element.name)
            .map(|ix| fleet.restore_component(ix)),
    };
}

fn pick(verdicts: &[Arc<Verdict>; 3], rulings: &[Ruling], rows: u8) -> ArrayVec<Arc<Verdict>, ROWS_MAX> {
    let [allow, hold, deny] = verdicts;
    let asked = rulings.iter().zip(0_u8..).filter(|(_, ix)| rows & (1 << ix) != 0);
    let verdicts = asked.map(|(ruling, _)| match ruling {
        Ruling::Allow => allow.clone(),
        Ruling::Hold => hold.clone(),
        Ruling::Deny => deny.clone(),
    });
    verdicts.collect()
}

const fn slowed(span: Span, time: Permille) -> Span {
    // Spans are below 2^32 µs here, so the product stays below 2^64.
    Span(span.0.saturating_mul(time as u64) / WHOLE as u64)
}

const fn mixed(a: u64, b: u64) -> u64 {
    Rng::new(Seed(a.rotate_left(23) ^ b)).draw()
}

fn verdict(ruling: Ruling) -> Arc<Verdict> {
    Arc::new(Verdict {
        consumes: Arc::default(),
        ruling,
        epoch: 0,
        obligations: Arc::default(),
        rules: Arc::new([]),
        valid_until: None,
    })
}
