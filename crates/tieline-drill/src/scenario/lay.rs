//! From events to happenings. What several events do to one thing at one time is worked out here, so that the driver is
//! told one state after the other: an element is out as long as one event has it out, the factors of a degraded channel
//! multiply, a grid has all the changes of its moment, and at the end of each event everything is as if it had not been.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tieline_core::grid::GridError;
use tieline_core::{Snapshot, Tick};

use super::grid::{Change, changed, is_limited, served_by, unpriced};
use super::outages::Incident;
use super::surge::SurgeOver;
use super::{Allowance, Event, Load, QuotaChange, Scenario, What, scaled};
use crate::elements::{Element, ElementKind};
use crate::timeline::{Failure, Happening, Ordered, Permille, Timeline, TooMany};

/// A scenario laid on a grid.
#[derive(Debug)]
pub struct Laying<'o> {
    /// What is assumed by laying it on this grid, in sentences.
    pub notes: Vec<String>,
    /// To be laid over the traffic first.
    pub surges: Vec<SurgeOver>,
    pub timeline: Timeline<'o>,
    /// The channels and models whose prices change and are not known.
    pub unpriced: BTreeSet<(Arc<str>, Arc<str>)>,
}

/// Why a scenario cannot be laid on a grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayError {
    /// The grid does not have it.
    Absent {
        kind: &'static str,
        name: String,
    },
    /// The grid that it makes does not hold together.
    Grid(GridError),
    /// An event names an order that it was not given.
    NoOrder(usize),
    /// Nobody knows how much the channel can carry.
    NoCapacity {
        channel: String,
    },
    /// Nothing is selected.
    Nothing {
        of: String,
    },
    TooMany(TooMany),
}

/// A value from one instant until another.
#[derive(Clone, Debug)]
struct Stretch<T> {
    from: Tick,
    until: Option<Tick>,
    value: T,
}

/// A state of a channel that is degraded, in thousandths: time, and share of attempts that succeed.
type State = (Permille, Permille);

const SOUND: State = (1_000, 1_000);

/// Lay a scenario on a grid. `orders` are those that its events name, `load` is what its channels carry where nothing
/// happens, and the traffic ends at `last`.
pub fn lay<'o>(
    scenario: &Scenario,
    base: &Arc<Snapshot>,
    load: &Load,
    orders: Vec<Box<Ordered<'o>>>,
    last: Tick,
) -> Result<Laying<'o>, LayError> {
    let mut parts = Parts::default();
    for event in &scenario.events {
        parts.event(event, base, load, orders.len(), last)?;
    }
    let mut timeline = Timeline::default();
    let indexes: Vec<_> = orders.into_iter().map(|order| timeline.order(order)).collect();
    let mut happenings = Vec::new();
    out(parts.out, &mut happenings);
    degraded(parts.degraded, &mut happenings);
    grids(base, &parts.changes, &mut happenings)?;
    for stretch in parts.orders {
        let ix = indexes
            .get(stretch.value)
            .ok_or(LayError::NoOrder(stretch.value))?;
        happenings.push((stretch.from, Happening::Order(*ix)));
        happenings.extend(stretch.until.map(|until| (until, Happening::Revoke(*ix))));
    }
    // What ends at an instant ends before what begins then, so that one thing can follow another.
    happenings.sort_by_key(|(at, happening)| (*at, begins(happening)));
    for (at, happening) in happenings {
        timeline.at(at, happening)?;
    }
    Ok(Laying {
        notes: parts.notes,
        surges: parts.surges,
        timeline,
        unpriced: parts.unpriced,
    })
}

/// Whether a happening may not come before those that end something at its instant.
const fn begins(happening: &Happening) -> bool {
    matches!(
        happening,
        Happening::Out(..) | Happening::Cut(_) | Happening::Order(_)
    )
}

/// What the events of each kind come to.
#[derive(Default)]
struct Parts {
    changes: Vec<Stretch<Change>>,
    degraded: BTreeMap<Arc<str>, Vec<Stretch<State>>>,
    notes: Vec<String>,
    orders: Vec<Stretch<usize>>,
    out: BTreeMap<Element, Vec<Stretch<Failure>>>,
    surges: Vec<SurgeOver>,
    unpriced: BTreeSet<(Arc<str>, Arc<str>)>,
}

impl Parts {
    fn event(
        &mut self,
        event: &Event,
        base: &Snapshot,
        load: &Load,
        orders: usize,
        last: Tick,
    ) -> Result<(), LayError> {
        let (from, until) = (event.from, event.until);
        match &event.what {
            What::Out { element, how } => {
                channels_of(base, element)?;
                self.out_over(element, from, until, *how);
            }
            What::Degraded {
                element,
                errors,
                time,
            } => {
                self.degraded_over(base, element, from, until, (*time, 1_000 - (*errors).min(1_000)))?;
            }
            What::Outages(outages) => {
                let sampled_until = until.unwrap_or(Tick(last.0.saturating_add(1)));
                let drawn = outages.drawn(from, sampled_until);
                self.notes.push(format!(
                    "Drawn with seed {}: {} incidents of {} elements, from the prior `{}` ({}).",
                    outages.seed,
                    drawn.len(),
                    outages.group.len(),
                    outages.prior.name,
                    outages.prior.source
                ));
                for incident in drawn {
                    self.incident(&incident, sampled_until, outages.errors, base)?;
                }
            }
            What::Order(ix) if *ix < orders => self.orders.push(Stretch {
                from,
                until,
                value: *ix,
            }),
            What::Order(ix) => return Err(LayError::NoOrder(*ix)),
            What::Price { of, times } => {
                selected(base, of)?;
                self.unpriced(base, of);
                let (of, times) = (of.clone(), *times);
                self.change(from, until, Change::Price { of, times });
            }
            What::Withdrawn(of) => {
                selected(base, of)?;
                self.change(from, until, Change::Withdraw(of.clone()));
            }
            What::Quota { channel, change } => {
                let change = self.quota(base, load, channel, *change)?;
                let channel = channel.clone();
                self.change(from, until, Change::Quota { channel, change });
            }
            What::Surge { of, seed, times } => self.surges.push(SurgeOver {
                from,
                of: of.clone(),
                seed: *seed,
                times: *times,
                until,
            }),
        }
        Ok(())
    }

    fn incident(
        &mut self,
        incident: &Incident,
        until: Tick,
        errors: Permille,
        base: &Snapshot,
    ) -> Result<(), LayError> {
        let (element, from, until) = (&incident.element, incident.from, incident.until.min(until));
        if until <= from {
            return Ok(());
        }
        if incident.is_hard {
            channels_of(base, element)?;
            self.out_over(element, from, Some(until), Failure::Errors);
            return Ok(());
        }
        let state = (1_000, 1_000 - errors.min(1_000));
        self.degraded_over(base, element, from, Some(until), state)
    }

    /// Note what is meant and has no price that is known.
    fn unpriced(&mut self, base: &Snapshot, of: &super::ServedOf) {
        let pairs: Vec<_> = unpriced(base, of).collect();
        if let Some((channel, model)) = pairs.first() {
            let more = match pairs.len() - 1 {
                0 => String::new(),
                n => format!(", and {n} more"),
            };
            self.notes.push(format!(
                "The price of {model} on {channel}{more} is not known, so nobody knows what it comes to."
            ));
        }
        self.unpriced.extend(pairs);
    }

    fn out_over(&mut self, element: &Element, from: Tick, until: Option<Tick>, how: Failure) {
        let stretches = self.out.entry(element.clone()).or_default();
        stretches.push(Stretch {
            from,
            until,
            value: how,
        });
    }

    fn degraded_over(
        &mut self,
        base: &Snapshot,
        element: &Element,
        from: Tick,
        until: Option<Tick>,
        value: State,
    ) -> Result<(), LayError> {
        for channel in channels_of(base, element)? {
            self.degraded
                .entry(channel)
                .or_default()
                .push(Stretch { from, until, value });
        }
        Ok(())
    }

    fn change(&mut self, from: Tick, until: Option<Tick>, value: Change) {
        self.changes.push(Stretch { from, until, value });
    }

    /// The change of a channel's limits; where it states none, a share of them is a share of its busiest minute.
    fn quota(
        &mut self,
        base: &Snapshot,
        load: &Load,
        channel: &Arc<str>,
        change: QuotaChange,
    ) -> Result<QuotaChange, LayError> {
        let record = base.record.channels.iter().find(|record| record.name == *channel);
        let record = record.ok_or_else(|| LayError::Absent {
            kind: "channel",
            name: channel.to_string(),
        })?;
        let QuotaChange::Times(times) = change else {
            return Ok(change);
        };
        if is_limited(record) {
            return Ok(change);
        }
        let busiest = load.by_channel.get(channel).map_or(0, |load| load.busiest_minute);
        if busiest == 0 {
            let channel = channel.to_string();
            return Err(LayError::NoCapacity { channel });
        }
        let requests = u32::try_from(scaled(busiest.into(), times).max(1)).unwrap_or(u32::MAX);
        let calls = if busiest == 1 { "call" } else { "calls" };
        self.notes.push(format!(
            "Assumed: `{channel}` states no limit, so its busiest minute where nothing happens, with {busiest} {calls}, \
             stands for its capacity; {requests} a minute are left."
        ));
        Ok(QuotaChange::Set(Allowance {
            requests_per_minute: Some(requests),
            ..Allowance::default()
        }))
    }
}

fn selected(base: &Snapshot, of: &super::ServedOf) -> Result<(), LayError> {
    if served_by(base, of).is_empty() {
        return Err(LayError::Nothing { of: of.to_string() });
    }
    Ok(())
}

/// The channels that need an element.
fn channels_of(base: &Snapshot, element: &Element) -> Result<Vec<Arc<str>>, LayError> {
    let (kind, is_there) = match element.kind {
        ElementKind::Channel => ("channel", base.channel_named(&element.name).is_some()),
        ElementKind::Component => ("component", base.component_named(&element.name).is_some()),
    };
    if !is_there {
        let name = element.name.clone();
        return Err(LayError::Absent { kind, name });
    }
    let on = element
        .channels(base)
        .into_iter()
        .filter_map(|ix| base.channel(ix));
    Ok(on.map(|channel| channel.name.clone()).collect())
}

/// Each element is out as long as one stretch has it out; of stretches that meet, the first says how it shows itself.
fn out(all: BTreeMap<Element, Vec<Stretch<Failure>>>, happenings: &mut Vec<(Tick, Happening)>) {
    for (element, mut stretches) in all {
        stretches.sort_by_key(|stretch| stretch.from);
        let mut merged: Vec<Stretch<Failure>> = Vec::new();
        for stretch in stretches {
            match merged.last_mut() {
                Some(before) if before.until.is_none_or(|until| stretch.from < until) => {
                    before.until = before.until.zip(stretch.until).map(|(one, other)| one.max(other));
                }
                _ => merged.push(stretch),
            }
        }
        for stretch in merged {
            happenings.push((stretch.from, Happening::Out(element.clone(), stretch.value)));
            happenings.extend(
                stretch
                    .until
                    .map(|until| (until, Happening::Back(element.clone()))),
            );
        }
    }
}

/// Each channel's factors multiply. The stretches are swept once: those that hold are few, however many there are.
fn degraded(all: BTreeMap<Arc<str>, Vec<Stretch<State>>>, happenings: &mut Vec<(Tick, Happening)>) {
    for (channel, stretches) in all {
        let mut turns: BTreeMap<Tick, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (stretch, ix) in stretches.iter().zip(0..) {
            turns.entry(stretch.from).or_default().0.push(ix);
            if let Some(until) = stretch.until {
                turns.entry(until).or_default().1.push(ix);
            }
        }
        let (mut now, mut holding) = (SOUND, BTreeSet::new());
        for (at, (begin, end)) in turns {
            holding.extend(begin);
            holding.retain(|ix| !end.contains(ix));
            let states = holding.iter().filter_map(|ix| stretches.get(*ix));
            let state = states.map(|stretch| stretch.value).fold(SOUND, multiplied);
            if state.0 != now.0 {
                let (channel, time) = (channel.clone(), state.0);
                happenings.push((at, Happening::Slow { channel, time }));
            }
            if state.1 != now.1 {
                let (channel, share) = (channel.clone(), 1_000_u32.saturating_sub(state.1));
                happenings.push((at, Happening::Failing { channel, share }));
            }
            now = state;
        }
    }
}

fn multiplied((time, sound): State, (more, also): State) -> State {
    let product = |one: Permille, other| u32::try_from(scaled(one.into(), other)).unwrap_or(Permille::MAX);
    (product(time, more), product(sound, also))
}

/// The grid of each moment at which another set of changes holds; of the same set, the same grid, and of none the base.
fn grids(
    base: &Arc<Snapshot>,
    changes: &[Stretch<Change>],
    happenings: &mut Vec<(Tick, Happening)>,
) -> Result<(), LayError> {
    let mut made: BTreeMap<Vec<usize>, Arc<Snapshot>> = BTreeMap::new();
    made.insert(Vec::new(), base.clone());
    let mut now: Vec<usize> = Vec::new();
    for at in instants(changes) {
        let holding = changes.iter().zip(0..).filter(|(stretch, _)| stretch.holds(at));
        let (held, set): (Vec<&Change>, Vec<usize>) =
            holding.map(|(stretch, ix)| (&stretch.value, ix)).unzip();
        if set == now {
            continue;
        }
        if !made.contains_key(&set) {
            made.insert(set.clone(), resolved(base, &held)?);
        }
        if let Some(grid) = made.get(&set) {
            happenings.push((at, Happening::Grid(grid.clone())));
        }
        now = set;
    }
    Ok(())
}

fn resolved(base: &Snapshot, changes: &[&Change]) -> Result<Arc<Snapshot>, LayError> {
    let record = changed(base, changes);
    // Canonical JSON of a record that was read from some: it has nothing that cannot be written.
    let digest = tieline_note::jcs::to_vec(&record).map_or([0; 32], |bytes| tieline_note::sha256(&bytes).0);
    Snapshot::build(Arc::new(record), digest)
        .map(Arc::new)
        .map_err(LayError::Grid)
}

/// The instants at which something begins or ends.
fn instants<T>(stretches: &[Stretch<T>]) -> BTreeSet<Tick> {
    let ends = stretches.iter().filter_map(|stretch| stretch.until);
    stretches.iter().map(|stretch| stretch.from).chain(ends).collect()
}

impl<T> Stretch<T> {
    fn holds(&self, at: Tick) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

// === impl LayError ===

impl From<TooMany> for LayError {
    fn from(error: TooMany) -> Self {
        Self::TooMany(error)
    }
}

impl std::fmt::Display for LayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent { kind, name } => write!(f, "the grid has no {kind} `{name}`"),
            Self::Grid(error) => write!(f, "the grid that it makes does not hold together: {error}"),
            Self::NoOrder(ix) => write!(f, "there is no order {ix}"),
            Self::NoCapacity { channel } => write!(
                f,
                "nobody knows how much `{channel}` can carry: it states no limit and carries no call of this traffic"
            ),
            Self::Nothing { of } => write!(f, "no channel of this grid serves what is meant: {of}"),
            Self::TooMany(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for LayError {}
