//! Recorded calls as compact inputs of a what-if: who asked for what, how large it was, what policy said of each candidate,
//! how each attempt ended, what was used.
//!
//! Bounds: 64 bytes a call, at most [`CALLS_MAX`]; what calls share (party, ask, verdicts) is kept once. Failed attempts
//! are kept aside, for few calls have any.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::call::Fact;
use tieline_core::grid::Candidate;
use tieline_core::record::{AskRecord, AttemptRecord, DecisionEntry, Outcome};
use tieline_core::{
    Bucket, Code, Criticality, DeskReply, Dialect, Fault, Ruling, Snapshot, Span, Tick, Usage,
};

use crate::pairs::{Pair, Pairs, Taken};
use crate::party::{PartyView, askings, or_anyone};

/// Calls of one what-if: 10 million × 64 bytes is 640 MB.
pub const CALLS_MAX: usize = 10_000_000;

/// What the traffic rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Calls of a ledger.
    Recorded,
    /// No traffic: one call of assumed size for each thing that each party may ask for.
    Structure,
}

/// What policy says of a party's use, for the end use that its calls state, of a channel and a model on it.
pub type Rules<'a> = dyn Fn(&str, Option<&str>, &str, &str) -> Ruling + 'a;

/// Recorded calls, in order of arrival.
#[derive(Clone, Debug)]
pub struct Traffic {
    pub basis: Basis,
    pub calls: Vec<TrafficCall>,
    /// Calls beyond [`CALLS_MAX`].
    pub left_out: u64,
    /// Entries that could not be used.
    pub unreadable: u64,
    pub(crate) failures: Vec<Box<[Failure]>>,
    pub(crate) kinds: Vec<Kind>,
    /// The (channel, model) pairs that calls met, by name.
    pub(crate) lanes: Vec<(Arc<str>, Arc<str>)>,
    pub(crate) parties: Vec<Arc<str>>,
}

/// One call, 64 bytes; times saturate at 71 minutes, tokens at 4 billion.
#[derive(Clone, Copy, Debug)]
pub struct TrafficCall {
    pub(crate) at: Tick,
    /// Recorded cost; meaningful with [`COST_KNOWN`].
    pub(crate) cost_nano: u64,
    /// Input, output, cache read, cache write, reasoning; meaningful with [`USAGE_KNOWN`].
    pub(crate) tokens: [u32; 5],
    pub(crate) body_bytes: u32,
    /// Index into `failures`, or [`NONE`].
    pub(crate) failures: u32,
    /// Index into `kinds`.
    pub(crate) kind: u32,
    /// The stated output limit, or [`NONE`].
    pub(crate) output_max: u32,
    pub(crate) took_us: u32,
    pub(crate) ttft_us: u32,
    /// Index into `lanes` of the attempt that answered, or [`NO_LANE`].
    pub(crate) lane: u16,
    pub(crate) flags: u8,
    pub(crate) result: Outcome,
}

const _: () = assert!(
    size_of::<TrafficCall>() <= 64,
    "a call of a what-if is at most 64 bytes"
);

pub(crate) const NONE: u32 = u32::MAX;
pub(crate) const NO_LANE: u16 = u16::MAX;
pub(crate) const COST_KNOWN: u8 = 1;
pub(crate) const USAGE_KNOWN: u8 = 2;
pub(crate) const STREAMED: u8 = 4;

/// What many calls share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) ask: Asked,
    /// How much its calls matter by their key; absent, where only the pool says.
    pub(crate) criticality: Option<Criticality>,
    pub(crate) dialect: Dialect,
    /// What its calls say that they are for.
    pub(crate) end_use: Option<Arc<str>>,
    pub(crate) in_scope: bool,
    /// The limit of its key that refused the call, if one did: limits of keys stand in no ledger.
    pub(crate) key_denied: Option<Bucket>,
    /// Index into `parties`.
    pub(crate) party: u32,
    /// The ruling on each candidate that was judged, by lane.
    pub(crate) rulings: Vec<(u16, Ruling)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    Model(Arc<str>),
    /// What no grid can serve: an unknown name, or an unreadable request.
    Nothing,
    Pool(Arc<str>),
}

/// A recorded attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) after: Span,
    pub(crate) fault: Fault,
    pub(crate) lane: u16,
    /// Time to first content, if content flowed before the fault.
    pub(crate) ttft: Option<Span>,
}

/// Reads calls out of a ledger, entry by entry and in order.
#[derive(Debug)]
pub struct TrafficReader {
    /// How much calls matter by their key, by the key's public id.
    criticality: BTreeMap<Arc<str>, Criticality>,
    kind_ix: BTreeMap<Kind, u32>,
    lane_ix: BTreeMap<(Arc<str>, Arc<str>), u16>,
    pairs: Pairs,
    party_ix: BTreeMap<Arc<str>, u32>,
    traffic: Traffic,
}

// === impl Traffic ===

impl Traffic {
    /// Only the calls that began at instants that are wanted.
    pub fn keep(&mut self, wanted: impl Fn(Tick) -> bool) {
        self.calls.retain(|call| wanted(call.at));
    }

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

// === impl TrafficReader ===

impl Default for TrafficReader {
    fn default() -> Self {
        Self::new()
    }
}

impl TrafficReader {
    pub fn new() -> Self {
        Self {
            criticality: BTreeMap::new(),
            kind_ix: BTreeMap::new(),
            lane_ix: BTreeMap::new(),
            pairs: Pairs::new(),
            party_ix: BTreeMap::new(),
            traffic: Traffic::empty(Basis::Recorded),
        }
    }

    /// Take the keys' own criticality as it is, by their public ids: the ledger does not say it.
    #[must_use]
    pub fn with_criticality(mut self, of_keys: BTreeMap<Arc<str>, Criticality>) -> Self {
        self.criticality = of_keys;
        self
    }

    /// Take the next entry of the ledger.
    pub fn entry(&mut self, index: u64, bytes: &[u8]) {
        match self.pairs.take(index, bytes) {
            Taken::Bad { .. } => self.traffic.unreadable += 1,
            Taken::Call(pair) => self.call(&pair),
            Taken::Open | Taken::Other => {}
        }
    }

    /// The calls read, those without an outcome included.
    pub fn finish(mut self) -> Traffic {
        for pair in self.pairs.rest() {
            self.call(&pair);
        }
        self.traffic.calls.sort_by_key(|call| call.at);
        self.traffic
    }

    fn call(&mut self, pair: &Pair) {
        if self.traffic.calls.len() >= CALLS_MAX {
            self.traffic.left_out += 1;
            return;
        }
        let decision = &*pair.decision;
        let kind = self.kind(decision);
        let kind = intern(&mut self.kind_ix, &mut self.traffic.kinds, kind);
        let outcome = pair.outcome.as_deref();
        let attempts = outcome.map_or(&[][..], |outcome| outcome.attempts.as_slice());
        let last = attempts.last();
        let result = outcome.map_or(Outcome::Lost, |outcome| outcome.result);
        let answered = matches!(result, Outcome::Abandoned | Outcome::Broken | Outcome::Served);
        let lane = last
            .filter(|_| answered)
            .map(|attempt| self.lane(&attempt.channel, &attempt.model));
        let met_limit = outcome.is_some_and(|outcome| outcome.code == Some(Code::CallTimeout));
        let (took, ttft) = last.map_or((0, 0), |attempt| timing(attempt, met_limit));
        // Sound and pictures that a channel counts apart have no place in the five counters: such usage is unknown here.
        let usage = outcome.and_then(|outcome| outcome.usage);
        let usage = usage.filter(|usage| usage.audio + usage.audio_output + usage.image == 0);
        let cost = outcome.and_then(|outcome| outcome.cost_nano);
        let call = TrafficCall {
            at: decision.began,
            cost_nano: cost.unwrap_or_default().0,
            tokens: usage.map_or([0; 5], tokens),
            body_bytes: narrow(decision.intake.body_bytes),
            failures: self.failures(attempts),
            kind,
            output_max: decision.intake.output_tokens_max.unwrap_or(NONE),
            took_us: took,
            ttft_us: ttft,
            lane: lane.unwrap_or(NO_LANE),
            flags: flag(COST_KNOWN, cost.is_some())
                | flag(USAGE_KNOWN, usage.is_some())
                | flag(STREAMED, decision.intake.stream),
            result,
        };
        self.traffic.calls.push(call);
    }

    fn kind(&mut self, decision: &DecisionEntry) -> Kind {
        let intake = &decision.intake;
        let judged = decision.inputs.iter().find_map(|step| match &step.fact {
            Fact::Verdicts(verdicts) => Some(verdicts.as_slice()),
            _ => None,
        });
        let rows = decision.plan.iter().zip(judged.unwrap_or_default());
        let rulings = rows.map(|(row, judged)| (self.lane(&row.channel, &row.model), judged.0.ruling));
        let rulings = rulings.collect();
        Kind {
            ask: match &intake.ask {
                AskRecord::Model(name) => Asked::Model(name.clone()),
                AskRecord::Pool(name) => Asked::Pool(name.clone()),
                AskRecord::Unknown(_) | AskRecord::Unreadable(_) => Asked::Nothing,
            },
            criticality: self.criticality.get(&intake.key).copied(),
            dialect: intake.dialect,
            end_use: intake.end_use.clone(),
            in_scope: intake.in_scope,
            key_denied: key_denied(decision),
            party: intern(
                &mut self.party_ix,
                &mut self.traffic.parties,
                intake.party.clone(),
            ),
            rulings,
        }
    }

    fn lane(&mut self, channel: &Arc<str>, model: &Arc<str>) -> u16 {
        let lane = (channel.clone(), model.clone());
        if let Some(ix) = self.lane_ix.get(&lane) {
            return *ix;
        }
        // 65,535 pairs of channel and model: beyond them a pair has no lane, and counts as one that did not answer.
        let Some(ix) = u16::try_from(self.traffic.lanes.len())
            .ok()
            .filter(|ix| *ix != NO_LANE)
        else {
            return NO_LANE;
        };
        self.traffic.lanes.push(lane.clone());
        self.lane_ix.insert(lane, ix);
        ix
    }

    fn failures(&mut self, attempts: &[AttemptRecord]) -> u32 {
        let failed = attempts.iter().filter_map(|attempt| {
            Some(Failure {
                after: attempt.ended_at.since(attempt.dialled_at),
                fault: attempt.fault?,
                lane: self.lane(&attempt.channel, &attempt.model),
                ttft: attempt.ttft_us,
            })
        });
        let failed: Box<[Failure]> = failed.collect();
        if failed.is_empty() {
            return NONE;
        }
        self.traffic.failures.push(failed);
        narrow(self.traffic.failures.len() as u64 - 1)
    }
}

/// How long an answer takes, and its first content, in µs. An attempt that met the call's limit of time is taken to need
/// a moment longer than it got, so that it meets the limit again.
fn timing(attempt: &AttemptRecord, met_limit: bool) -> (u32, u32) {
    let took = attempt.ended_at.since(attempt.dialled_at).0 + u64::from(met_limit);
    (narrow(took), narrow(attempt.ttft_us.map_or(took, |ttft| ttft.0)))
}

/// The bucket of the key's denial, if that is why the call was refused at admission.
fn key_denied(decision: &DecisionEntry) -> Option<Bucket> {
    let by_key = matches!(
        decision.code,
        Some(Code::RequestLimit | Code::TokenLimit | Code::ConcurrencyLimit)
    );
    let replies = decision.inputs.iter().rev().filter_map(|step| match step.fact {
        Fact::Desk(DeskReply::Denied { bucket, .. }) => Some(bucket),
        _ => None,
    });
    replies.take(usize::from(by_key)).next()
}

fn intern<T: Ord + Clone>(index: &mut BTreeMap<T, u32>, list: &mut Vec<T>, value: T) -> u32 {
    if let Some(ix) = index.get(&value) {
        return *ix;
    }
    // Never more values than calls, and calls are bounded.
    let ix = narrow(list.len() as u64);
    list.push(value.clone());
    index.insert(value, ix);
    ix
}

const fn flag(bit: u8, set: bool) -> u8 {
    if set { bit } else { 0 }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn tokens(usage: Usage) -> [u32; 5] {
    let Usage {
        cache_read,
        cache_write,
        input,
        output,
        reasoning,
        ..
    } = usage;
    [input, output, cache_read, cache_write, reasoning].map(narrow)
}

// === impl Traffic ===

/// Sizes of a call where nothing is recorded: a prompt of a page and an answer of half a page. They set the scale of the
/// cost, not who is served.
const ASSUMED: Usage = Usage {
    audio: 0,
    audio_output: 0,
    cache_read: 0,
    cache_write: 0,
    image: 0,
    input: 1_000,
    output: 500,
    reasoning: 0,
};

/// Synthetic calls come a day apart, so that no limit of a channel binds: they ask what can serve, not how much.
const APART: Span = Span::from_s(86_400);

impl Traffic {
    fn empty(basis: Basis) -> Self {
        Self {
            basis,
            calls: Vec::new(),
            left_out: 0,
            unreadable: 0,
            failures: Vec::new(),
            kinds: Vec::new(),
            lanes: Vec::new(),
            parties: Vec::new(),
        }
    }

    /// One call for each thing that each party may ask for; without parties, for each pool (and each model in none).
    pub fn synthetic(snapshot: &Snapshot, parties: &[PartyView<'_>]) -> Self {
        let mut reader = TrafficReader::new();
        let mut at = Tick(0);
        for view in or_anyone(parties) {
            for asking in askings(snapshot, &view) {
                let candidates = snapshot.candidates(&asking.ask).map_or(&[][..], |(list, _)| list);
                let kind = Kind {
                    ask: if asking.is_pool {
                        Asked::Pool(asking.name.clone())
                    } else {
                        Asked::Model(asking.name.clone())
                    },
                    criticality: None,
                    dialect: Dialect::OpenaiChat,
                    end_use: None,
                    in_scope: true,
                    key_denied: None,
                    party: intern(
                        &mut reader.party_ix,
                        &mut reader.traffic.parties,
                        view.party.clone(),
                    ),
                    rulings: reader.rulings(snapshot, candidates, &asking.ways),
                };
                at = at.plus(APART);
                reader.synthetic_call(kind, at);
            }
        }
        reader.traffic.basis = Basis::Structure;
        reader.traffic
    }
}

impl TrafficReader {
    fn rulings(&mut self, snapshot: &Snapshot, all: &[Candidate], ways: &[Candidate]) -> Vec<(u16, Ruling)> {
        let named =
            |c: &Candidate| Some((&snapshot.channel(c.channel)?.name, &snapshot.model(c.model)?.name));
        let judged = all.iter().filter_map(|candidate| {
            let (channel, model) = named(candidate)?;
            let ruling = if ways.contains(candidate) {
                Ruling::Allow
            } else {
                Ruling::Deny
            };
            Some((self.lane(channel, model), ruling))
        });
        judged.collect()
    }

    fn synthetic_call(&mut self, kind: Kind, at: Tick) {
        if self.traffic.calls.len() >= CALLS_MAX {
            self.traffic.left_out += 1;
            return;
        }
        let kind = intern(&mut self.kind_ix, &mut self.traffic.kinds, kind);
        self.traffic.calls.push(TrafficCall {
            at,
            cost_nano: 0,
            tokens: tokens(ASSUMED),
            body_bytes: narrow(ASSUMED.input * 4),
            failures: NONE,
            kind,
            output_max: NONE,
            took_us: 0,
            ttft_us: 0,
            lane: NO_LANE,
            flags: USAGE_KNOWN | STREAMED,
            result: Outcome::Served,
        });
    }
}

// === impl TrafficCall ===

impl TrafficCall {
    /// What the call used, if that is known.
    pub fn usage(&self) -> Option<Usage> {
        let [input, output, cache_read, cache_write, reasoning] = self.tokens.map(u64::from);
        (self.flags & USAGE_KNOWN != 0).then_some(Usage {
            cache_read,
            cache_write,
            input,
            output,
            reasoning,
            ..Usage::default()
        })
    }

    /// What the call cost as recorded, in nano-dollars, if that is known.
    pub fn cost_nano(&self) -> Option<u64> {
        (self.flags & COST_KNOWN != 0).then_some(self.cost_nano)
    }
}
