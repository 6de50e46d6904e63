//! What must hold of a run: the laws of every run, and what the scenario expects.
//!
//! A law is broken by a defect of the gateway whatever the settings are. An expectation is written for the catalogue's own
//! settings; under others it says what they make different.

use std::sync::Arc;
use std::time::Duration;

use tieline_core::FaultKind;
use tieline_core::grid::{Resume, Settings};
use tieline_core::record::{Outcome, OutcomeEntry};
use tieline_testkit::Seen;

use super::client::{End, Got, Reading};
use super::house::Book;
use super::scenario::{Bill, Expect, Form, Scenario, Told, Tries, Wait};
use super::script::{PIECES, USAGE};

/// What a loaded machine may take beside the limits of time: no assertion is about milliseconds.
pub(super) const SLACK: Duration = Duration::from_secs(8);

/// Timers and clocks may differ by a little; a limit that was not waited for is off by far more.
const EARLY: f64 = 0.9;

/// The price of the answer in the catalogue's own grid: 12 tokens at 1 USD and 8 at 2 USD per million.
const COST_NANO: u64 = 28_000;

/// Everything that was seen of a run.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) book: Book,
    pub(super) channels: Vec<(Arc<str>, Vec<Seen>)>,
    pub(super) form: Form,
    pub(super) got: Vec<Got>,
    pub(super) is_own: bool,
    pub(super) scenario: Scenario,
    pub(super) settings: Settings,
}

/// What a run came to.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Expectations of the scenario that were not met.
    pub(super) differs: Vec<String>,
    /// Laws that were broken.
    pub(super) failures: Vec<String>,
}

/// What a caller was told, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saw {
    Broken,
    Error,
    Left,
    Nothing,
    Whole,
}

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let expect = (evidence.scenario.expect)(&evidence.form);
    let mut verdict = Verdict::default();
    let mut law = |holds: bool, says: String| {
        if !holds {
            verdict.failures.push(says);
        }
    };
    let outcomes = evidence.outcomes();
    for (place, got) in evidence.got.iter().enumerate() {
        let reading = got.reading(evidence.form.dialect);
        look_at_answer(evidence, got, &reading, &expect, &mut law);
        if let Some(outcome) = outcomes.get(place) {
            look_at_record(evidence, got, &reading, outcome, &mut law);
        }
    }
    look_at_ledger(evidence, &outcomes, &mut law);
    if let (Some(got), Some(outcome)) = (evidence.got.last(), outcomes.last()) {
        verdict.differs = expectations(evidence, got, outcome, &expect);
    }
    verdict
}

/// What the answer looks like to its caller.
pub(super) fn saw(got: &Got, reading: &Reading, stream: bool) -> Saw {
    match got.end {
        End::Left => Saw::Left,
        End::NoAnswer | End::Hung => Saw::Nothing,
        _ if got.status != 200 => Saw::Error,
        End::Cut => Saw::Broken,
        End::Framed if reading.code.is_some() => Saw::Broken,
        // An application that takes the text and the stop for an answer is right to.
        End::Framed if stream => {
            if reading.stop.is_some() || reading.terminated {
                Saw::Whole
            } else {
                Saw::Broken
            }
        }
        End::Framed => Saw::Whole,
    }
}

// === laws ===

/// An answer is whole, or it is visibly not; an error is one in the caller's dialect; nothing hangs.
fn look_at_answer(
    evidence: &Evidence,
    got: &Got,
    reading: &Reading,
    expect: &Expect,
    law: &mut impl FnMut(bool, String),
) {
    law(
        got.end != End::Hung,
        format!("the call hung for {} ms", got.total.as_millis()),
    );
    law(
        got.end != End::NoAnswer,
        "the caller got no answer at all".to_owned(),
    );
    law(
        reading.malformed == 0 || matches!(got.end, End::Left | End::Hung),
        format!("{} events that are no JSON reached the caller", reading.malformed),
    );
    match saw(got, reading, evidence.form.stream) {
        Saw::Whole => {
            let says = format!(
                "a truncated answer was shown as whole: {} of {} bytes",
                reading.text.len(),
                expect.text.len()
            );
            law(reading.text == expect.text || expect.text.is_empty(), says);
            law(
                reading.terminated,
                "a whole answer came without the dialect's terminator".to_owned(),
            );
        }
        Saw::Broken => {
            law(
                got.end == End::Framed,
                "the connection broke in place of an error event".to_owned(),
            );
            law(
                reading.code.is_some(),
                "the answer broke off without the dialect's error event".to_owned(),
            );
            law(
                !reading.terminated,
                "a broken answer ended with the dialect's terminator".to_owned(),
            );
            law(
                reading.stop.is_none(),
                "a broken answer says that the model stopped".to_owned(),
            );
            let whole = PIECES.concat();
            law(
                whole.starts_with(&reading.text),
                format!("the part that came is no part of the answer: {}", reading.text),
            );
        }
        Saw::Error => law(
            reading.code.is_some(),
            format!(
                "the error with status {} is not in the caller's dialect",
                got.status
            ),
        ),
        Saw::Left | Saw::Nothing => {}
    }
}

/// The record of a call says what its caller saw, and charges nothing for what failed.
fn look_at_record(
    evidence: &Evidence,
    got: &Got,
    reading: &Reading,
    outcome: &OutcomeEntry,
    law: &mut impl FnMut(bool, String),
) {
    let fits = match saw(got, reading, evidence.form.stream) {
        Saw::Whole => outcome.result == Outcome::Served,
        Saw::Broken => outcome.result == Outcome::Broken,
        Saw::Error => matches!(outcome.result, Outcome::Refused | Outcome::Relayed),
        Saw::Left => outcome.result == Outcome::Abandoned,
        Saw::Nothing => true,
    };
    law(
        fits,
        format!(
            "the ledger says {:?} of a call whose caller saw something else",
            outcome.result
        ),
    );
    let most = usize::from(evidence.settings.attempts_max);
    law(
        outcome.attempts.len() <= most,
        format!("{} attempts, and {most} are allowed", outcome.attempts.len()),
    );
    for attempt in outcome.attempts.iter().filter(|attempt| attempt.fault.is_some()) {
        let is_free = attempt.cost_nano.is_some_and(|nano| nano.0 == 0);
        law(
            is_free || attempt.content_events > 0,
            format!(
                "the attempt at {} failed without content and is charged",
                attempt.channel
            ),
        );
    }
    let Some(named) = got.header("x-tieline-channel") else {
        law(
            got.status != 200,
            "the answer does not name its channel".to_owned(),
        );
        return;
    };
    let answered = outcome
        .attempts
        .iter()
        .find(|attempt| &*attempt.channel == named && attempt.status == Some(200));
    law(
        answered.is_some(),
        format!("the answer names the channel {named}, which did not answer"),
    );
    let model = got.header("x-tieline-model").unwrap_or_default();
    let is_right = answered.is_none_or(|attempt| &*attempt.model == model);
    law(
        is_right,
        format!("the answer names the model {model}, and another answered"),
    );
}

/// One decision and one outcome for each call; every request that a channel saw is an attempt in the ledger.
fn look_at_ledger(evidence: &Evidence, outcomes: &[&OutcomeEntry], law: &mut impl FnMut(bool, String)) {
    let (calls, book) = (evidence.got.len(), &evidence.book);
    law(
        book.decisions.len() == calls && book.outcomes.len() == calls && book.odd == 0,
        format!(
            "{calls} calls have {} decisions, {} outcomes, and {} too many",
            book.decisions.len(),
            book.outcomes.len(),
            book.odd
        ),
    );
    if let Some(why) = &book.unverified {
        law(false, format!("the ledger does not verify: {why}"));
    }
    for (name, seen) in &evidence.channels {
        let attempts = outcomes.iter().flat_map(|outcome| &outcome.attempts);
        let attempts = attempts.filter(|attempt| attempt.channel == *name).count();
        law(
            seen.len() <= attempts,
            format!(
                "{name} saw {} requests, and the ledger has {attempts} attempts",
                seen.len()
            ),
        );
    }
}

// === expectations ===

fn expectations(evidence: &Evidence, got: &Got, outcome: &OutcomeEntry, expect: &Expect) -> Vec<String> {
    let mut differs = Vec::new();
    let reading = got.reading(evidence.form.dialect);
    let seen = saw(got, &reading, evidence.form.stream);
    let channel = got.header("x-tieline-channel").unwrap_or_default();
    let told = match expect.told {
        Told::Broken(_) if evidence.form.resume != Resume::Off => {
            return resumed_differs(evidence, outcome, expect, seen);
        }
        Told::Broken(code) => seen == Saw::Broken && reading.code.as_deref() == Some(code),
        Told::Error(status, code) => {
            // Anthropic's dialect has a status of its own for what others call 503.
            let same = got.status == status || (status, got.status) == (503, 529);
            seen == Saw::Error && same && reading.code.as_deref() == Some(code)
        }
        Told::Left => seen == Saw::Left,
        Told::Relayed(status) => {
            seen == Saw::Error && got.status == status && outcome.result == Outcome::Relayed
        }
        Told::Whole(_) => seen == Saw::Whole,
    };
    if !told {
        differs.push(format!(
            "expected {}, and the caller saw {}",
            expect.told,
            phrase(got, &reading, evidence.form.stream)
        ));
    }
    if !told {
        return differs;
    }
    differs.extend(tries_differ(evidence, outcome, expect, channel));
    differs.extend(wait_differs(evidence, got, expect));
    differs.extend(bill_differs(evidence, outcome, expect));
    differs
}

/// Of an answer that broke off, and that the pool wants to be gone on with.
fn resumed_differs(evidence: &Evidence, outcome: &OutcomeEntry, expect: &Expect, seen: Saw) -> Vec<String> {
    let answered = outcome
        .attempts
        .iter()
        .filter(|attempt| attempt.fault.is_none())
        .count();
    let wanted = match evidence.form.resume {
        // Whether another model can go on, the scenario does not say.
        Resume::Pool if !expect.resumable => seen,
        _ if expect.resumable => Saw::Whole,
        _ => Saw::Broken,
    };
    let fits = seen == wanted && answered == usize::from(seen == Saw::Whole);
    let attempts = outcome.attempts.len();
    let says =
        || format!("expected {wanted:?} by resuming, and the caller saw {seen:?} after {attempts} attempts");
    (!fits).then(says).into_iter().collect()
}

fn tries_differ(
    evidence: &Evidence,
    outcome: &OutcomeEntry,
    expect: &Expect,
    channel: &str,
) -> Option<String> {
    let roles = evidence.roles();
    let role = |name: &Arc<str>| roles.iter().position(|known| known == name).unwrap_or(usize::MAX);
    let tried: Vec<(usize, Option<FaultKind>)> = outcome
        .attempts
        .iter()
        .map(|attempt| (role(&attempt.channel), attempt.fault.map(|fault| fault.kind)))
        .collect();
    let fits = match &expect.tries {
        Tries::Any => true,
        Tries::All(least, kinds) => {
            let fails =
                |(_, kind): &(usize, Option<FaultKind>)| kind.is_some_and(|kind| kinds.contains(&kind));
            tried.len() >= *least && tried.iter().all(fails)
        }
        Tries::Each(each) => *each == tried,
    };
    if !fits {
        return Some(format!(
            "expected the attempts {}, and they were {tried:?}",
            expect.tries
        ));
    }
    match (&expect.tries, expect.told) {
        (Tries::Each(_), Told::Whole(nth)) if roles.get(nth).is_none_or(|name| **name != *channel) => {
            Some(format!("the answer came from {channel}"))
        }
        _ => None,
    }
}

fn wait_differs(evidence: &Evidence, got: &Got, expect: &Expect) -> Option<String> {
    let settings = &evidence.settings;
    let ms = |ms: u32| Duration::from_millis(ms.into());
    let first = if evidence.form.stream {
        ms(settings.first_content_ms.min(settings.head_ms))
    } else {
        ms(settings.whole_ms)
    };
    let limit = if evidence.form.stream {
        ms(settings.first_content_ms)
    } else {
        first
    };
    let (least, most) = match expect.wait {
        Wait::Prompt => (Duration::ZERO, Duration::ZERO),
        // At least one; how many attempts are made is said elsewhere.
        Wait::First(times) => (first, limit * times),
        Wait::Idle => (ms(settings.idle_ms), ms(settings.idle_ms)),
        Wait::Reading => (ms(settings.idle_ms) * 2, ms(settings.idle_ms) * 2),
    };
    let took = got.total;
    if took < least.mul_f64(EARLY) {
        return Some(format!(
            "it took {} ms, less than the limit of {} ms",
            took.as_millis(),
            least.as_millis()
        ));
    }
    let most = most + SLACK;
    (took > most).then(|| {
        format!(
            "it took {} ms, and at most {} ms are well",
            took.as_millis(),
            most.as_millis()
        )
    })
}

fn bill_differs(evidence: &Evidence, outcome: &OutcomeEntry, expect: &Expect) -> Option<String> {
    let cost = outcome.cost_nano.map(|nano| nano.0);
    let used = outcome.usage.map(|usage| (usage.input, usage.output));
    let fits = match expect.bill {
        Bill::Any => true,
        Bill::Known => {
            used == Some((USAGE.input, USAGE.output)) && (cost == Some(COST_NANO) || !evidence.is_own)
        }
        Bill::Nothing => cost == Some(0),
        Bill::Unknown => used.is_none() && cost.is_none(),
    };
    (!fits).then(|| {
        format!(
            "the ledger's cost is {cost:?} nUSD and its usage {used:?}, which is not {:?}",
            expect.bill
        )
    })
}

// === impl Evidence ===

impl Evidence {
    /// The outcomes in the order of the calls.
    pub(super) fn outcomes(&self) -> Vec<&OutcomeEntry> {
        let ids = self.book.decisions.keys();
        let mut outcomes: Vec<_> = ids.filter_map(|id| self.book.outcomes.get(id)).collect();
        // Ids of calls within one millisecond do not sort by their start; the answers name theirs.
        let named: Option<Vec<&str>> = self.got.iter().map(|got| got.header("x-tieline-call")).collect();
        if let Some(named) = named {
            outcomes.sort_by_key(|outcome| {
                let id = outcome.id.to_string();
                named.iter().position(|name| *name == id).unwrap_or(named.len())
            });
        }
        outcomes
    }

    /// Channels in the order in which they were first tried.
    pub(super) fn roles(&self) -> Vec<Arc<str>> {
        let mut roles: Vec<Arc<str>> = Vec::new();
        for attempt in self.outcomes().iter().flat_map(|outcome| &outcome.attempts) {
            if !roles.contains(&attempt.channel) {
                roles.push(attempt.channel.clone());
            }
        }
        roles
    }
}

/// What the caller saw, in a few words.
pub(super) fn phrase(got: &Got, reading: &Reading, stream: bool) -> String {
    let code = reading.code.as_deref().unwrap_or("an unknown error");
    match saw(got, reading, stream) {
        Saw::Broken => format!("a part, then the error event {code}"),
        Saw::Error => format!("{} {code}", got.status),
        Saw::Left => "nothing more: it left".to_owned(),
        Saw::Nothing => "no answer".to_owned(),
        Saw::Whole => {
            let header = |name| got.header(name).unwrap_or("?").to_owned();
            format!(
                "a whole answer from {} ({})",
                header("x-tieline-channel"),
                header("x-tieline-model")
            )
        }
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(code) => write!(f, "a part and then the error event {code}"),
            Self::Error(status, code) => write!(f, "{status} {code}"),
            Self::Left => f.write_str("that the caller left"),
            Self::Relayed(status) => write!(f, "the channel's own {status}"),
            Self::Whole(_) => f.write_str("a whole answer"),
        }
    }
}

impl std::fmt::Display for Tries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(least, kinds) => write!(f, "at least {least} of {kinds:?}"),
            Self::Any => f.write_str("any"),
            Self::Each(each) => write!(f, "{each:?}"),
        }
    }
}
