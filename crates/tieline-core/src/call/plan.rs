//! The plan of a call: for each candidate what is known of it and why it is or is not to be tried, and the choice of the
//! next one.
//!
//! The order is the pool's, model by model; the channels of one model are equals. A candidate is passed over if policy
//! does not allow it, an operator cut it, its limit is used up, it rests, or it has been tried for all that it is good for.
//! Of equals, one outside the failure domains of what failed comes first; then one whose breaker waits for a probe; then
//! the one that a prompt's cache prefers, unless it costs twice as much; then the cheaper of two drawn at random
//! (Mitzenmacher 2001), by latency and load. Where the pool wants it so, the first is taken in place of the last two. The
//! last attempt goes to another failure domain if there is one, whatever the order.
//!
//! If none is ready: one that is full, then one that failed this call and may be asked again, then (panic) one whose
//! breaker is open for its share of faults, then one that lacks what the request asks for, whose words the caller gets.
//! One that failed in a row gets probes alone. Panic ignores breakers; policy and cuts never are.

use std::sync::Arc;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::ROWS_MAX;
use crate::desk::Bucket;
use crate::entropy::{Rng, Seed};
use crate::feature::FeatureSet;
use crate::fleet::{Health, Row, View};
use crate::grid::{Candidate, Choice, ComponentSet, Snapshot, UnknownPrice};
use crate::time::Tick;
use crate::verdict::{Rule, Ruling, Verdict};

/// Why a candidate is where it is in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It failed this call, and may be asked once more.
    Again,
    /// Its breaker is open for its share of faults.
    Ailing,
    /// Its share of further attempts is used up.
    Barred,
    /// It is tried next.
    Chosen,
    Denied,
    /// It has as many attempts in flight as it seems to take.
    Full,
    Held,
    /// It has refused something that the request asks for.
    Lacking,
    /// Its limit is used up.
    Limited,
    /// Its breaker is open.
    Open,
    /// An operator cut it, or something it depends on.
    Out,
    /// It asked to be left alone for a while, or its account is spent.
    Resting,
    /// There is room, but it is kept for calls that matter more, or for a party that was served less.
    Shed,
    /// It may serve; another comes first.
    Standby,
    /// It was tried.
    Tried,
    /// Nothing was asked about it, for the call was refused before.
    Unasked,
    /// It cannot serve this request, as what was tried has shown.
    Unfit,
    /// Its price is unknown, and a budget or the configuration wants it known.
    Unpriced,
}

/// Of one candidate, tries in one call: a second is for the case in which no other can serve.
pub(super) const TRIES_MAX: u8 = 2;

/// The latency of a lane that nobody has measured, in µs.
const TTFT_US_UNMEASURED: u32 = 1_000_000;

/// A warm cache of the prompt is worth so many times the cost of the cheapest.
const AFFINITY_WORTH: u64 = 2;

/// All candidates of a call.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What chance says at this look.
    draw: u64,
    pub rows: ArrayVec<PlanRow, ROWS_MAX>,
}

#[derive(Clone, Debug)]
pub struct PlanRow {
    /// From when on it may be asked again, if it may.
    pub again_at: Option<Tick>,
    /// The limit that is used up, and when it frees.
    pub limited: Option<(Bucket, Option<Tick>)>,
    /// What the fleet last said of it.
    pub seen: Option<Row>,
    /// The limit has room, kept for others.
    pub shed: bool,
    pub tries: u8,
    /// What was tried has shown that it cannot serve the request.
    pub unfit: bool,
    pub unpriced: Option<UnknownPrice>,
    pub verdict: Option<Arc<Verdict>>,
    pub why: Why,
}

/// What a choice depends on beside the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'c> {
    /// Which of equals has the prompt in its cache, as a number to be hashed with their names.
    pub(crate) affinity: Option<u16>,
    pub(crate) candidates: &'c [Candidate],
    pub(crate) choice: Choice,
    /// No attempt is left after this one.
    pub(crate) is_last: bool,
    pub(crate) snapshot: &'c Snapshot,
}

impl Plan {
    pub(crate) fn new(rows: usize) -> Self {
        let mut plan = Self {
            draw: 0,
            rows: ArrayVec::new(),
        };
        plan.renew(rows);
        plan
    }

    /// As [`Plan::new`], in the place of a plan that is over.
    pub(crate) fn renew(&mut self, rows: usize) {
        let row = || PlanRow {
            again_at: None,
            limited: None,
            seen: None,
            shed: false,
            tries: 0,
            unfit: false,
            unpriced: None,
            verdict: None,
            why: Why::Unasked,
        };
        self.draw = 0;
        self.rows.clear();
        self.rows.extend((0..rows.min(ROWS_MAX)).map(|_| row()));
    }

    /// The rows that may still be tried, as bits.
    pub(crate) fn open(&self) -> u8 {
        let bits = self.rows.iter().zip(0_u8..).filter(|(row, _)| row.is_open());
        bits.fold(0, |mask, (_, ix)| mask | 1 << ix)
    }

    /// Take the verdicts on the rows of `mask`, in order. A row asked for and not answered has none: an earlier allow
    /// does not outlive the question.
    pub(crate) fn judge(&mut self, mask: u8, verdicts: &[Arc<Verdict>]) {
        let asked = self
            .rows
            .iter_mut()
            .zip(0_u8..)
            .filter(|(_, ix)| mask & (1 << ix) != 0);
        let mut verdicts = verdicts.iter();
        for (row, _) in asked {
            row.verdict = verdicts.next().cloned();
            if row.unpriced == Some(UnknownPrice::Hold) && row.is_allowed() {
                row.verdict = row.verdict.as_deref().map(held_for_price);
            }
        }
    }

    /// Whether any row that may still be tried is allowed.
    pub(crate) fn any_allowed(&self) -> bool {
        self.rows.iter().any(|row| row.is_open() && row.is_allowed())
    }

    /// The verdict that decides a call of which a legal block leaves nothing to try, whatever was tried before it.
    pub(crate) fn blocking_verdict(&self) -> Option<&Arc<Verdict>> {
        let is_block = |rule: &Rule| &*rule.id == Rule::LEGAL_BLOCK;
        self.refusing_verdict()
            .filter(|verdict| !self.any_allowed() && verdict.rules.iter().any(is_block))
    }

    /// The verdict that decides a call that nothing is allowed for: a hold if an officer could still open a way, else the
    /// first deny.
    pub(crate) fn refusing_verdict(&self) -> Option<&Arc<Verdict>> {
        let verdicts = || self.rows.iter().filter_map(|row| row.verdict.as_ref());
        let with = |ruling| verdicts().find(move |verdict| verdict.ruling == ruling);
        with(Ruling::Hold).or_else(|| with(Ruling::Deny))
    }

    /// The first row that is held, and by which verdict.
    pub(crate) fn first_hold(&self) -> Option<(u8, &Arc<Verdict>)> {
        self.rows.iter().zip(0_u8..).find_map(|(row, ix)| {
            let verdict = row.verdict.as_ref()?;
            (verdict.ruling == Ruling::Hold).then_some((ix, verdict))
        })
    }

    /// Take what the fleet says of each row.
    pub(crate) fn see(&mut self, view: &View) {
        for (row, seen) in self.rows.iter_mut().zip(&view.rows) {
            row.seen = Some(*seen);
        }
    }

    /// Say of each row why it is where it is. `again` if the call has tried one already; `draw` is what chance says.
    pub(crate) fn look(&mut self, again: bool, features: FeatureSet, draw: u64, now: Tick) {
        self.draw = draw;
        for row in &mut self.rows {
            let Some(seen) = row.seen else { continue };
            // A limit that was used up before a wait is asked anew.
            row.limited = row
                .limited
                .filter(|(_, free_at)| free_at.is_none_or(|at| now < at));
            row.why = row.standing(&seen, again, features, now);
        }
    }

    /// Say of each row what the verdicts alone say; for a call that nothing is allowed for.
    pub(crate) fn look_at_verdicts(&mut self) {
        for row in &mut self.rows {
            row.why = row.ruled().unwrap_or(Why::Standby);
        }
    }

    /// The next row to try.
    pub(crate) fn choose(&self, turn: &Turn<'_>) -> Option<u8> {
        let failed = self
            .rows
            .iter()
            .any(|row| row.tries > 0)
            .then(|| self.failed_domains(turn));
        [Why::Standby, Why::Full, Why::Again, Why::Ailing, Why::Lacking]
            .into_iter()
            .find_map(|why| self.choose_among(why, turn, failed.as_ref()))
    }

    /// Whether nothing stands against a row as it was last seen.
    pub(crate) fn is_ready(&self, row: u8) -> bool {
        let row = self.rows.get(usize::from(row));
        row.is_some_and(|row| matches!(row.why, Why::Standby | Why::Full))
    }

    /// When the first of the allowed rows that cannot be dialled yet can be. `None` if none ever can; this instant if
    /// nobody can tell, for a probe is under way.
    pub(crate) fn next_at(&self, now: Tick) -> Option<Tick> {
        self.instants(now).min()
    }

    /// The same of the rows of which it is known.
    pub(crate) fn known_at(&self, now: Tick) -> Option<Tick> {
        self.instants(now).filter(|at| now < *at).min()
    }

    fn instants(&self, now: Tick) -> impl Iterator<Item = Tick> {
        let at = move |row: &PlanRow| match row.why {
            Why::Tried => row.again_at,
            Why::Limited | Why::Shed => row.limited.and_then(|(_, free_at)| free_at),
            Why::Open | Why::Resting => Some(row.free_at().unwrap_or(now)),
            _ => None,
        };
        let rows = self.rows.iter().filter(|row| row.is_open() && row.is_allowed());
        rows.filter_map(move |row| Some(at(row)?.max(row.free_at().unwrap_or(now))))
    }

    pub(crate) fn limit(&mut self, row: u8, bucket: Bucket, free_at: Option<Tick>, shed: bool) {
        if let Some(row) = self.rows.get_mut(usize::from(row)) {
            row.limited = Some((bucket, free_at));
            row.shed = shed;
            row.why = if shed { Why::Shed } else { Why::Limited };
        }
    }

    pub(crate) fn mark(&mut self, row: u8, why: Why) {
        if let Some(row) = self.rows.get_mut(usize::from(row)) {
            row.why = why;
        }
    }

    /// The row was tried; it may be asked again from `again_at` on.
    pub(crate) fn tried(&mut self, row: u8, again_at: Option<Tick>) {
        if let Some(row) = self.rows.get_mut(usize::from(row)) {
            row.why = Why::Tried;
            row.tries = row.tries.saturating_add(1);
            row.again_at = again_at.filter(|_| row.tries < TRIES_MAX);
        }
    }

    /// What was tried may be tried once more at once, in another way.
    pub(crate) fn again(&mut self, row: u8, now: Tick) {
        if let Some(row) = self.rows.get_mut(usize::from(row)) {
            row.again_at = Some(now);
        }
    }

    /// Rule out the rows that `fits` refuses, whatever becomes of the rest.
    pub(crate) fn keep(&mut self, fits: impl Fn(usize) -> bool) {
        for (row, ix) in self.rows.iter_mut().zip(0..) {
            if row.is_open() && !fits(ix) {
                row.unfit = true;
            }
        }
    }

    /// The verdict of an order on a row that was tried: it outranks the one under which the row was dialled.
    pub(crate) fn order(&mut self, row: u8, verdict: Arc<Verdict>) {
        if let Some(row) = self.rows.get_mut(usize::from(row)) {
            row.verdict = Some(verdict);
        }
    }

    /// Whether an unknown price is all that keeps a row from being tried.
    pub(crate) fn any_unpriced(&self) -> bool {
        self.rows.iter().any(|row| row.why == Why::Unpriced)
    }

    pub(crate) fn any_limited(&self) -> bool {
        self.rows.iter().any(|row| row.limited.is_some())
    }

    /// Whether an allowed row was kept back because further attempts there have used up their share.
    pub(crate) fn any_barred(&self) -> bool {
        self.rows.iter().any(|row| row.why == Why::Barred)
    }

    /// When the first of the limited rows frees, if anybody can tell.
    pub(crate) fn limited_until(&self) -> Option<Tick> {
        let limits = self.rows.iter().filter_map(|row| row.limited);
        limits.filter_map(|(_, free_at)| free_at).min()
    }

    fn choose_among(&self, why: Why, turn: &Turn<'_>, failed: Option<&ComponentSet>) -> Option<u8> {
        let mut rows: ArrayVec<u8, ROWS_MAX> = (self.rows.iter().zip(0_u8..))
            .filter(|(row, _)| row.why == why)
            .map(|(_, ix)| ix)
            .collect();
        let apart = |row: &u8| failed.is_none_or(|failed| !turn.components(*row).intersects(failed));
        if turn.is_last && failed.is_some() && rows.iter().any(apart) {
            rows.retain(|row| apart(row));
        }
        let model = turn.model(*rows.first()?);
        rows.retain(|row| turn.model(*row) == model);
        if failed.is_some() && rows.iter().any(apart) {
            rows.retain(|row| apart(row));
        }
        let probe = rows.iter().find(|row| self.health(**row) == Some(Health::Probe));
        probe.copied().or_else(|| self.cheapest(&rows, turn))
    }

    /// What failed depends on, but for what every candidate depends on.
    fn failed_domains(&self, turn: &Turn<'_>) -> ComponentSet {
        let tried = (self.rows.iter().zip(0_u8..)).filter(|(row, _)| row.tries > 0);
        let all = (0_u8..).take(self.rows.len()).map(|row| turn.components(row));
        let common = all.reduce(|a, b| a.intersection(&b)).unwrap_or_default();
        let failed = tried.map(|(_, row)| turn.components(row));
        failed
            .fold(ComponentSet::default(), |a, b| a.union(&b))
            .without(&common)
    }

    fn cheapest(&self, rows: &[u8], turn: &Turn<'_>) -> Option<u8> {
        if turn.choice == Choice::InOrder {
            return rows.first().copied();
        }
        let cost = |row: &u8| self.cost(*row);
        let [one, two] = drawn(self.draw, rows)?;
        // At the same cost the one that comes first is taken.
        let drawn = if cost(&one.max(two)) < cost(&one.min(two)) {
            one.max(two)
        } else {
            one.min(two)
        };
        let warm = turn
            .affinity
            .and_then(|prompt| rows.iter().max_by_key(|row| turn.weight(prompt, **row)))
            .filter(|row| cost(row) <= cost(&drawn).saturating_mul(AFFINITY_WORTH));
        Some(warm.copied().unwrap_or(drawn))
    }

    /// Latency times the queue that a call would stand in.
    fn cost(&self, row: u8) -> u64 {
        let seen = self.rows.get(usize::from(row)).and_then(|row| row.seen);
        seen.map_or(u64::MAX, |seen| {
            u64::from(seen.ttft_us.unwrap_or(TTFT_US_UNMEASURED).max(1)) * (u64::from(seen.in_flight) + 1)
        })
    }

    fn health(&self, row: u8) -> Option<Health> {
        Some(self.rows.get(usize::from(row))?.seen?.health)
    }
}

/// Two different rows, if there are two.
fn drawn(draw: u64, rows: &[u8]) -> Option<[u8; 2]> {
    let count = rows.len() as u64;
    let one = draw % count.max(1);
    let two = (one + 1 + (draw >> 32) % count.saturating_sub(1).max(1)) % count.max(1);
    let row = |ix: u64| rows.get(usize::try_from(ix).ok()?).copied();
    Some([row(one)?, row(two)?])
}

// === impl PlanRow ===

/// An allowed candidate whose unknown price holds it. Only a stated price opens it.
fn held_for_price(verdict: &Verdict) -> Arc<Verdict> {
    let rule = Rule {
        citation: "configuration in force".into(),
        id: "default/unknown-price".into(),
        reason: "The price of this model on this channel is unknown, and such calls are held.".into(),
    };
    Arc::new(Verdict {
        rules: Arc::new([rule]),
        ruling: Ruling::Hold,
        ..verdict.clone()
    })
}

impl PlanRow {
    fn is_allowed(&self) -> bool {
        self.verdict
            .as_ref()
            .is_some_and(|verdict| verdict.ruling == Ruling::Allow)
    }

    /// Whether it may still be tried, as far as trying goes.
    fn is_open(&self) -> bool {
        !self.unfit && (self.tries == 0 || self.again_at.is_some())
    }

    fn free_at(&self) -> Option<Tick> {
        self.seen.and_then(|seen| seen.free_at)
    }

    /// Why it is not to be tried, whatever the fleet says.
    fn ruled(&self) -> Option<Why> {
        match self.verdict.as_ref().map(|verdict| verdict.ruling) {
            _ if self.unfit => Some(Why::Unfit),
            _ if !self.is_open() => Some(Why::Tried),
            None => Some(Why::Unasked),
            Some(Ruling::Deny) => Some(Why::Denied),
            Some(Ruling::Hold) => Some(Why::Held),
            Some(Ruling::Allow) => None,
        }
    }

    fn standing(&self, seen: &Row, again: bool, features: FeatureSet, now: Tick) -> Why {
        if let Some(why) = self.ruled() {
            return why;
        }
        match seen.health {
            _ if self.unpriced.is_some() => Why::Unpriced,
            _ if seen.out => Why::Out,
            _ if self.limited.is_some() && self.shed => Why::Shed,
            _ if self.limited.is_some() => Why::Limited,
            _ if again && seen.barred => Why::Barred,
            _ if self.again_at.is_some_and(|at| now < at) => Why::Tried,
            Health::Open => Why::Open,
            _ if seen.free_at.is_some() => Why::Resting,
            _ if !seen.lacks.intersection(features).is_empty() => Why::Lacking,
            Health::Ailing => Why::Ailing,
            _ if self.tries > 0 => Why::Again,
            _ if seen.full => Why::Full,
            Health::Closed | Health::Probe => Why::Standby,
        }
    }
}

// === impl Turn ===

impl Turn<'_> {
    fn components(&self, row: u8) -> ComponentSet {
        self.candidates
            .get(usize::from(row))
            .and_then(|candidate| self.snapshot.channel(candidate.channel))
            .map_or_else(ComponentSet::default, |channel| channel.components)
    }

    fn model(&self, row: u8) -> Option<crate::ModelIx> {
        self.candidates
            .get(usize::from(row))
            .map(|candidate| candidate.model)
    }

    /// How much a prompt belongs to a row: highest random weight (Thaler and Ravishankar 1998), so that a channel that
    /// comes or goes moves no other's prompts.
    fn weight(&self, prompt: u16, row: u8) -> u64 {
        let channel = self
            .candidates
            .get(usize::from(row))
            .and_then(|candidate| self.snapshot.channel(candidate.channel));
        let name = channel.map_or(&b""[..], |channel| channel.name.as_bytes());
        // FNV-1a over the name, mixed with the prompt.
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Rng::new(Seed(hash ^ u64::from(prompt) << 48)).draw()
    }
}
