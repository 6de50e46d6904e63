//! A gateway of its own for each run: in a temporary folder, on free ports, before scripted channels that stand where the
//! grid's real ones would.
//!
//! The channel that is asked first plays the scenario's `first`, every other one its `rest`: so a run says the same
//! whichever channel the pool's settings choose first.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tieline_core::grid::Settings;
use tieline_core::record::{DECISION_V1, DecisionEntry, OUTCOME_V1, OutcomeEntry};
use tieline_core::{CallId, GridRecord};
use tieline_gateway::{
    ChannelWiring, Endpoint, Gateway, GatewaySettings, Identity, IdentitySettings, KeyRow, Loaded, Lock,
    Secret, Started, State, Token,
};
use tieline_ledger::{Reader, VerifyOptions};
use tieline_policy::{Class, Country, FactValue, Pack, Status};
use tieline_testkit::{Accept, Act, Channel, Gate, Seen};
use tieline_wire::Provider;

use super::grid::provider;
use super::scenario::{Scenario, World};
use super::script::Cue;
use crate::commands::serve::now_us;
use crate::folder;
use crate::output::{Failure, Result};

/// Who records parties and adopts packs.
const OFFICER: &str = "tieline faults";

/// To end in order, with nothing in flight.
const STOP_MAX: Duration = Duration::from_secs(30);

/// How long a call that its caller left may take to be noticed.
const ENDED_MAX: Duration = Duration::from_secs(20);

/// A gateway that serves, and its channels.
#[derive(Debug)]
pub(super) struct House {
    pub(super) channels: Vec<(Arc<str>, Channel)>,
    pub(super) gate: Gate,
    pub(super) key: String,
    pub(super) listen: SocketAddr,
    dir: TempDir,
    packs: Arc<Mutex<Vec<Pack>>>,
    started: Option<Started>,
}

/// What the ledger says after a run.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) decisions: BTreeMap<CallId, DecisionEntry>,
    /// Entries that stand there twice, or outcomes without a decision.
    pub(super) odd: usize,
    pub(super) outcomes: BTreeMap<CallId, OutcomeEntry>,
    /// Why it does not verify, if it does not.
    pub(super) unverified: Option<String>,
}

/// Gives each channel its part when it is asked.
#[derive(Debug)]
struct Director {
    gate: Gate,
    /// Channels in the order in which they were first asked.
    order: Mutex<Vec<usize>>,
    scenario: Scenario,
    settings: Settings,
    stream: bool,
}

impl House {
    /// Start a gateway with this grid, whose only pool's settings hold.
    pub(super) async fn start(grid: &GridRecord, scenario: &Scenario, stream: bool) -> Result<Self> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::found(format!("cannot set up a gateway: {error}"));
        let dir = tempfile::Builder::new()
            .prefix("tieline-faults-")
            .tempdir()
            .map_err(|error| failed(&error))?;
        let gate = Gate::new();
        let director = Arc::new(Director {
            gate: gate.clone(),
            order: Mutex::default(),
            scenario: *scenario,
            settings: grid.pools.first().map_or(grid.settings, |pool| pool.settings),
            stream,
        });
        let channels = channels(grid, &director).map_err(|error| failed(&error))?;
        set_world(scenario.world, &channels).map_err(|error| failed(&error))?;
        let packs = Arc::new(Mutex::new(vec![folder::demo_pack()?]));
        let key = furnish(&dir)?;
        let wirings: Vec<ChannelWiring> = grid
            .channels
            .iter()
            .zip(&channels)
            .map(|(record, (_, channel))| wiring(record, channel))
            .collect();
        let (grid, loaded_packs) = (Arc::new(grid.clone()), packs.clone());
        let load = move || {
            Ok(Loaded {
                channels: wirings.clone(),
                end_uses: Vec::new(),
                enforce: vec![Status::Company],
                grid: grid.clone(),
                identity: Identity::new(IdentitySettings::default())?,
                packs: lock(&loaded_packs).clone(),
                settings: gateway_settings(),
                signers: None,
                statement_keys: Vec::new(),
            })
        };
        let gateway = Gateway {
            children: None,
            dir: dir.path().to_owned(),
            load: Box::new(load),
            lock: Lock::take(dir.path()).map_err(|error| failed(&error))?,
            watched: Vec::new(),
        };
        let started = gateway.start().await.map_err(|error| failed(&error))?;
        Ok(Self {
            channels,
            gate,
            key,
            listen: started.listen,
            dir,
            packs,
            started: Some(started),
        })
    }

    /// Bring rules into force that deny every call.
    pub(super) fn deny_all(&self) -> Result<()> {
        let pack = folder::closed_pack()?;
        let state = State::open(self.dir.path()).map_err(|error| Failure::found(error.to_string()))?;
        folder::adopt(&state, &pack, OFFICER, now_us())?;
        *lock(&self.packs) = vec![pack];
        match &self.started {
            Some(started) => started.reload().map_err(Failure::found),
            None => Ok(()),
        }
    }

    /// Stop, and read the ledger. Answers of channels whose caller left have ended by then.
    pub(super) async fn stop(mut self) -> Result<(Vec<(Arc<str>, Channel)>, Book)> {
        for (_, channel) in &self.channels {
            // A channel that falls silent ends when the gateway leaves it.
            let _ = channel.wait_ended(channel.seen_count(), ENDED_MAX).await;
        }
        if let Some(started) = self.started.take() {
            let stopped = tokio::time::timeout(STOP_MAX, started.stop()).await;
            let stopped = stopped.map_err(|_| Failure::found("the gateway does not stop"))?;
            stopped.map_err(|error| Failure::found(error.to_string()))?;
        }
        let book = Book::read(&self.dir)?;
        Ok((self.channels, book))
    }
}

impl Book {
    fn read(dir: &TempDir) -> Result<Self> {
        let mut book = Self::default();
        let verified = tieline_ledger::verify(dir.path(), &VerifyOptions::default(), |_| {});
        book.unverified = verified.err().map(|error| error.to_string());
        let reader = Reader::open(dir.path())?;
        for bytes in reader.read(0..u64::MAX)? {
            let unreadable =
                |error: serde_json::Error| Failure::found(format!("an entry cannot be read: {error}"));
            let entry: Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
            let is_twice = match entry.get("t").and_then(Value::as_str) {
                Some(DECISION_V1) => {
                    let decision: DecisionEntry = serde_json::from_slice(&bytes).map_err(unreadable)?;
                    book.decisions.insert(decision.id, decision).is_some()
                }
                Some(OUTCOME_V1) => {
                    let outcome: OutcomeEntry = serde_json::from_slice(&bytes).map_err(unreadable)?;
                    let is_orphan = !book.decisions.contains_key(&outcome.id);
                    book.outcomes.insert(outcome.id, outcome).is_some() || is_orphan
                }
                _ => false,
            };
            book.odd += usize::from(is_twice);
        }
        Ok(book)
    }
}

impl Director {
    fn act(&self, channel: usize, far: tieline_core::Dialect, seen: &Seen) -> Act {
        let role = {
            let mut order = lock(&self.order);
            order
                .iter()
                .position(|known| *known == channel)
                .unwrap_or_else(|| {
                    order.push(channel);
                    order.len() - 1
                })
        };
        let cue = Cue {
            far,
            gate: &self.gate,
            nth: seen.index,
            role,
            seen,
            settings: &self.settings,
            stream: self.stream,
        };
        if role == 0 {
            (self.scenario.first)(&cue)
        } else {
            (self.scenario.rest)(&cue)
        }
    }
}

/// A scripted channel for each of the grid.
fn channels(grid: &GridRecord, director: &Arc<Director>) -> std::io::Result<Vec<(Arc<str>, Channel)>> {
    let start = |(place, record): (usize, &tieline_core::grid::ChannelRecord)| {
        let (director, far) = (director.clone(), record.dialect);
        let channel = Channel::start(Act::from_call(move |seen| director.act(place, far, seen)))?;
        Ok((record.name.clone(), channel))
    };
    grid.channels.iter().enumerate().map(start).collect()
}

fn set_world(world: World, channels: &[(Arc<str>, Channel)]) -> std::io::Result<()> {
    let first = channels.first().map(|(_, channel)| channel);
    match (world, first) {
        (World::AllDown, _) => channels.iter().try_for_each(|(_, channel)| channel.stop()),
        (World::FirstDown, Some(first)) => first.stop(),
        (World::FirstMute, Some(first)) => {
            first.set_accept(Accept::Silence);
            Ok(())
        }
        (World::FirstResets, Some(first)) => {
            first.set_accept(Accept::Reset);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn wiring(record: &tieline_core::grid::ChannelRecord, channel: &Channel) -> ChannelWiring {
    ChannelWiring {
        ca: None,
        connections_max: 16,
        dialect: record.dialect,
        endpoint: Endpoint {
            authority: channel.address().to_string(),
            base: String::new(),
            tls: false,
        },
        is_carried: true,
        name: record.name.clone(),
        provider: Provider::from_name(provider(record.dialect)).unwrap_or(Provider::OpenaiCompatible),
        secret: Some(Secret::new("scripted".to_owned())),
    }
}

/// A party that the demonstration pack lets call, and its key.
fn furnish(dir: &TempDir) -> Result<String> {
    let failed = |error: tieline_gateway::StateError| Failure::found(error.to_string());
    let state = State::open(dir.path()).map_err(failed)?;
    folder::adopt_demo_pack(&state, OFFICER, now_us())?;
    let place = Country::parse("DE").map_err(|error| Failure::found(error.to_string()))?;
    let facts = vec![
        FactValue::Class(Class::Enterprise),
        FactValue::Jurisdiction(place),
    ];
    let party = folder::organisation("faults", OFFICER, now_us(), facts)?;
    let token = Token::party(&folder::entropy()?);
    state.put_party(&party).map_err(failed)?;
    let row = KeyRow {
        created_us: now_us(),
        digest: token.digest,
        id: folder::random_id("k")?,
        limits: tieline_core::Limits::default(),
        party: party.id().to_owned(),
        revoked_us: None,
        scope: None,
    };
    state.put_key(&row).map_err(failed)?;
    Ok(token.expose().to_owned())
}

/// Free ports, and no waiting at the end.
fn gateway_settings() -> GatewaySettings {
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    GatewaySettings {
        admin: here,
        drain_ms: 2_000,
        listen: here,
        ..GatewaySettings::default()
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
