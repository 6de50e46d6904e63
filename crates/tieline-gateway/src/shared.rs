//! What every task of the process shares: the live configuration (swapped whole by a reload), the board of fleet and
//! desk, keys, the recorder, the metrics.

use std::hash::RandomState;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tieline_core::board;
use tieline_core::grid::Candidate;
use tieline_core::{Board, CallId, ChannelIx, Intake, Rule, Ruling, Seed, Snapshot, Subject, Tick, Verdict};
use tieline_note::Verifier;
use tieline_policy::{Action, EndUseIx, InFlight, Judge, PartyFacts, Question, RegionIx, Registry, Signers};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::{ChannelWiring, GatewaySettings, Load};
use crate::connector::Connector;
use crate::holds::Holds;
use crate::identity::Identity;
use crate::keys::Keys;
use crate::members::{self, Before, MemberError};
use crate::meter::{Meter, Units};
use crate::metrics::Metrics;
use crate::orders::Orders;
use crate::recorder::Recorder;
use crate::state::{Lock, State};
use crate::streams::Streams;

pub(crate) struct Shared {
    /// Keys the hash by which prompts with the same beginning are known.
    pub(crate) affinity: RandomState,
    pub(crate) board: Mutex<Board>,
    pub(crate) calls: AtomicUsize,
    pub(crate) children: Option<Arc<dyn ChildControl>>,
    pub(crate) clock: Clock,
    pub(crate) dir: PathBuf,
    pub(crate) draining: AtomicBool,
    pub(crate) entropy: Entropy,
    /// Counts the changes of what is known of parties, each after the keys that follow from it are in place.
    pub(crate) facts: AtomicU64,
    /// Told when a key set may have to be fetched.
    pub(crate) fetches: Notify,
    pub(crate) holds: Holds,
    pub(crate) keys: ArcSwap<Keys>,
    pub(crate) live: ArcSwap<Live>,
    pub(crate) load: Load,
    pub(crate) meter: Arc<Meter>,
    pub(crate) metrics: Metrics,
    pub(crate) orders: Arc<Orders>,
    pub(crate) recorder: Recorder,
    /// What keys resolve their parties from; changed only with `state` locked.
    pub(crate) registry: ArcSwap<Registry>,
    /// One reload or change of state at a time.
    pub(crate) state: Mutex<State>,
    pub(crate) streams: Streams,
    /// Given back when the process ends.
    pub(crate) _lock: Lock,
}

/// One configuration in force: immutable, replaced whole.
pub(crate) struct Live {
    pub(crate) connector: Connector,
    /// Whose evidence about single calls is believed; nobody's where none is configured.
    pub(crate) identity: Option<Identity>,
    /// Replaced when a directive is applied; only with the state locked.
    pub(crate) judge: ArcSwap<Judge>,
    pub(crate) names: Names,
    /// What the number of an activation without directives stands for.
    pub(crate) packs_digest: [u8; 32],
    pub(crate) settings: GatewaySettings,
    /// Who may sign directives; nobody where none is configured.
    pub(crate) signers: Option<Signers>,
    pub(crate) snapshot: Arc<Snapshot>,
    /// Whose signatures make a statement.
    pub(crate) statement_keys: Vec<Verifier>,
    /// By channel index of the snapshot.
    pub(crate) wirings: Vec<ChannelWiring>,
}

/// Who asks, for what, and when.
pub(crate) struct Facing<'a> {
    /// Legal blocks that its posture does not know.
    blocked: Option<Arc<PartyFacts>>,
    end_use: Option<&'a str>,
    now: Tick,
    /// The configuration whose candidates are asked about.
    of: &'a Live,
    posture: u32,
    subject: &'a Subject,
}

/// A place among the calls that may be in flight, from the head of a request to the end of its answer.
pub(crate) struct Place {
    pub(crate) shared: Arc<Shared>,
}

/// Names as reply headers carry them, by index of the snapshot; `None` for one that no header can hold.
pub(crate) struct Names {
    pub(crate) channels: Vec<Option<HeaderValue>>,
    pub(crate) models: Vec<Option<HeaderValue>>,
}

/// Control over channels that are child processes of ours: `cut` stops one for real.
pub trait ChildControl: Send + Sync {
    /// Stop the child of this channel, if there is one; false if there is none.
    fn cut(&self, channel: &str) -> bool;
    /// Start it again and wait until it serves; false if there is none. The error says why it does not serve, and what
    /// to do.
    fn restore(&self, channel: &str) -> Result<bool, String>;
    fn status(&self) -> Vec<ChildStatus>;
}

/// A supervised child, for status pages.
#[derive(Clone, Debug, schemars::JsonSchema, serde::Serialize)]
pub struct ChildStatus {
    pub name: String,
    pub pid: Option<u32>,
    pub state: String,
    pub url: String,
}

/// Process-wide entropy: a 128-bit seed from the operating system, then splitmix64 per draw. Call ids and seeds need to be
/// unpredictable to nobody and different from each other, which a counter under a good mixer gives; secrets are drawn
/// from the operating system each time.
pub(crate) struct Entropy {
    counter: AtomicU64,
    key: [u64; 2],
}

impl Shared {
    pub(crate) fn now(&self) -> Tick {
        self.clock.now()
    }

    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        // A panic while holding the lock would have been between two integer updates; the state stays usable.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What follows from a change of parties or papers is in force: for the next attempt of calls under way too.
    pub(crate) fn swap_facts(&self, registry: Registry, keys: Keys) {
        let registry = Arc::new(registry);
        self.registry.store(registry.clone());
        // Directives name parties with all who are below them.
        crate::directives::lay_again(self, &registry);
        self.keys.store(Arc::new(keys));
        self.facts.fetch_add(1, Ordering::SeqCst);
        self.orders.changed();
    }

    /// Keys as they follow from `next`; only with the state locked.
    pub(crate) fn read_keys(&self, state: &State, next: &Registry) -> Result<Keys, MemberError> {
        let postures = self.live.load().judge.load().postures().clone();
        let (registry, keys) = (self.registry.load(), self.keys.load());
        let before = Before {
            keys: &keys,
            registry: &registry,
        };
        members::read_keys(state, next, &postures, Some(before))
    }

    pub(crate) fn new_call(&self, now: Tick) -> (CallId, Seed) {
        let [a, b, seed] = self.entropy.draw();
        (CallId::new(now, u128::from(a) << 64 | u128::from(b)), Seed(seed))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// A place, unless `calls_max` are taken.
    pub(crate) fn take(shared: &Arc<Shared>, calls_max: usize) -> Option<Self> {
        let before = shared.calls.fetch_add(1, Ordering::Relaxed);
        let place = Self {
            shared: shared.clone(),
        };
        (before < calls_max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Entropy {
    pub(crate) fn from_os() -> Result<Self, getrandom::Error> {
        let key = [getrandom::u64()?, getrandom::u64()?];
        Ok(Self {
            counter: AtomicU64::new(getrandom::u64()?),
            key,
        })
    }

    fn draw(&self) -> [u64; 3] {
        let first = self.counter.fetch_add(3, Ordering::Relaxed);
        let [low, high] = self.key;
        [0, 1, 2].map(|n| {
            let mut rng = tieline_core::Rng::new(Seed(first.wrapping_add(n) ^ low));
            rng.draw() ^ high
        })
    }
}

impl Names {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let value = |name: &str| HeaderValue::from_str(name).ok();
        Self {
            channels: snapshot
                .channels
                .iter()
                .map(|channel| value(&channel.name))
                .collect(),
            models: snapshot.models.iter().map(|model| value(&model.name)).collect(),
        }
    }
}

impl Live {
    /// Channels that no call can be carried over.
    pub(crate) fn uncarried(&self) -> Vec<ChannelIx> {
        let channels = self
            .wirings
            .iter()
            .zip(0..)
            .filter(|(wiring, _)| !wiring.is_carried);
        channels.map(|(_, ix)| ChannelIx(ix)).collect()
    }

    /// The verdict of this configuration on a candidate, which may be an earlier one's.
    pub(crate) fn verdict(&self, candidate: Candidate, facing: &Facing<'_>) -> Arc<Verdict> {
        let judge = self.judge.load();
        match self.question(candidate, facing) {
            Some(question) => {
                let verdict = judge.verdict(question, &facing.subject.party, facing.now);
                facing.held(candidate, lapsing(verdict, facing))
            }
            None => Arc::new(gone(judge.number())),
        }
    }

    /// The same for a candidate that may be tried next: of each counted licence on which the verdict rests, `units` has one
    /// for the candidate's row.
    pub(crate) fn covered(
        &self,
        candidate: Candidate,
        facing: &Facing<'_>,
        units: (&mut Units, u8),
    ) -> Arc<Verdict> {
        self.covered_without(candidate, facing, units).0
    }

    /// The same, with the licences that turned out to be spent.
    fn covered_without(
        &self,
        candidate: Candidate,
        facing: &Facing<'_>,
        (units, row): (&mut Units, u8),
    ) -> (Arc<Verdict>, Vec<Arc<str>>) {
        let verdict = self.verdict(candidate, facing);
        units.forget(row);
        if verdict.consumes.is_empty() {
            return (verdict, Vec::new());
        }
        let Some(question) = self.question(candidate, facing) else {
            return (verdict, Vec::new());
        };
        let judge = self.judge.load();
        units.cover(row, verdict, |spent| {
            let party = &facing.subject.party;
            let verdict = judge.verdict_without(question, party, facing.now, spent);
            facing.held(candidate, lapsing(verdict, facing))
        })
    }

    /// The verdict on the candidate that a call under way is at, with the licences of which `units` has one; and if
    /// directives refuse it, what they say of calls in flight.
    pub(crate) fn in_flight(
        &self,
        candidate: Candidate,
        facing: &Facing<'_>,
        units: (&mut Units, u8),
    ) -> (Arc<Verdict>, Option<InFlight>) {
        let (verdict, spent) = self.covered_without(candidate, facing, units);
        if verdict.ruling == Ruling::Allow {
            return (verdict, None);
        }
        let says = self.question(candidate, facing).and_then(|question| {
            let party = &facing.subject.party;
            self.judge.load().in_flight(question, party, facing.now, &spent)
        });
        (verdict, says)
    }

    fn question(&self, candidate: Candidate, facing: &Facing<'_>) -> Option<Question> {
        let here = board::place(&facing.of.snapshot, &self.snapshot, candidate)?;
        let end_use = match facing.end_use {
            // A code that is not in use any more is as good as none.
            Some(code) => self
                .judge
                .load()
                .targets()
                .end_use(code)
                .unwrap_or(EndUseIx::UNSTATED),
            None => EndUseIx::UNSTATED,
        };
        Some(Question {
            action: Action::Call,
            channel: here.channel,
            end_use,
            model: here.model,
            posture: facing.posture,
            region: RegionIx::OWN,
        })
    }
}

impl<'a> Facing<'a> {
    /// As its key was found to be.
    pub(crate) fn new(of: &'a Live, subject: &'a Subject, end_use: Option<&'a str>, now: Tick) -> Self {
        Self {
            blocked: None,
            end_use,
            now,
            of,
            posture: subject.posture_at(now),
            subject,
        }
    }

    /// A call under way, with its party's facts as they are: whatever was revoked since it came counts no more. What an
    /// end user's token brought is the call's own, together with the facts that it was laid over; but a legal block of the
    /// party is one for whoever calls in its name.
    pub(crate) fn call(shared: &Shared, of: &'a Live, intake: &'a Intake, then: u64, now: Tick) -> Self {
        let subject = &*intake.subject;
        let facing = Self::new(of, subject, intake.end_use.as_deref(), now);
        if shared.facts.load(Ordering::SeqCst) == then {
            return facing;
        }
        let keys = shared.keys.load();
        let Some(member) = keys.members.get(&subject.party) else {
            return facing;
        };
        if subject.lapse.is_some() {
            let postures = shared.live.load().judge.load().postures().clone();
            let own = postures.posture(member.posture).map(|own| own.facts().clone());
            return Self {
                blocked: own.filter(|own| !own.blocked.is_empty()),
                ..facing
            };
        }
        // The next verdicts on the party follow from it. One that cannot be archived is tried again with the next call.
        let _ = member.archive(shared.live.load().judge.load().postures(), &shared.recorder);
        Self {
            posture: member.posture,
            ..facing
        }
    }
}

impl Facing<'_> {
    /// The verdict with a legal block laid over it that the posture does not know.
    fn held(&self, candidate: Candidate, verdict: Arc<Verdict>) -> Arc<Verdict> {
        let model = self.of.snapshot.model(candidate.model);
        let block = model.and_then(|model| self.blocked.as_ref()?.block(&model.name));
        match block {
            Some(block) => Arc::new(block.over(Verdict::clone(&verdict))),
            None => verdict,
        }
    }
}

/// A verdict on facts that lapse is to be made anew then.
fn lapsing(verdict: Arc<Verdict>, facing: &Facing<'_>) -> Arc<Verdict> {
    let Some(lapse) = facing.subject.lapse.filter(|lapse| facing.now < lapse.at) else {
        return verdict;
    };
    if verdict.valid_until.is_some_and(|until| until <= lapse.at) {
        return verdict;
    }
    Arc::new(Verdict {
        valid_until: Some(lapse.at),
        ..Verdict::clone(&verdict)
    })
}

/// No rule permits what the configuration in force does not have.
fn gone(epoch: u64) -> Verdict {
    let rule = Rule {
        citation: "configuration in force".into(),
        id: "default/gone".into(),
        reason: "This way of serving the model was removed from the configuration.".into(),
    };
    Verdict {
        consumes: Arc::default(),
        epoch,
        obligations: Arc::default(),
        rules: Arc::new([rule]),
        ruling: Ruling::Deny,
        valid_until: None,
    }
}
