//! Scenarios: what they make of a grid and of traffic, at every moment and after the last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::grid::ChannelRecord;
use tieline_core::{Limits, PicoPerToken, Quota, QuotaModel, Ruling, Snapshot, Span, Tick};
use tieline_drill::{
    Allowance, Element, ElementKind, Event, Failure, Happening, Known, LayError, Laying, Load, Ordered,
    Outages, Prior, QuotaChange, Rehearsal, Scenario, ServedOf, Traffic, What, lay, served_by,
};

use crate::grids::{Ledger, small_grid};

pub(crate) const START: Tick = Tick(1_000_000_000_000);

pub(crate) fn grid() -> Arc<Snapshot> {
    let mut record = small_grid();
    record.channels[0].limits.requests_per_minute = Some(100);
    record.channels[0].quota = Some(Quota {
        input_tokens_per_minute: None,
        model: QuotaModel::Anthropic,
        output_burn: None,
        output_tokens_per_minute: Some(70_001),
        requests_per_minute: Some(50),
        tokens_in_flight: None,
        tokens_per_minute: Some(9_000),
    });
    Ledger::default().archive(&record)
}

pub(crate) fn scenario(events: Vec<Event>) -> Scenario {
    Scenario {
        assumed: Vec::new(),
        description: String::new(),
        events,
        id: "test".to_owned(),
        sources: Vec::new(),
        start: START,
        title: String::new(),
    }
}

pub(crate) fn event(from_s: u64, until_s: Option<u64>, what: What) -> Event {
    let at = |s| START.plus(Span::from_s(s));
    Event {
        from: at(from_s),
        says: String::new(),
        until: until_s.map(at),
        what,
    }
}

pub(crate) fn element(kind: ElementKind, name: &str) -> Element {
    Element {
        kind,
        name: name.to_owned(),
    }
}

pub(crate) fn component(name: &str) -> Element {
    element(ElementKind::Component, name)
}

pub(crate) fn channel(name: &str) -> Element {
    element(ElementKind::Channel, name)
}

/// No order, whatever the party.
pub(crate) fn orders(count: usize) -> Vec<Box<Ordered<'static>>> {
    (0..count)
        .map(|_| Box::new(|_: &str, _: &str, _: &str| Ruling::Deny) as Box<Ordered<'static>>)
        .collect()
}

pub(crate) fn laid(events: Vec<Event>) -> Result<Laying<'static>, LayError> {
    let last = START.plus(Span::from_s(100));
    lay(&scenario(events), &grid(), &Load::default(), orders(2), last)
}

// === the state of a world ===

/// What the happenings up to an instant come to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    failing: BTreeMap<Arc<str>, u32>,
    grid: [u8; 32],
    orders: BTreeSet<usize>,
    out: BTreeMap<Element, Failure>,
    slow: BTreeMap<Arc<str>, u32>,
}

impl World {
    fn first(base: &Snapshot) -> Self {
        Self {
            failing: BTreeMap::new(),
            grid: base.digest,
            orders: BTreeSet::new(),
            out: BTreeMap::new(),
            slow: BTreeMap::new(),
        }
    }

    fn at(laying: &Laying<'_>, base: &Snapshot, until: Tick) -> Self {
        let mut world = Self::first(base);
        let happenings = laying.timeline.happenings().iter();
        for (_, happening) in happenings.take_while(|(at, _)| *at <= until) {
            world.take(happening);
        }
        world
    }

    fn take(&mut self, happening: &Happening) {
        match happening.clone() {
            Happening::Out(element, how) => {
                assert_eq!(self.out.insert(element, how), None, "it was out already");
            }
            Happening::Back(element) => assert!(self.out.remove(&element).is_some(), "it was not out"),
            Happening::Slow { channel, time: 1_000 } => drop(self.slow.remove(&channel)),
            Happening::Slow { channel, time } => drop(self.slow.insert(channel, time)),
            Happening::Failing { channel, share: 0 } => drop(self.failing.remove(&channel)),
            Happening::Failing { channel, share } => drop(self.failing.insert(channel, share)),
            Happening::Grid(grid) => self.grid = grid.digest,
            Happening::Order(ix) => assert!(self.orders.insert(ix.0), "it was in force already"),
            Happening::Revoke(ix) => assert!(self.orders.remove(&ix.0), "it was not in force"),
            other => assert!(
                !matches!(other, Happening::Cut(_) | Happening::Restore(_)),
                "no event cuts"
            ),
        }
    }
}

// === laws ===

fn whats() -> impl Strategy<Value = What> {
    let elements = prop::sample::select(vec![
        channel("direct"),
        channel("bedrock"),
        component("cloud:aws"),
        component("region:aws/us-east-1"),
        component("edge:cloudflare"),
        component("lab:openai"),
    ]);
    let served = prop::sample::select(vec![
        ServedOf {
            lab: Some("anthropic".into()),
            ..ServedOf::default()
        },
        ServedOf {
            channel: Some("direct".into()),
            ..ServedOf::default()
        },
        ServedOf {
            component: Some("cloud:aws".into()),
            models: BTreeSet::from([Arc::from("sonnet")]),
            ..ServedOf::default()
        },
    ]);
    let how = prop::sample::select(vec![Failure::Refused, Failure::Errors, Failure::Silent]);
    prop_oneof![
        (elements.clone(), how).prop_map(|(element, how)| What::Out { element, how }),
        (elements.clone(), 1_000_u32..5_000, 0_u32..1_001).prop_map(|(element, time, errors)| {
            What::Degraded {
                element,
                errors,
                time,
            }
        }),
        (0_usize..2).prop_map(What::Order),
        (served.clone(), 1_u32..10_000).prop_map(|(of, times)| What::Price { of, times }),
        served.prop_map(What::Withdrawn),
        (1_u32..3_000).prop_map(|times| What::Quota {
            channel: "direct".into(),
            change: QuotaChange::Times(times),
        }),
        (prop::collection::vec(elements, 1..3), any::<u64>(), 0_u32..1_001).prop_map(
            |(group, seed, beta)| {
                What::Outages(Outages {
                    beta,
                    errors: 250,
                    group,
                    hard: 300,
                    // Often enough that a minute has some.
                    per_year: 2_000_000_000,
                    prior: Prior {
                        log_minutes_mean: 0,
                        log_minutes_deviation: 3_000,
                        ..Prior::named("openai").unwrap()
                    },
                    seed,
                })
            }
        ),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one =
        (0_u64..60, 1_u64..60, whats()).prop_map(|(from, long, what)| event(from, Some(from + long), what));
    prop::collection::vec(one, 1..8).prop_map(|mut events| {
        // An order is in force once; two events of one order would be one order twice.
        let mut orders = BTreeSet::new();
        events.retain(|event| !matches!(event.what, What::Order(ix) if !orders.insert(ix)));
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever happens, once every event is over the world is as it was.
    #[test]
    fn after_its_last_event_the_world_is_as_before_the_first(events in events()) {
        let base = grid();
        let laying = laid(events.clone()).unwrap();
        let first = World::first(&base);
        prop_assert_eq!(World::at(&laying, &base, Tick(u64::MAX)), first.clone());
        // And before the first, too.
        let from = events.iter().map(|event| event.from).min().unwrap();
        prop_assert_eq!(World::at(&laying, &base, Tick(from.0 - 1)), first);
        prop_assert!(laying.timeline.happenings().is_sorted_by_key(|(at, _)| *at));
    }

    /// At any moment the world is what the events of that moment say, each looked at alone.
    #[test]
    fn at_each_moment_the_world_is_what_its_events_say(events in events(), second in 0_u64..130, half in any::<bool>()) {
        let base = grid();
        let laying = laid(events.clone()).unwrap();
        let at = Tick(START.0 + second * 1_000_000 + u64::from(half) * 500_000);
        let world = World::at(&laying, &base, at);
        let now = || events.iter().filter(|event| event.from <= at && event.until.is_none_or(|until| at < until));
        let sampled = events.iter().any(|event| matches!(event.what, What::Outages(_)));
        let out: BTreeSet<&Element> = now()
            .filter_map(|event| match &event.what {
                What::Out { element, .. } => Some(element),
                _ => None,
            })
            .collect();
        let is_out: BTreeSet<&Element> = world.out.keys().collect();
        if sampled {
            prop_assert!(out.is_subset(&is_out));
        } else {
            prop_assert_eq!(out, is_out);
            for named in ["direct", "bedrock", "vertex", "openai"] {
                let on = |of: &Element| match of.kind {
                    ElementKind::Channel => of.name == named,
                    ElementKind::Component => {
                        let ix = base.component_named(&of.name).unwrap();
                        let channel = base.channel_named(named).unwrap();
                        base.channel(channel).unwrap().components.contains(ix)
                    }
                };
                let (mut time, mut sound) = (1_000_u64, 1_000_u64);
                for event in now() {
                    if let What::Degraded { element, errors, time: more } = &event.what && on(element) {
                        time = (time * u64::from(*more) + 500) / 1_000;
                        sound = (sound * u64::from(1_000 - errors) + 500) / 1_000;
                    }
                }
                let slow = world.slow.get(named).copied().unwrap_or(1_000);
                let failing = world.failing.get(named).copied().unwrap_or_default();
                prop_assert_eq!((u64::from(slow), u64::from(failing)), (time, 1_000 - sound), "{}", named);
            }
        }
        let grid = grid_at(&laying, &base, at);
        prop_assert_eq!(sold(&grid), expected(&base, now()));
        if now().all(|event| !matches!(event.what, What::Price { .. } | What::Quota { .. } | What::Withdrawn(_))) {
            prop_assert_eq!(world.grid, base.digest);
        }
        let in_force: BTreeSet<usize> = now()
            .filter_map(|event| match event.what {
                What::Order(ix) => Some(ix),
                _ => None,
            })
            .collect();
        prop_assert_eq!(in_force, world.orders);
    }
}

/// What is sold where, for how much, and the limit of each channel.
type Sold = Vec<(Arc<str>, Option<u32>, Vec<(Arc<str>, Option<u64>)>)>;

pub(crate) fn sold(grid: &Snapshot) -> Sold {
    let channels = grid.record.channels.iter().map(|channel| {
        let models = channel.models.iter();
        let models = models.map(|served| (served.model.clone(), served.price.map(|price| price.input.0)));
        (
            channel.name.clone(),
            channel.limits.requests_per_minute,
            models.collect(),
        )
    });
    channels.collect()
}

/// The same, worked out from the events of a moment.
fn expected<'e>(base: &Snapshot, events: impl Iterator<Item = &'e Event>) -> Sold {
    let mut sold = sold(base);
    let times = |number: u64, times: u32| (number * u64::from(times) + 500) / 1_000;
    for event in events {
        for (channel, limit, models) in &mut sold {
            let meant = |of: &ServedOf, model: &Arc<str>| {
                let pairs = served_by(base, of);
                pairs.contains(&(channel.clone(), model.clone()))
            };
            match &event.what {
                What::Price { of, times: by } => {
                    for (model, price) in models.iter_mut() {
                        if meant(of, model) {
                            *price = price.map(|price| times(price, *by));
                        }
                    }
                }
                What::Withdrawn(of) => models.retain(|(model, _)| !meant(of, model)),
                What::Quota {
                    channel: named,
                    change: QuotaChange::Times(by),
                } if named == channel => {
                    *limit = limit.map(|limit| u32::try_from(times(limit.into(), *by).max(1)).unwrap());
                }
                _ => {}
            }
        }
    }
    sold
}

fn grid_at(laying: &Laying<'_>, base: &Snapshot, at: Tick) -> Snapshot {
    let happenings = laying
        .timeline
        .happenings()
        .iter()
        .take_while(|(when, _)| *when <= at);
    let last = happenings.filter_map(|(_, happening)| match happening {
        Happening::Grid(grid) => Some(Snapshot::clone(grid)),
        _ => None,
    });
    last.last().unwrap_or_else(|| base.clone())
}

// === grids ===

/// The channels of the grid that one event makes.
fn channels(what: What) -> Vec<ChannelRecord> {
    let laying = laid(vec![event(1, None, what)]).unwrap();
    grid_at(&laying, &grid(), Tick(u64::MAX)).record.channels.clone()
}

pub(crate) fn lab_on_aws() -> ServedOf {
    ServedOf {
        component: Some("cloud:aws".into()),
        lab: Some("anthropic".into()),
        ..ServedOf::default()
    }
}

#[test]
fn a_price_is_multiplied_for_exactly_what_is_meant() {
    let after = channels(What::Price {
        of: lab_on_aws(),
        times: 1_500,
    });
    let input: Vec<_> = after
        .iter()
        .map(|channel| channel.models[0].price.map(|price| price.input))
        .collect();
    let cents = |cents: u64| Some(PicoPerToken(cents * 10_000));
    assert_eq!(
        input,
        [cents(450), cents(600), cents(300), None, cents(0), cents(900)]
    );
}

#[test]
fn a_cloud_withdraws_a_lab_and_keeps_the_rest() {
    let after = channels(What::Withdrawn(lab_on_aws()));
    let left: Vec<usize> = after.iter().map(|channel| channel.models.len()).collect();
    assert_eq!(left, [0, 0, 1, 1, 1, 1]);
    let pairs = served_by(&grid(), &lab_on_aws());
    let names: Vec<_> = pairs
        .iter()
        .map(|(channel, model)| (&**channel, &**model))
        .collect();
    assert_eq!(names, [("direct", "sonnet"), ("bedrock", "sonnet")]);
}

#[test]
fn a_quota_is_a_share_of_every_limit_or_a_new_one() {
    let quota = |change| {
        let channels = channels(What::Quota {
            channel: "direct".into(),
            change,
        });
        (channels[0].limits, channels[0].quota.unwrap())
    };
    let (limits, operators) = quota(QuotaChange::Times(500));
    assert_eq!(limits.requests_per_minute, Some(50));
    assert_eq!(
        (
            operators.requests_per_minute,
            operators.tokens_per_minute,
            operators.output_tokens_per_minute
        ),
        (Some(25), Some(4_500), Some(35_001))
    );
    // What was ample may shrink, but never to nothing: nobody sells none.
    assert_eq!(quota(QuotaChange::Times(1)).0.requests_per_minute, Some(1));
    let (limits, operators) = quota(QuotaChange::Set(Allowance {
        requests_per_minute: Some(7),
        ..Allowance::default()
    }));
    assert_eq!(
        (
            limits.requests_per_minute,
            operators.requests_per_minute,
            operators.tokens_per_minute
        ),
        (Some(7), None, Some(9_000))
    );
}

#[test]
fn a_share_of_an_unknown_capacity_is_a_share_of_the_busiest_minute() {
    let base = grid();
    let traffic = Traffic::synthetic(&base, &[]);
    let half = || {
        scenario(vec![event(
            0,
            None,
            What::Quota {
                channel: "own".into(),
                change: QuotaChange::Times(500),
            },
        )])
    };
    let last = START.plus(Span::from_s(9));
    let error = lay(&half(), &base, &Load::default(), Vec::new(), last).unwrap_err();
    assert_eq!(
        error,
        LayError::NoCapacity {
            channel: "own".into()
        }
    );
    let measured = Load::of(&Rehearsal::new(&base, &traffic, Known::default()));
    let laying = lay(&half(), &base, &measured, Vec::new(), last).unwrap();
    assert!(laying.notes[0].contains("`own`"), "{:?}", laying.notes);
    let limits: Limits = grid_at(&laying, &base, Tick(u64::MAX)).record.channels[4].limits;
    assert_eq!(limits.requests_per_minute, Some(1));
}

#[test]
fn what_the_grid_does_not_have_is_named() {
    let check = |what: What, expected: &str| {
        let error = laid(vec![event(0, Some(5), what)]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let out = |element| What::Out {
        element,
        how: Failure::Refused,
    };
    check(
        out(component("cloud:mars")),
        "the grid has no component `cloud:mars`",
    );
    check(out(channel("mars")), "the grid has no channel `mars`");
    check(What::Order(2), "there is no order 2");
    check(
        What::Withdrawn(ServedOf {
            channel: Some("own".into()),
            lab: Some("anthropic".into()),
            ..ServedOf::default()
        }),
        "no channel of this grid serves what is meant: lab anthropic; channel own",
    );
}
