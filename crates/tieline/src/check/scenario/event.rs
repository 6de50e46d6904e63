//! The events of a scenario: each says one thing, about something that is here, for a time that has a length.

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_core::Tick;
use tieline_drill::{
    Allowance, CallsOf, Event, FACTOR_MAX, Failure, GROUP_MAX, Outages, PartyClass, Permille, Prior,
    QuotaChange, What,
};

use super::names::Names;
use super::orders::{self, Step};
use super::time::{self, Clock};
use super::{Choices, Ground, OrderSpec};
use crate::check::grid::listed_twice;
use crate::diagnose::{Code, Diagnostic, Sink, Span};
use crate::raw::scenario::{
    RawClass, RawDegraded, RawEvent, RawHow, RawLicence, RawOut, RawOutages, RawPrior, RawQuotaChange,
    RawSurge,
};
use crate::raw::{At, quoted};

/// The tables of which an event has one.
const KINDS: [&str; 9] = [
    "out",
    "degraded",
    "price",
    "quota",
    "directive",
    "licence_expires",
    "withdrawn",
    "surge",
    "outages",
];

/// Incidents of an element in a year, in thousandths: ten a day.
const PER_YEAR_MAX: Permille = 3_650_000;

/// An event with where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) event: Event,
    /// From 1, in the order of the file.
    pub(super) number: usize,
    pub(super) span: Span,
    /// What it is about, for the search for overlaps.
    pub(super) things: Vec<String>,
}

/// What was taken of a file.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) events: Vec<Placed>,
    pub(super) notes: Vec<String>,
    pub(super) orders: Vec<OrderSpec>,
}

/// Takes the events of a file, one after the other.
pub(super) struct Events<'a> {
    choices: Choices<'a>,
    clock: Clock,
    ground: Ground<'a>,
    /// Directives and revocations, whose ends depend on each other.
    steps: Vec<Step>,
    taken: Taken,
}

/// What an event comes to before its times are laid on it.
struct Said {
    says: String,
    things: Vec<String>,
    what: What,
}

impl<'a> Events<'a> {
    pub(super) fn new(ground: Ground<'a>, choices: Choices<'a>, clock: Clock) -> Self {
        Self {
            choices,
            clock,
            ground,
            steps: Vec::new(),
            taken: Taken::default(),
        }
    }

    pub(super) fn take(&mut self, at: &At<RawEvent>, number: usize, sink: &mut Sink) {
        let raw = &at.value;
        let times = self.times(raw, at.span, sink);
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| raw.seen.contains(kind)).collect();
        if kinds.len() != 1 {
            let message = match kinds.as_slice() {
                [] => format!("event {number} does not say what happens"),
                several => format!(
                    "event {number} says several things: {}",
                    quoted(several).replace(" or ", " and ")
                ),
            };
            let diagnostic =
                Diagnostic::error(Code::EventBad, message).at(at.span, "wants one of the tables");
            sink.push(diagnostic.hint(format!("exactly one of {}", quoted(&KINDS))));
            return;
        }
        let is_optional = self.choices.skip_absent || raw.optional.as_ref().is_some_and(|at| at.value);
        let mut names = Names::new(self.ground, is_optional, sink);
        if let Some(directive) = &raw.directive {
            let step = orders::step(&directive.value, at.span, number, &mut names);
            self.left_out(number, names);
            if let (Some(step), Some((from, until))) = (step, times) {
                self.steps.push(Step { from, until, ..step });
            }
            return;
        }
        let said = said(raw, &mut names, &mut self.taken.orders);
        self.left_out(number, names);
        if let (Some(said), Some((from, until))) = (said, times) {
            self.taken.events.push(Placed {
                event: Event {
                    from,
                    says: said.says,
                    until,
                    what: said.what,
                },
                number,
                span: at.span,
                things: said.things,
            });
        }
    }

    /// All events, with those of directives, whose ends are known now.
    pub(super) fn finish(mut self, sink: &mut Sink) -> Taken {
        orders::series(self.steps, &mut self.taken, sink);
        if self.taken.events.is_empty() && !self.taken.notes.is_empty() && !sink.has_errors() {
            let message = "nothing of this scenario is here";
            let notes = self.taken.notes.iter();
            sink.push(notes.fold(
                Diagnostic::error(Code::ScenarioAbsent, message),
                |diagnostic, note| diagnostic.note(note.clone()),
            ));
        }
        self.taken
    }

    fn left_out(&mut self, number: usize, names: Names<'_, '_>) {
        for absent in names.absent() {
            self.taken
                .notes
                .push(format!("Event {number} is left out: {absent}."));
        }
    }

    /// From when until when; none after a report.
    fn times(&self, raw: &RawEvent, span: Span, sink: &mut Sink) -> Option<(Tick, Option<Tick>)> {
        let from = match &raw.at {
            Some(at) => self.clock.instant(at, "at", sink),
            None if raw.seen.contains(&"at") => None,
            None => Some(self.clock.start),
        };
        if let (Some(length), Some(until)) = (&raw.span, &raw.until) {
            let message = "an event has both `for` and `until`";
            sink.push(
                Diagnostic::error(Code::EventBad, message)
                    .at(until.span, "one of the two")
                    .also(length.span, "and this"),
            );
            return None;
        }
        let is_stated = raw.seen.contains(&"for") || raw.seen.contains(&"until");
        let end = match (&raw.span, &raw.until) {
            (Some(at), _) => {
                let length = time::length(at, "for", sink);
                length
                    .zip(from)
                    .map(|(length, from)| (from.plus(length), at.span))
            }
            (None, Some(at)) => {
                let until = self.clock.instant(at, "until", sink);
                until.map(|until| (until, at.span))
            }
            (None, None) => None,
        };
        let from = from?;
        match end {
            None if is_stated => None,
            None => Some((from, None)),
            Some((until, _)) if until > from => Some((from, Some(until))),
            Some((until, place)) => {
                let (message, label) = if until == from {
                    ("an event ends at the instant at which it begins", "no length")
                } else {
                    ("an event ends before it begins", "earlier than its beginning")
                };
                let begins = raw.at.as_ref().map_or(span, |at| at.span);
                sink.push(
                    Diagnostic::error(Code::EventBackwards, message)
                        .at(place, label)
                        .also(begins, format!("begins {}", from.rfc3339())),
                );
                None
            }
        }
    }
}

/// What an event says; none after a report, or where something is absent that may be.
fn said(raw: &RawEvent, names: &mut Names<'_, '_>, orders: &mut Vec<OrderSpec>) -> Option<Said> {
    if let Some(at) = &raw.out {
        return out(at, names);
    }
    if let Some(at) = &raw.degraded {
        return degraded(at, names);
    }
    if let Some(at) = &raw.price {
        let (of, times) = (&at.value, names.factor(at.value.times.as_ref(), at.span, "times"));
        let of = names.served_of(
            [of.channel.as_ref(), of.component.as_ref(), of.lab.as_ref()],
            of.models.as_ref(),
            at.span,
        )?;
        let times = times?;
        let says = format!("price of {of}");
        return Some(Said {
            things: vec![format!("the {says}")],
            says,
            what: What::Price { of, times },
        });
    }
    if let Some(at) = &raw.withdrawn {
        let of = &at.value;
        let of = names.served_of(
            [of.channel.as_ref(), of.component.as_ref(), of.lab.as_ref()],
            of.models.as_ref(),
            at.span,
        )?;
        return Some(Said {
            says: format!("withdrawn: {of}"),
            things: vec![format!("what is withdrawn ({of})")],
            what: What::Withdrawn(of),
        });
    }
    if let Some(at) = &raw.quota {
        return quota(at, names);
    }
    if let Some(at) = &raw.licence_expires {
        return licence(at, names, orders);
    }
    if let Some(at) = &raw.surge {
        return surge(at, names);
    }
    outages(raw.outages.as_ref()?, names)
}

fn out(at: &At<RawOut>, names: &mut Names<'_, '_>) -> Option<Said> {
    let element = names.element(at.value.channel.as_ref(), at.value.component.as_ref(), at.span)?;
    let how = match at.value.how.as_ref().map(|at| at.value) {
        None | Some(RawHow::Refused) => Failure::Refused,
        Some(RawHow::Errors) => Failure::Errors,
        Some(RawHow::Silent) => Failure::Silent,
    };
    Some(Said {
        says: format!("out: {}", element.name),
        things: vec![format!("the state of `{}`", element.name)],
        what: What::Out { element, how },
    })
}

fn degraded(at: &At<RawDegraded>, names: &mut Names<'_, '_>) -> Option<Said> {
    let raw = &at.value;
    if !raw.seen.contains(&"time") && !raw.seen.contains(&"errors") {
        names.complain::<()>(
            Code::EventBad,
            "`degraded` does not say how",
            at.span,
            "wants `time`, `errors` or both",
        );
    }
    let time = raw
        .time
        .as_ref()
        .map_or(Some(1_000), |time| names.decimal(time, "time", 1, FACTOR_MAX));
    let errors = raw
        .errors
        .as_ref()
        .map_or(Some(0), |errors| names.share(errors, "errors"));
    let element = names.element(raw.channel.as_ref(), raw.component.as_ref(), at.span)?;
    let (time, errors) = (time?, errors?);
    Some(Said {
        says: format!("degraded: {}", element.name),
        things: vec![format!("the state of `{}`", element.name)],
        what: What::Degraded {
            element,
            errors,
            time,
        },
    })
}

fn quota(at: &At<RawQuotaChange>, names: &mut Names<'_, '_>) -> Option<Said> {
    let raw = &at.value;
    let numbers = ["concurrency", "requests_per_minute", "tokens_per_minute"];
    let has_numbers = numbers.iter().any(|key| raw.seen.contains(key));
    if raw.seen.contains(&"times") == has_numbers {
        let message = if has_numbers {
            "`quota` has both a factor and numbers"
        } else {
            "`quota` does not say how much"
        };
        names.complain::<()>(
            Code::EventBad,
            message,
            at.span,
            "wants `times`, or the new numbers",
        );
        return None;
    }
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let change = if has_numbers {
        let mut number = |at: &Option<At<u64>>, key| at.as_ref().and_then(|at| names.number(at, key));
        Some(QuotaChange::Set(Allowance {
            concurrency: number(&raw.concurrency, "concurrency").map(small),
            requests_per_minute: number(&raw.requests_per_minute, "requests_per_minute").map(small),
            tokens_per_minute: number(&raw.tokens_per_minute, "tokens_per_minute"),
        }))
    } else {
        names
            .factor(raw.times.as_ref(), at.span, "times")
            .map(QuotaChange::Times)
    };
    let channel = match &raw.channel {
        Some(channel) => names.channel(channel),
        None if raw.seen.contains(&"channel") => None,
        None => names.complain(
            Code::KeyMissing,
            "`quota` has no `channel`",
            at.span,
            "wants `channel`",
        ),
    };
    let (channel, change) = (channel?, change?);
    Some(Said {
        says: format!("quota of {channel}"),
        things: vec![format!("the quota of `{channel}`")],
        what: What::Quota { channel, change },
    })
}

fn licence(at: &At<RawLicence>, names: &mut Names<'_, '_>, orders: &mut Vec<OrderSpec>) -> Option<Said> {
    let raw = &at.value;
    let party = match &raw.party {
        Some(party) => Some(names.party(party)?),
        None => None,
    };
    let licence = match &raw.licence {
        Some(licence) => names.licence(licence)?,
        None if raw.seen.contains(&"licence") => return None,
        None => {
            let message = "`licence_expires` has no `licence`";
            return names.complain(Code::KeyMissing, message, at.span, "wants `licence`");
        }
    };
    let of = party
        .as_ref()
        .map_or(String::new(), |party| format!(" of {party}"));
    let says = format!("licence {licence}{of} expires");
    orders.push(OrderSpec::Lapse { licence, party });
    Some(Said {
        things: vec![says.clone()],
        says,
        what: What::Order(orders.len() - 1),
    })
}

fn surge(at: &At<RawSurge>, names: &mut Names<'_, '_>) -> Option<Said> {
    let raw = &at.value;
    let times = names.factor(raw.times.as_ref(), at.span, "times");
    let class = match &raw.class {
        Some(class) => Some(names.of_class(class_of(class.value), class.span)?),
        None => None,
    };
    let party = match &raw.party {
        Some(party) => Some(BTreeSet::from([names.party(party)?])),
        None => None,
    };
    let ask = match &raw.pool {
        Some(pool) => Some(names.asked(pool)?),
        None => None,
    };
    let parties = match (class, party) {
        (Some(class), Some(party)) => {
            let both: BTreeSet<Arc<str>> = class.intersection(&party).cloned().collect();
            if both.is_empty() {
                let message = "the party is not of that class";
                return names.complain(Code::SelectionEmpty, message, at.span, "selects nobody");
            }
            Some(both)
        }
        (one, other) => one.or(other),
    };
    let (of, times) = (CallsOf { ask, parties }, times?);
    let label = |at: &Option<At<String>>| at.as_ref().map_or("any", |at| at.value.as_str()).to_owned();
    let class = raw.class.as_ref().map_or("any", |at| class_of(at.value).name());
    Some(Said {
        says: format!("surge of {of}"),
        things: vec![format!(
            "how many calls there are (class {class}, party {}, pool {})",
            label(&raw.party),
            label(&raw.pool)
        )],
        what: What::Surge {
            of,
            seed: raw.seed.as_ref().map_or(1, |at| at.value),
            times,
        },
    })
}

/// Incidents a year, in thousandths: what the event says, else what the prior does.
fn how_often(raw: &RawOutages, prior: Span, named: &Prior, names: &mut Names<'_, '_>) -> Option<u32> {
    match &raw.per_year {
        Some(per_year) => names.decimal(per_year, "per_year", 1, PER_YEAR_MAX),
        None if named.per_year.is_none() => {
            let message = format!(
                "the prior `{}` says how long incidents last, and not how often they come",
                named.name
            );
            names.complain(Code::KeyMissing, &message, prior, "wants `per_year` beside it")
        }
        None => named.per_year,
    }
}

fn outages(at: &At<RawOutages>, names: &mut Names<'_, '_>) -> Option<Said> {
    let raw = &at.value;
    let list = raw.group.as_ref().map_or(&[][..], |at| at.value.as_slice());
    if list.is_empty() {
        let span = raw.group.as_ref().map_or(at.span, |group| group.span);
        names.complain::<()>(
            Code::SelectionEmpty,
            "`outages` has no `group`",
            span,
            "wants components or channels",
        );
    }
    if let Some(beyond) = list.get(GROUP_MAX) {
        let label = format!("a group has at most {GROUP_MAX} elements");
        return names.complain(Code::TooMany, "the group is too large", beyond.span, &label);
    }
    listed_twice(list, names.sink);
    let group: Vec<_> = list.iter().filter_map(|name| names.any_element(name)).collect();
    let Some(prior) = raw.prior.as_ref() else {
        if !raw.seen.contains(&"prior") {
            names.complain::<()>(
                Code::KeyMissing,
                "`outages` has no `prior`",
                at.span,
                "wants `prior`",
            );
        }
        return None;
    };
    let named = Prior::named(prior_of(prior.value))?;
    let per_year = how_often(raw, prior.span, &named, names);
    let beta = raw.beta.as_ref().map_or(Some(0), |at| names.share(at, "beta"));
    let hard = raw.hard.as_ref().map_or(Some(100), |at| names.share(at, "hard"));
    let errors = raw
        .errors
        .as_ref()
        .map_or(Some(250), |at| names.share(at, "errors"));
    if group.is_empty() || group.len() < list.len() {
        return None;
    }
    let things: BTreeSet<String> = group
        .iter()
        .map(|element| format!("the state of `{}`", element.name))
        .collect();
    let outages = Outages {
        beta: beta?,
        errors: errors?,
        group,
        hard: hard?,
        per_year: per_year?,
        prior: named,
        seed: raw.seed.as_ref().map_or(1, |at| at.value),
    };
    Some(Said {
        says: format!("outages drawn for {} elements", outages.group.len()),
        things: things.into_iter().collect(),
        what: What::Outages(outages),
    })
}

const fn class_of(raw: RawClass) -> PartyClass {
    match raw {
        RawClass::Academic => PartyClass::Academic,
        RawClass::Agency => PartyClass::Agency,
        RawClass::Consumer => PartyClass::Consumer,
        RawClass::Enterprise => PartyClass::Enterprise,
        RawClass::Startup => PartyClass::Startup,
    }
}

const fn prior_of(raw: RawPrior) -> &'static str {
    match raw {
        RawPrior::Anthropic => "anthropic",
        RawPrior::Aws => "aws",
        RawPrior::Azure => "azure",
        RawPrior::Gcp => "gcp",
        RawPrior::Openai => "openai",
    }
}
